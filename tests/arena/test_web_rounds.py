"""Rounds at once, the clock that stands, and the practice vote: on phones, on the stage, on the console, by command."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.rules.timetable import REVEAL_SECONDS
from arena.services.bracket import close_due, open_match
from arena.services.events import set_rules
from arena.services.practice import open_practice
from arena.services.queries import snapshot, stage_view
from arena.services.rounds import open_round, pause
from tests.support.evening import Evening, secret_of
from tests.support.pages import hidden, post, token_of, vote


@pytest.fixture
def drawn(evening: Evening) -> Evening:
    evening.create()
    evening.draw(8)
    return evening


def act(client, action: str, **fields: str):  # type: ignore[no-untyped-def]
    page = client.get("/console")
    return client.post(action, data={"token": token_of(page), "seen": hidden(page, "seen"), **fields})


def test_a_phone_votes_down_the_list_and_changes_a_vote_from_it(drawn: Evening) -> None:
    open_round(drawn.db, seconds=100, now=drawn.now)
    phone = drawn.phone()
    for number in range(4):
        page = phone.get("/").text
        assert f"Quarter-final {number + 1}<" in page and f"you have voted on {number}." in page
        assert vote(phone, "left").status_code == 303
    page = phone.get("/").text
    assert "Your votes are saved" in page and page.count("your vote is") == 4
    changed = phone.get("/?match=r1m3")
    assert "Change my vote to" in changed.text and 'href="/">Your votes' in changed.text
    fields = {name: hidden(changed, name) for name in ("token", "match", "poll_round")}
    phone.post("/vote", data={**fields, "side": "right"})
    state = snapshot(drawn.db, now=drawn.now)
    assert state.round and state.round.votes == 4
    drawn.now += 101
    assert "counted one match after another" in phone.get("/").text
    assert "?match=nowhere" not in phone.get("/?match=nowhere").text


def test_an_author_is_led_past_the_own_match(drawn: Evening) -> None:
    open_round(drawn.db, seconds=100, now=drawn.now)
    author = drawn.phone()
    secret = secret_of("Poet 0")
    author.post("/mine/link", data={"token": token_of(author.get(f"/mine/{secret}")), "secret": secret})
    for _ in range(3):
        assert vote(author, "left").status_code == 303
    page = author.get("/").text
    assert page.count("your vote is") == 3 and "one of the verses is yours" in page


def test_the_stage_shows_the_round_then_each_result(drawn: Evening) -> None:
    open_round(drawn.db, seconds=100, now=drawn.now)
    stage = drawn.phone().get("/stage").text
    assert "4 matches open" in stage and stage.count("<h2>Quarter-final") == 4
    phones = [drawn.phone() for _ in range(3)]
    for phone in phones:
        for _ in range(4):
            vote(phone, "left")
    drawn.now += 101
    assert "counted, one match after another" in drawn.phone().get("/stage").text
    for number in range(1, 5):
        (result,) = close_due(drawn.db, now=drawn.now)
        if result.state == "open":  # a tie: voters see other sides on the left
            assert "A tie: the second vote" in drawn.phone().get("/stage").text
            vote(phones[0], "left")
            drawn.now += 31
            close_due(drawn.db, now=drawn.now)
        page = drawn.phone().get("/stage").text
        assert f"<h1>Quarter-final {number}<" in page and "verdict" in page
        drawn.now += REVEAL_SECONDS


def test_the_console_opens_pauses_extends_and_closes_a_round(drawn: Evening) -> None:
    organizer = drawn.organizer()
    assert "Open 4 matches at once" in organizer.get("/console").text
    assert act(organizer, "/console/round/open", seconds="60").status_code == 303
    assert "4 matches</b> are open" in organizer.get("/console").text
    assert act(organizer, "/console/clock/pause").status_code == 303
    page = organizer.get("/console").text
    assert "Go on" in page and ", paused" in page
    assert "The clock stands" in drawn.phone().get("/stage").text and "paused" in drawn.phone().get("/").text
    drawn.now += 500
    act(organizer, "/console/clock/resume")
    act(organizer, "/console/clock/extend", seconds="30")
    assert {match.closes_at for match in stage_view(drawn.db, now=drawn.now).opened} == {drawn.now + 90}
    assert act(organizer, "/console/round/close").status_code == 303
    assert "Count Quarter-final 1 now" in organizer.get("/console").text
    refused = act(organizer, "/console/matches/r1m1/close", poll_round="0")
    assert refused.status_code == 409 and "Nobody has voted" in refused.text
    phone_page = drawn.phone().get("/").text
    assert "The votes are over" in phone_page


def test_phones_and_stage_say_that_a_practice_is_one(evening: Evening) -> None:
    evening.create()
    organizer = evening.organizer()
    assert act(organizer, "/console/practice/open", seconds="30").status_code == 303
    phone = evening.phone()
    page = phone.get("/").text
    assert "Practice" in page and "counts for nothing" in page
    assert post(phone, "/", "/practice", side="left").status_code == 303
    assert "Your vote is saved" in phone.get("/").text
    stage = evening.phone().get("/stage").text
    assert "<h1>Practice" in stage and 'data-live="practice.votes">1<' in stage
    assert act(organizer, "/console/practice/close").status_code == 303
    assert "Practice" not in phone.get("/").text
    late = phone.post("/practice", data={"token": token_of(page), "side": "left"})
    assert late.status_code == 409 and "counted for nothing" in late.text


def test_pages_change_when_something_of_this_opens(drawn: Evening) -> None:
    key = re.compile(r'data-key="([^"]*)"')

    def current() -> str:
        return key.findall(drawn.phone().get("/").text)[0]

    keys = [current()]
    open_practice(drawn.db, now=drawn.now)
    keys.append(current())
    open_match(drawn.db, "r1m1", now=drawn.now)
    keys.append(current())
    pause(drawn.db, now=drawn.now)
    keys.append(current())
    assert len(set(keys)) == 4


def test_commands_open_rounds_pause_and_practise(drawn: Evening) -> None:
    def arena(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*words, "--dir", str(drawn.folder)])
        return result.exit_code, result.output

    assert arena("match", "warm-up", "--seconds", "0") == (0, "a practice vote is open on the stage and the phones\n")
    assert arena("match", "warm-up", "--end") == (0, "the practice vote is over; 0 people voted\n")
    assert "nothing to pause" in arena("match", "pause")[1]
    assert "name none" in arena("match", "open", "r1m1", "--round")[1]
    assert arena("match", "open", "--round", "--seconds", "100")[1].count("(0 votes until") == 4
    assert arena("match", "pause")[1].count(", paused)") == 4
    assert arena("match", "resume")[1].count("until") == 4
    assert arena("match", "time", "--more", "30")[1].count("until") == 4
    assert arena("match", "time", "--more", "30", "--by-hand")[0] == 2
    assert "leave the rest out" in arena("match", "close", "--round", "--revote")[1]
    assert "no more votes on 4 matches" in arena("match", "close", "--round")[1]


def test_the_console_proposes_what_fits_into_the_time(drawn: Evening) -> None:
    organizer = drawn.organizer()
    assert "all 8 play, one match at a time" in organizer.get("/console/plan").text
    page = organizer.get("/console/plan?entries=40&voters=60&minutes=30").text
    assert "Into 30 minutes fits" in page and "Heats, 10 pairs a voter" in page and "best 8 play" in page
    assert "Nothing of this fits into 3 minutes" in organizer.get("/console/plan?entries=40&minutes=3").text
    assert organizer.get("/console/plan?minutes=nan").status_code == 422
    assert drawn.visitor().get("/console/plan").status_code == 303, "only inside"


def test_while_a_round_is_read_a_phone_shows_two_verses_and_the_way_to_the_others(drawn: Evening) -> None:
    set_rules(drawn.db, reading_seconds=30, now=drawn.now)
    open_round(drawn.db, seconds=100, now=drawn.now)
    phone = drawn.phone()
    page = phone.get("/").text
    assert page.count('class="verse"') == 2 and "4 matches begin together." in page and "<button" not in page
    assert 'href="/?match=r1m2">Read the next two verses' in page
    assert 'href="/?match=r1m1">Read the next two verses' in phone.get("/?match=r1m4").text
    listed = phone.get("/?match=all").text
    assert listed.count("two verses to read") == 4
    drawn.now += 30
    assert "you have voted on 0." in phone.get("/").text and vote(phone, "left").status_code == 303
