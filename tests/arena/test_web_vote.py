"""The pages for phones: voting without JavaScript, waiting, results."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from arena.services import bracket, disqualification, drawing, events, publishing, queries
from arena.services.identity import identity_of
from arena.services.queries import console_view
from arena.services.schemas import MatchCounts, OpenMatch, Snapshot
from arena.services.voting import MAX_CHANGES
from arena.store.schema import Vote
from arena.web.public import phase_key
from tests.support.evening import START, WORD, Evening
from tests.support.pages import Tags, hidden, post, token_of, vote

FIRST_PAGE_BYTES = 13_000  # compressed, with its CSS and JavaScript: what a first round trip of TCP brings


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def cards(page: TestResponse | str) -> list[str]:
    """The verses on a page, left first."""
    text = page if isinstance(page, str) else page.text
    return [Tags(part).text for part in re.findall(r'<div class="verse".*?</div>', text, re.S)]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def cast(evening: Evening) -> int:
    votes = evening.phone().get("/api/v1/state").json["match"]["votes"]
    assert isinstance(votes, int)
    return votes


def test_a_match_is_voted_through_without_javascript(evening: Evening) -> None:
    authors = evening.voting(2)
    phones = [evening.phone() for _ in range(3)]
    favourite = squeezed(authors[0].text)
    for phone in phones:
        page = phone.get("/")
        assert "Which verse is better?" in page.text
        assert {squeezed(card) for card in cards(page)} == {squeezed(author.text) for author in authors}
        side = "left" if squeezed(cards(page)[0]) == favourite else "right"
        answer = vote(phone, side)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        assert "Your vote is saved" in phone.get("/").text
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    page = evening.phone().get("/")
    assert "The champion" in page.text and authors[0].name in page.text
    results = evening.phone().get("/results").text
    assert "3 votes" in results and "0 votes" in results


def test_a_vote_is_changed_and_counts_once(evening: Evening) -> None:
    evening.voting()
    phone = evening.phone()
    for side in ("left", "left", "right", "right", "left"):
        assert vote(phone, side).status_code == 303
        page = phone.get("/")
        marked = re.findall(r'<article class="card mine".*?</article>', page.text, re.S)
        assert len(marked) == 1 and "Your vote" in marked[0]
        assert page.text.count("Change my vote to ") == 1
    assert cast(evening) == 1


def test_a_double_tap_counts_once(evening: Evening) -> None:
    evening.voting()
    phone = evening.phone()
    page = phone.get("/")
    fields = {name: hidden(page, name) for name in ("token", "match", "poll_round")}
    assert [phone.post("/vote", data={**fields, "side": "left"}).status_code for _ in range(2)] == [303, 303]
    assert cast(evening) == 1


def test_the_order_of_the_verses_is_each_voters_own_and_stays(evening: Evening) -> None:
    evening.voting()
    phones = [evening.phone() for _ in range(24)]
    orders = [tuple(cards(phone.get("/"))) for phone in phones]
    assert len(set(orders)) == 2
    assert orders == [tuple(cards(phone.get("/"))) for phone in phones]


def test_bad_votes_get_a_clear_answer_and_change_nothing(evening: Evening) -> None:
    evening.voting()
    phone = evening.phone()
    token = token_of(phone.get("/"))
    bad = [
        ({"match": "r1m1", "poll_round": "0", "side": "middle"}, 422),
        ({"match": "r1m1", "poll_round": "0"}, 422),
        ({"match": "r9m9", "poll_round": "0", "side": "left"}, 404),
        ({"side": "left"}, 404),
        ({"match": "r1m2", "poll_round": "0", "side": "left"}, 409),
        ({"match": "r1m1", "poll_round": "1", "side": "left"}, 409),
        ({"match": "r1m1", "poll_round": "x", "side": "left"}, 409),
        ({"match": "r1m1" + "x" * 70_000, "poll_round": "0", "side": "left"}, 413),
    ]
    for fields, status in bad:
        answer = phone.post("/vote", data={"token": token, **fields})
        assert answer.status_code == status, fields
        assert "<h1>" in answer.text and "Go to the first page" in answer.text
    assert cast(evening) == 0


def test_a_vote_after_closing_is_refused_and_the_one_before_counts(evening: Evening) -> None:
    evening.voting(2)
    phone, late = evening.phone(), evening.phone()
    vote(phone, "left")
    page = late.get("/")
    evening.now += 60.5
    assert "The vote is over" in phone.get("/").text
    fields = {name: hidden(page, name) for name in ("token", "match", "poll_round")}
    answer = late.post("/vote", data={**fields, "side": "left"})
    assert answer.status_code == 409 and "closed" in answer.text
    bracket.close_due(evening.db, now=evening.now)
    assert late.post("/vote", data={**fields, "side": "left"}).status_code == 409
    assert "1 vote" in evening.phone().get("/results").text


def test_nobody_votes_in_the_match_of_their_own_verse(evening: Evening) -> None:
    authors = evening.voting(2)
    phone = evening.phone()
    post(phone, f"/mine/{authors[0].secret}", "/mine/link", secret=authors[0].secret)
    page = phone.get("/")
    assert "One of these verses is yours" in page.text and "<button" not in page.text
    answer = phone.post("/vote", data={"token": token_of(page), "match": "r1m1", "poll_round": "0", "side": "left"})
    assert answer.status_code == 403 and "yours" in answer.text
    assert cast(evening) == 0


def test_a_tie_is_voted_on_again_and_the_page_says_so(evening: Evening) -> None:
    evening.voting(2)
    phone = evening.phone()
    old = phone.get("/")
    evening.tie("r1m1")
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    page = phone.get("/")
    assert ", second vote" in page.text and hidden(page, "poll_round") == "1"
    stale = {name: hidden(old, name) for name in ("token", "match", "poll_round")}
    assert phone.post("/vote", data={**stale, "side": "left"}).status_code == 409
    assert vote(phone, "right").status_code == 303
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    assert "decided by the second vote" in phone.get("/results").text


@pytest.mark.parametrize("voted", [False, True])
def test_an_open_match_tells_nothing_but_the_two_verses(evening: Evening, voted: bool) -> None:
    authors = evening.voting(4)
    voters = [evening.phone() for _ in range(7)]
    for index, phone in enumerate(voters):
        vote(phone, "left" if index < 5 else "right")
    phone = voters[0] if voted else evening.phone()
    with evening.db.reading() as session:
        from arena.store.schema import Entry

        rows = session.query(Entry).all()
        secrets = {
            value
            for row in rows
            for value in (row.id, row.owner_id, row.claim_digest, row.bundle, row.tensors_sha256, row.name)
            if value
        }
    secrets |= {author.secret for author in authors} | {identity_of(author.secret).voter_id for author in authors}
    assert len(secrets) >= 4 * 6
    for address in ("/", "/stage", "/api/v1/state", "/results", "/enter", "/mine"):
        answer = phone.get(address)
        whole = answer.text + str(answer.headers)
        assert [secret for secret in secrets if secret in whole] == [], address
        assert "prompt" not in whole.lower() and "seed" not in whole.lower(), address
        seen = Tags(answer.text).text if answer.mimetype == "text/html" else whole
        for tally in ("5 : 2", "2 : 5", "5 votes", "2 votes"):
            assert tally not in seen, address
    for entry in authors:
        assert phone.get(f"/entries/{entry.entry}").status_code == 404
    on_ballot = {squeezed(card) for card in cards(phone.get("/"))}
    others = [author for author in authors if squeezed(author.text) not in on_ballot]
    assert len(others) == 2
    for address in ("/", "/stage", "/results"):
        shown = squeezed(Tags(phone.get(address).text).text)
        assert [author.name for author in others if squeezed(author.text) in shown] == [], address


def test_a_winner_that_plays_on_stays_unnamed_and_the_loser_is_named(evening: Evening) -> None:
    authors = evening.voting(4)
    phone = evening.phone()
    page = phone.get("/")
    vote(phone, "left")
    winner = next(author for author in authors if squeezed(author.text) == squeezed(cards(page)[0]))
    loser = next(author for author in authors if squeezed(author.text) == squeezed(cards(page)[1]))
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    for address in ("/", "/results", "/stage"):
        text = phone.get(address).text
        assert winner.name not in text, address
    assert phone.get(f"/entries/{winner.entry}").status_code == 404
    loser_is_out = len(authors) > 4  # with four, the loser of a semi-final plays for the third place
    assert (loser.name in phone.get("/results").text) == loser_is_out


def test_the_waiting_room_follows_the_evening(evening: Evening) -> None:
    phone = evening.phone()
    assert "The event has not started yet" in phone.get("/").text
    events.open_submissions(evening.db, closes_at=START + 600, now=evening.now)
    page = phone.get("/").text
    assert "Submissions are open" in page and "10:00" in page
    authors = [evening.author(f"Poet {seed}", seed) for seed in (10, 11)]
    assert len(authors) == 2
    events.close_submissions(evening.db, now=evening.now)
    assert "Every verse is being checked" in phone.get("/").text
    evening.verify_all()
    drawing.draw_bracket(evening.db, word=WORD, now=evening.now)
    assert "The bracket is drawn" in phone.get("/").text


def test_an_event_without_verses_says_so(evening: Evening) -> None:
    events.open_submissions(evening.db, now=evening.now)
    events.close_submissions(evening.db, now=evening.now)
    assert "Fewer than two verses take part so far" in evening.phone().get("/").text
    publishing.publish(evening.db, now=evening.now)
    for page in ("/", "/stage"):
        shown = Tags(evening.phone().get(page).text).text
        assert "ends without a champion" in shown and "Fewer than two verses took part" in shown
    assert evening.phone().get("/results").status_code == 200


def test_when_every_verse_is_disqualified_the_pages_say_so(evening: Evening) -> None:
    for author in evening.draw(2):
        disqualification.disqualify(evening.db, author.entry, "copied", now=evening.now)
    for page in ("/", "/stage"):
        assert "Every verse was disqualified" in evening.phone().get(page).text
    assert "there is no champion" in evening.organizer().get("/console").text


def test_the_last_verse_that_takes_part_is_champion_by_walkover(evening: Evening) -> None:
    author, other = evening.draw(2)
    disqualification.disqualify(evening.db, other.entry, "copied", now=evening.now)
    assert author.name in evening.phone().get("/").text
    assert author.name in evening.phone().get("/stage").text
    assert evening.phone().get(f"/entries/{author.entry}").status_code == 200


def test_the_first_page_is_small(evening: Evening) -> None:
    evening.voting()
    phone = evening.phone()
    page = phone.get("/", headers={"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip" and page.headers["Vary"] == "Accept-Encoding"
    total = len(page.data)
    text = gzip.decompress(page.data).decode()
    addresses = set(re.findall(r'(/static/[^"]+)', text))
    for address in addresses:
        answer = phone.get(address, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        total += len(answer.data)
    assert {"arena.css", "arena.js", "icon.svg"} == {re.sub(r".*/|\?.*", "", address) for address in addresses}
    assert total <= FIRST_PAGE_BYTES, total


def test_pages_that_refresh_themselves_do_so_without_javascript(evening: Evening) -> None:
    evening.voting()
    for address in ("/", "/stage", "/results"):
        text = evening.phone().get(address).text
        assert re.search(r'<noscript><meta http-equiv="refresh" content="\d+"></noscript>', text), address


def key_of(answer: TestResponse) -> str:
    """The key that arena.js makes, from the same answer."""
    state = answer.json
    match = state["match"] and OpenMatch(**state["match"])
    return phase_key(Snapshot(**{**state, "match": match, "matches": MatchCounts(**state["matches"])}))


def test_the_state_is_served_with_an_etag(evening: Evening) -> None:
    evening.voting()
    phone = evening.phone()
    first = phone.get("/api/v1/state")
    etag = first.headers["ETag"]
    assert phone.get("/api/v1/state", headers={"If-None-Match": etag}).status_code == 304
    vote(phone, "left")
    second = phone.get("/api/v1/state", headers={"If-None-Match": etag})
    assert second.status_code == 200 and second.json["match"]["votes"] == 1
    assert key_of(first) == key_of(second)
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert key_of(phone.get("/api/v1/state")) != key_of(first)


def test_pages_have_language_landmarks_and_names(evening: Evening) -> None:
    evening.voting()
    for address in ("/", "/results", "/enter", "/mine", "/nothing", "/console/login"):
        tags = Tags(evening.phone().get(address).text).tags
        names = [tag for tag, _ in tags]
        assert ("html", {"lang": "en"}) in tags, address
        assert names.count("main") == 1 and names.count("h1") == 1 and "header" in names, address
        ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
        assert len(ids) == len(set(ids)), address
        labelled = {attributes.get("for") for tag, attributes in tags if tag == "label"}
        for tag, attributes in tags:
            if tag == "input" and attributes.get("type") != "hidden" and attributes.get("aria-hidden") != "true":
                assert attributes.get("id") in labelled, address


def test_three_hundred_changes_of_one_vote_are_twenty_and_no_record(evening: Evening) -> None:
    evening.voting(2)
    phone = evening.phone()
    before = head(evening)
    answers = [vote(phone, ("left", "right")[number % 2]) for number in range(300)]
    assert [answer.status_code for answer in answers] == [303] * (1 + MAX_CHANGES) + [
        429 if number % 2 else 303 for number in range(MAX_CHANGES + 1, 300)
    ], "the same vote again is confirmed again"
    assert f"changed this vote {MAX_CHANGES} times" in answers[-1].text and "last one counts" in answers[-1].text
    assert head(evening) == before and cast(evening) == 1
    with evening.db.reading() as session:
        row = session.scalars(select(Vote)).one()
    assert (row.choice == row.shown_left, row.changes) == (MAX_CHANGES % 2 == 0, MAX_CHANGES)
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    assert "1 vote" in evening.phone().get("/results").text


def head(evening: Evening) -> int:
    return console_view(evening.db, now=evening.now).log_number


def test_the_page_of_results_is_made_once_until_a_match_is_decided(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening.voting(4)
    made: list[float] = []
    view = queries.results_view
    monkeypatch.setattr(queries, "results_view", lambda db, now: made.append(now) or view(db, now=now))
    zipped = {"Accept-Encoding": "gzip"}
    pages = set()
    for _ in range(5):
        vote(evening.phone(), "left")
        pages.add(evening.phone().get("/results", headers=zipped).data)
    assert (len(made), len(pages)) == (1, 1)
    assert gzip.decompress(pages.pop()).decode() == evening.phone().get("/results").text
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    shown = re.findall(r"(\d+) votes?", Tags(evening.phone().get("/results").text).text)
    assert (sum(map(int, shown)), len(made)) == (5, 2)


def test_pages_know_that_the_event_is_over(evening: Evening) -> None:
    author, _ = evening.draw(2)
    evening.decide("r1m1", author.text)
    publishing.publish(evening.db, now=evening.now)
    phone = evening.phone()
    post(phone, f"/mine/{author.secret}", "/mine/link", secret=author.secret)
    assert "The event is over" in phone.get("/enter").text and "still vote" not in phone.get("/enter").text
    assert "Vote from another phone" not in phone.get("/mine").text
    assert "Enter a verse</a></p>" not in evening.phone().get("/mine").text
