"""The stage and the console: an event is run on one page and followed on the other."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from arena.demo.simulated_voters import Form
from arena.rules.bracket import build_bracket
from arena.services import bracket, disqualification, events, voting
from arena.services.queries import console_view, get_next_match, results_view, stage_view
from arena.services.schemas import EventRules, MatchView, RoundView, StageView
from arena.web.filters import PAIR, STAGE_SIZES, first_words, single_line, stage_size, verse_lines
from arena.web.stage import REVEAL_SECONDS, visible_rounds
from tests.support.bundles import verses
from tests.support.evening import START, Evening, secret_of
from tests.support.pages import Tags, hidden, post, token_of, vote
from tests.support.trained_checkpoint import FOLIO_MODEL
from trainer.verse.bundle import read_bundle


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event", public_url="http://192.168.7.7:8000").create()


def act(client: FlaskClient, action: str, page: str | None = None, **fields: object) -> TestResponse:
    """Send a form of the console; from an older page, if one is given."""
    page = page or client.get("/console").text
    shown = {"token": token_of(page), "seen": hidden(page, "seen")}
    ballot = Form(page, f"/console/{action}").fields.get("poll_round")
    return client.post(f"/console/{action}", data={**shown, **({"poll_round": ballot} if ballot else {}), **fields})


def test_the_stage_follows_a_match(evening: Evening) -> None:
    screen = evening.phone()
    lobby = screen.get("/stage").text
    assert "Evening &lt;of&gt; verses" in lobby and "192.168.7.7:8000" in lobby and 'class="qr"' in lobby
    evening.draw(2)
    assert 'class="bracket' in screen.get("/stage").text
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    for _ in range(3):
        vote(evening.phone(), "left")
    text = screen.get("/stage").text
    assert text.count('<div class="verse"') == 2 and "1:00" in text
    assert re.search(r'votes <b class="num" data-live="match.votes">3</b>', text)
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    reveal = screen.get("/stage").text
    assert "reveal" in reveal and f'data-turn="{START + 61 + REVEAL_SECONDS}"' in reveal
    evening.now += REVEAL_SECONDS + 1
    assert "The champion" in screen.get("/stage").text


def test_the_stage_names_the_first_three(evening: Evening) -> None:
    authors = {author.entry: author for author in evening.draw(4)}
    while (match := get_next_match(evening.db, now=evening.now)) is not None and match.upper is not None:
        evening.decide(match.id, authors[match.upper.entry].text, voters=1)
    results = results_view(evening.db, now=evening.now)
    assert results.champion and results.second and results.third
    evening.now += REVEAL_SECONDS
    shown = Tags(evening.phone().get("/stage").text).text
    assert results.champion.name in shown
    assert f"Second: {results.second.name} · Third: {results.third.name}" in shown
    assert "It won the final by 1 vote to 0." in evening.phone().get("/").text


def test_the_log_of_the_console_has_the_times_of_the_machines_clock(evening: Evening) -> None:
    text = Tags(evening.organizer().get("/console").text).text
    assert time.strftime("%H:%M:%S The event was made.", time.localtime(START)) in text


def test_the_stage_sets_no_cookie_and_has_no_form(evening: Evening) -> None:
    evening.voting()
    answer = evening.phone().get("/stage")
    assert "Set-Cookie" not in answer.headers and "<form" not in answer.text


def test_an_evening_is_run_from_the_console(evening: Evening) -> None:
    client = evening.organizer()
    assert act(client, "submissions/open", minutes="10").status_code == 303
    assert "10:00" in client.get("/console").text
    assert act(client, "submissions/closing", minutes="5").status_code == 303
    assert "5:00" in client.get("/console").text
    authors = [evening.author(f"Poet {seed}", seed) for seed in (10, 11, 12)]
    assert "being checked" in evening.phone().get("/").text
    assert act(client, "submissions/close").status_code == 303
    too_soon = act(client, "draw", word="given by the room")
    assert too_soon.status_code == 409 and 'role="alert"' in too_soon.text
    evening.verify_all()
    assert act(client, "draw").status_code == 400, "the room has given no word"
    assert act(client, "draw", word="given by the room").status_code == 303
    assert act(client, "draw/undo").status_code == 303
    assert "given by the room" in client.get("/console").text
    assert act(client, "draw").status_code == 303, "the word stays"
    page = client.get("/console").text
    assert all(author.name in page for author in authors)
    assert not any(author.name in page[: page.index('<details id="all">')] for author in authors), "a mirrored screen"
    for match_id in re.findall(r"/console/matches/(\w+)/open", page)[:1]:
        assert act(client, f"matches/{match_id}/open", seconds="30").status_code == 303
        vote(evening.phone(), "left")
        assert "1 vote" in client.get("/console").text
        assert act(client, f"matches/{match_id}/close").status_code == 303
    while found := re.search(r"/console/matches/(\w+)/open", client.get("/console").text):
        assert act(client, f"matches/{found[1]}/open", seconds="0").status_code == 303
        vote(evening.phone(), "left")
        assert act(client, f"matches/{found[1]}/close").status_code == 303
    assert "The champion is" in client.get("/console").text
    assert act(client, "publish").status_code == 303
    assert events.current_event(evening.db).state == "published"


def test_the_console_undoes_and_disqualifies(evening: Evening) -> None:
    authors = evening.voting(4)
    client = evening.organizer()
    vote(evening.phone(), "left")
    assert act(client, "matches/r1m1/close").status_code == 303
    assert act(client, "matches/r1m1/undo").status_code == 303
    assert act(client, "matches/r1m1/open", seconds="30").status_code == 303
    assert act(client, f"entries/{authors[0].entry}/disqualify", reason="copied").status_code == 303
    assert "disqualified" in client.get("/console").text


def test_a_mistake_at_the_console_is_a_note_on_the_page(evening: Evening) -> None:
    client = evening.organizer()
    for action, fields in (
        ("submissions/open", {"minutes": "soon"}),
        ("submissions/open", {"minutes": "nan"}),
        ("submissions/open", {"minutes": "-5"}),
        ("draw", {}),
        ("matches/r9m9/open", {}),
        ("entries/0123/disqualify", {"reason": "x"}),
        ("publish", {}),
    ):
        answer = act(client, action, **fields)
        assert 400 <= answer.status_code < 500, action
        assert 'role="alert"' in answer.text and "Addresses" in answer.text, action
    assert events.current_event(evening.db).state == "draft"


def test_the_console_says_when_phones_cannot_reach_it(tmp_path: Path) -> None:
    assert "arena serve --lan" in Evening(tmp_path / "a").create().organizer().get("/console").text
    reached = Evening(tmp_path / "b", public_url="http://192.168.7.7:8000").create()
    assert "arena serve --lan" not in reached.organizer().get("/console").text


def test_equal_bundles_of_two_owners_are_shown_to_the_organizer(evening: Evening) -> None:
    evening.authors(1)
    evening.author("Copycat", 0)
    assert "same bundle as 1 other" in evening.organizer().get("/console").text


def test_both_verses_have_one_size_and_fit_the_screen() -> None:
    short, long = "A word", "\n".join(["the very long line of a very long verse that was written by a model"] * 7)
    assert stage_size([short, long]) == stage_size([long, short]) <= stage_size([short])
    assert stage_size([short]) == STAGE_SIZES[0]
    assert stage_size(["x" * 10_000]) == STAGE_SIZES[-1]
    lines = len(list(verse_lines(long)))
    assert lines * 1.42 * stage_size([long]) / 100 <= PAIR[1]


def test_a_verse_keeps_its_lines_and_its_spaces() -> None:
    assert list(verse_lines("\n  a  b\n\nHOBNET:\nc\n\n")) == [
        ("", "", "  a  b"),
        ("gap", "", ""),
        ("who", "", "HOBNET:"),
        ("", "", "c"),
    ]


@pytest.mark.parametrize(
    ("prompt", "text", "lines"),
    [
        ("\n", "One", [("", "", "One")]),
        ("The moo", "ne\nshines", [("", "The moo", "ne"), ("", "", "shines")]),
        ("A line\nand ", "half", [("", "A line", ""), ("", "and ", "half")]),
        ("A line\n", "\nTwo", [("", "A line", ""), ("gap", "", ""), ("", "", "Two")]),
        ("HOB", "NET:\nsays", [("who", "HOB", "NET:"), ("", "", "says")]),
        ("", "", []),
    ],
)
def test_a_verse_and_its_prompt_are_one_poem(prompt: str, text: str, lines: list[tuple[str, str, str]]) -> None:
    assert list(verse_lines(text, prompt)) == lines


def test_both_verses_have_the_same_letter_on_every_screen(evening: Evening) -> None:
    authors = {author.entry: author.text for author in evening.voting(2)}
    match = stage_view(evening.db, now=evening.now).open
    assert match and match.upper and match.lower
    text_of = {"A": authors[match.upper.entry], "B": authors[match.lower.entry]}
    orders = set()
    for number in range(12):
        ballot = voting.get_ballot(evening.db, "r1m1", secret_of(f"voter {number}"), now=evening.now)
        assert ballot.left.text == text_of[ballot.left.label] and ballot.right.text == text_of[ballot.right.label]
        orders.add(ballot.left.label + ballot.right.label)
    assert orders == {"AB", "BA"}, "only the positions are shuffled"


def test_names_cannot_steer_a_screen() -> None:
    assert single_line("a\x1b[2Jb\u202ec\nd") == "a\ufffd[2Jb\ufffdc\ufffdd"
    assert first_words("\x1b]0;x\x07 word") == "\ufffd]0;x\ufffd word"


def test_a_second_tap_on_close_leaves_the_second_vote_open(evening: Evening) -> None:
    evening.voting(2)
    evening.tie("r1m1")
    client = evening.organizer()
    page = client.get("/console").text
    assert act(client, "matches/r1m1/close", page).status_code == 303
    again = act(client, "matches/r1m1/close", page)
    assert again.status_code == 409 and "Already done: the votes of r1m1 were counted" in again.text
    match = stage_view(evening.db, now=evening.now).open
    assert match and (match.id, match.poll_round) == ("r1m1", 1)


def test_a_tap_just_after_the_clock_closed_a_tie_leaves_the_second_vote_open(evening: Evening) -> None:
    evening.voting(2, seconds=60)
    evening.tie("r1m1")
    client = evening.organizer()
    page = client.get("/console").text
    evening.now += 60
    bracket.close_due(evening.db, now=evening.now)
    assert act(client, "matches/r1m1/close", page).status_code == 409
    match = stage_view(evening.db, now=evening.now).open
    assert match and match.poll_round == 1 and match.votes == 0


def test_the_console_asks_what_to_do_with_a_match_that_nobody_votes_on(evening: Evening) -> None:
    evening.voting(2, seconds=60)
    client = evening.organizer()
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    page = client.get("/console").text
    assert "It stays open until somebody has voted" in page
    assert act(client, "matches/r1m1/close", page).status_code == 409
    assert act(client, "matches/r1m1/time", seconds="30").status_code == 303
    assert "0:30" in client.get("/console").text
    assert act(client, "matches/r1m1/time", seconds="").status_code == 303
    assert act(client, "matches/r1m1/close", by_lot="1").status_code == 303
    assert "draw" in client.get("/console").text and console_view(evening.db, now=evening.now).phase == "champion"


def test_a_disqualified_verse_is_let_in_again_from_the_console(evening: Evening) -> None:
    author = evening.draw(3)[0]
    client = evening.organizer()
    assert act(client, f"entries/{author.entry}/disqualify", reason="copied").status_code == 303
    page = client.get("/console").text
    assert f"entries/{author.entry}/reinstate" in page
    assert act(client, f"entries/{author.entry}/reinstate", page).status_code == 303
    assert act(client, f"entries/{author.entry}/reinstate", page).status_code == 409, "a second tap"
    assert console_view(evening.db, now=evening.now).counts["verified"] == 3


def test_votes_do_not_make_a_console_page_outdated(evening: Evening) -> None:
    evening.voting(2)
    client = evening.organizer()
    page = client.get("/console").text
    vote(evening.phone(), "left")
    vote(evening.phone(), "left")
    assert act(client, "matches/r1m1/close", page).status_code == 303


OLD_TABS = {  # what one tab does, and what another one, which was opened before, then asks for
    "opening a closed match": (["matches/r1m1/close", "matches/r1m1/undo"], "matches/r1m1/open", {"seconds": "30"}),
    "undoing fresh votes": (["matches/r1m1/undo", "matches/r1m1/open"], "matches/r1m1/undo", {}),
    "undoing a result": (["matches/r1m1/close"], "matches/r1m1/undo", {}),
}


@pytest.mark.parametrize("case", OLD_TABS)
def test_an_old_tab_of_the_console_changes_no_match(evening: Evening, case: str) -> None:
    first, then, fields = OLD_TABS[case]
    evening.draw(2)
    one, other = evening.organizer(), evening.organizer()
    if then.endswith("open"):
        page = other.get("/console").text
    act(one, "matches/r1m1/open", seconds="0")
    vote(evening.phone(), "left")
    if not then.endswith("open"):
        page = other.get("/console").text
    for action in first:
        assert act(one, action).status_code == 303, action
    before = console_view(evening.db, now=evening.now)
    answer = act(other, then, page, **fields)
    assert answer.status_code == 409 and "Already done" in answer.text
    assert console_view(evening.db, now=evening.now).log_number == before.log_number


def test_an_old_tab_of_the_console_changes_no_event(evening: Evening) -> None:
    one, other = evening.organizer(), evening.organizer()
    first = other.get("/console").text
    assert act(one, "submissions/open").status_code == 303
    assert act(other, "submissions/open", first).status_code == 409
    opened = other.get("/console").text
    authors = [evening.author(f"Poet {seed}", seed) for seed in (10, 11)]
    evening.verify_all()
    assert act(one, "submissions/close").status_code == 303
    assert act(one, "submissions/open", one.get("/console").text, minutes="10").status_code == 303
    assert act(other, "submissions/close", opened).status_code == 409  # it would close what was opened again
    assert act(other, "submissions/closing", opened, minutes="3").status_code == 409
    assert events.current_event(evening.db).state == "open"
    assert act(one, "submissions/close").status_code == 303
    closed = other.get("/console").text
    assert act(one, "draw", word="ours").status_code == 303
    assert act(other, "draw", closed, word="theirs").status_code == 409
    drawn = other.get("/console").text
    assert act(one, "draw/undo").status_code == 303
    assert act(one, "draw").status_code == 303
    assert act(other, "draw/undo", drawn).status_code == 409
    shown = other.get("/console").text
    entry = authors[0].entry
    assert act(one, f"entries/{entry}/disqualify", reason="copied").status_code == 303
    disqualification.reinstate(evening.db, entry, now=evening.now)
    assert act(other, f"entries/{entry}/disqualify", shown, reason="copied").status_code == 409
    assert console_view(evening.db, now=evening.now).counts["disqualified"] == 0
    act(one, "matches/r1m1/open", seconds="0")
    vote(evening.phone(), "left")
    act(one, "matches/r1m1/close")
    over = other.get("/console").text
    assert act(one, "matches/r1m1/undo").status_code == 303
    assert act(other, "publish", over).status_code == 409
    assert events.current_event(evening.db).state == "drawn"


def test_a_form_that_does_not_say_what_it_was_shown_changes_nothing(evening: Evening) -> None:
    client = evening.organizer()
    for seen in ("", "x", "-1", "9" * 13):
        assert act(client, "submissions/open", seen=seen).status_code == 422
    assert events.current_event(evening.db).state == "draft"


def test_every_problem_at_the_console_leads_back_to_the_console(evening: Evening) -> None:
    evening.voting(2)
    client = evening.organizer()
    page = client.get("/console").text
    act(client, "matches/r1m1/close", page)
    already_done = act(client, "matches/r1m1/close", page)
    assert 'data-page="/console"' in already_done.text, "arena.js must not ask for the address of the form again"
    no_token = client.post("/console/draw", data={"seen": "1"})
    no_page = client.get("/console/nothing")
    assert [answer.status_code for answer in (already_done, no_token, no_page)] == [409, 403, 404]
    for answer in (already_done, no_token, no_page):
        links = [attributes.get("href") for tag, attributes in Tags(answer.text).tags if tag == "a"]
        elsewhere = [link for link in links if link and not link.startswith(("#", "/console", "http"))]
        assert "/console" in links and not elsewhere, "the console's port has no other pages"


def test_an_owner_finds_the_results_of_a_verse_after_its_last_match(evening: Evening) -> None:
    authors = {author.entry: author for author in evening.draw(3)}
    match = get_next_match(evening.db, now=evening.now)
    assert match is not None and match.upper is not None and match.lower is not None
    loser, winner = authors[match.upper.entry], authors[match.lower.entry]
    phone = evening.phone()
    post(phone, f"/mine/{loser.secret}", "/mine/link", secret=loser.secret)
    assert "/entries/" not in phone.get("/mine").text
    evening.decide(match.id, winner.text, voters=2)
    page = phone.get("/mine").text
    assert "it has played its last match" in page and f'href="/entries/{loser.entry}"' in page
    assert f"{match.title}: lost (0 : 2)" in Tags(phone.get(f"/entries/{loser.entry}").text).text
    final = get_next_match(evening.db, now=evening.now)
    assert final is not None
    evening.decide(final.id, winner.text, voters=1)
    results = results_view(evening.db, now=evening.now)
    first = next(side for side in (final.upper, final.lower) if side and side.entry != winner.entry)
    assert f"{winner.name}" in phone.get(f"/entries/{winner.entry}").text
    bye = Tags(phone.get(f"/entries/{first.entry}").text).text
    assert ": a bye" in bye and results.champion and results.champion.entry == winner.entry


def alive(view: StageView) -> list[list[str]]:
    return [[match.id for match in column.matches] for column in visible_rounds(view)]


def bracket_of(count: int, closed: int = 0) -> StageView:
    """A bracket of so many entries, of which the first matches in the order of play are closed."""
    planned = build_bracket(count)
    blank = {"title": "", "upper": None, "lower": None, "ready": False, "poll_round": 0, "opens_at": None}
    blank |= {"opened_at": None, "paused": False}
    blank |= {"closes_at": None, "closed_at": None, "votes": None, "tallies": None, "decided_by": None, "winner": None}
    matches = [
        MatchView(id=m.id, round=m.round, kind=m.kind, state="closed" if number < closed else "pending", **blank)
        for number, m in enumerate(planned)
    ]
    rounds = [
        RoundView(number, "", [match for match in matches if match.round == number])
        for number in range(1, max(match.round for match in matches) + 1)
    ]
    following = next((match for match in matches if match.state == "pending"), None)
    names = ("event", "phase", "counts", "playing", "voters", "open", "opened", "last")
    unused = dict.fromkeys((*names, "champion", "champion_facts", "second", "third"))
    return StageView(**unused, next=following, rounds=rounds, log_number=1, log_hash="")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 3, 8, 9, 16])
def test_a_small_bracket_is_shown_whole(count: int) -> None:
    assert sum(map(len, alive(bracket_of(count)))) == len(build_bracket(count))


def test_of_a_large_bracket_the_part_that_is_played_is_shown() -> None:
    assert [len(column) for column in alive(bracket_of(1_024))] == [8, 4, 2, 1]
    assert alive(bracket_of(40))[0] == [f"r1m{slot}" for slot in range(1, 9)]
    later = alive(bracket_of(40, closed=9))
    assert later[0] == [f"r1m{slot}" for slot in range(9, 17)] and later[1] == ["r2m5", "r2m6", "r2m7", "r2m8"]
    assert later[3] == ["r4m2"], "where the winners of these meet"
    quarter = alive(bracket_of(40, closed=32 + 16))
    assert quarter[0][0] == "r3m1" and quarter[-1] == ["third", "r6m1"]


def test_the_stage_tells_the_story_of_the_champion(evening: Evening) -> None:
    author = evening.draw(2)[0]
    evening.decide("r1m1", author.text)
    evening.now += REVEAL_SECONDS + 1
    page = evening.phone().get("/stage").text
    assert re.search(r"[\d,]+ weights", page) and re.search(r"seed \d+", page)


def test_the_stage_tells_the_loss_of_the_champion_in_bits_per_character_which_all_tokenizers_share(
    evening: Evening,
) -> None:
    evening.open()
    evening.drawn([FOLIO_MODEL.read_bytes(), *verses(1)])
    evening.decide("r1m1", read_bundle(FOLIO_MODEL).claim.text)
    evening.now += REVEAL_SECONDS + 1
    page = evening.phone().get("/stage")
    assert "1.97 bits per character" in page.text and "loss" not in page.text


def test_the_stage_shows_both_verses_before_their_vote_and_then_the_vote(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").create(EventRules(reading_seconds=15))
    evening.voting(2)
    screen, phone = evening.phone(), evening.phone()
    assert "the vote begins in" in screen.get("/stage").text and "Read both verses" in phone.get("/").text
    evening.now += 15  # nothing is written then
    assert "Which verse is better?" in screen.get("/stage").text
    assert "Which verse is better?" in phone.get("/").text
    evening.end()
