"""What everybody can keep of the log, and what a voter finds of the own votes."""

from __future__ import annotations

from arena.services.ballots import votes_of
from arena.services.bracket import close_match, open_match, undo_match
from arena.services.identity import identity_of
from arena.services.publishing import publish
from arena.services.queries import console_view, log_head
from arena.services.receipts import key_fingerprint
from arena.web.filters import head_code, qr
from tests.support.evening import Evening, secret_of
from tests.support.pages import post
from tests.support.played import next_match, upper_text


def test_stage_results_and_api_show_the_whole_head_of_the_log_and_the_key(evening: Evening) -> None:
    evening.create()
    evening.voting(2)
    client = evening.phone()
    number, digest = log_head(evening.db)
    fingerprint = key_fingerprint(evening.settings.receipt_key)
    code = qr(head_code(number, digest), "QR code of the log’s latest hash")
    stage, results = (client.get(path).get_data(as_text=True) for path in ("/stage", "/results"))
    for page in (stage, results):
        assert code in page
        plain = "".join(page.replace("<br>", "").split())
        assert digest in plain and fingerprint.replace(" ", "") in plain
    about = client.get("/api/v1/event").json
    assert about["log"] == {"number": number, "hash": digest} and about["key_fingerprint"] == fingerprint
    evening.tie("r1m1")
    evening.now += 1
    close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert log_head(evening.db)[1] in "".join(client.get("/stage").get_data(as_text=True).replace("<br>", "").split())


def test_a_voter_finds_the_own_votes_once_they_are_counted_and_others_once_the_event_is_published(
    evening: Evening,
) -> None:
    evening.create()
    evening.voting(2)
    phone, other = evening.phone(), evening.phone()
    evening.vote("someone", "r1m1", upper_text(evening, "r1m1"))
    assert post(phone, "/", "/vote", match="r1m1", side="left", poll_round="0").status_code == 303
    assert "No vote of this phone was counted yet" in phone.get("/votes").get_data(as_text=True)
    evening.now += 1
    undo_match(evening.db, "r1m1", now=evening.now)
    assert "No vote of this phone was counted yet" in phone.get("/votes").get_data(as_text=True)
    open_match(evening.db, "r1m1", now=evening.now)
    evening.vote("someone", "r1m1", upper_text(evening, "r1m1"))
    evening.now += 1
    close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    someone = identity_of(secret_of("someone")).voter_id
    refused = other.get(f"/votes?voter={someone}")
    assert refused.status_code == 409 and "public once the organizer has published" in refused.get_data(as_text=True)
    assert next_match(evening) is None
    publish(evening.db, now=evening.now)
    page = other.get(f"/votes?voter={someone.upper()}").get_data(as_text=True)
    assert "<td>Final</td><td>A</td>" in page and someone in page and "1 : 0" in page
    assert "No vote of this voter id was counted" in other.get(f"/votes?voter={'0' * 64}").get_data(as_text=True)
    assert other.get("/votes?voter=<script>").status_code == 422


def test_a_vote_beside_byes_has_the_title_that_every_other_page_gives_its_match(evening: Evening) -> None:
    evening.create()
    evening.draw(6)
    matches = [match for match in console_view(evening.db, now=evening.now).matches if match.ready]
    assert [match.title for match in matches] == ["Quarter-final 1", "Quarter-final 2"]
    for match in matches:
        evening.decide(match.id, upper_text(evening, match.id), voters=1)
    counted = votes_of(evening.db, secret_of("voter0")).votes
    assert [vote.title for vote in counted] == [match.title for match in matches]


def test_a_counted_vote_of_a_match_that_was_undone_says_so(evening: Evening) -> None:
    evening.create()
    evening.voting(2)
    phone = evening.phone()
    assert post(phone, "/", "/vote", match="r1m1", side="left", poll_round="0").status_code == 303
    evening.now += 1
    close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert "undone" not in phone.get("/votes").get_data(as_text=True)
    undo_match(evening.db, "r1m1", now=evening.now)
    assert "Final, undone" in phone.get("/votes").get_data(as_text=True)
