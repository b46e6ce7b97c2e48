"""All matches of a round at once, the clock that stands and goes on, and the vote for practice."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from arena.errors import (
    AlreadyDone,
    AnotherMatchOpen,
    BadSetting,
    MatchClosed,
    NoMatchReady,
    NothingOpen,
    PracticeOver,
    TooManyChanges,
    VoteNotBegun,
    WrongState,
)
from arena.rules.timetable import REVEAL_SECONDS
from arena.services.bracket import close_due, close_match, open_match, set_match_time, undo_match
from arena.services.log import verify_log
from arena.services.practice import MAX_CHANGES, cast_practice, close_practice, get_practice, open_practice
from arena.services.publishing import publish
from arena.services.queries import console_view, latest_record, snapshot, stage_view
from arena.services.rounds import close_round, extend, open_round, pause, resume
from arena.services.schemas import EventRules
from arena.services.voting import get_ballot, get_round
from arena.store.schema import PracticeVote, Vote
from tests.support.bundles import verses
from tests.support.evening import Evening, secret_of


def drawn(evening: Evening, count: int, reading: float = 0) -> Evening:
    evening.begin(EventRules(reading_seconds=reading))
    evening.drawn(verses(count))
    return evening


def vote_upper(evening: Evening, match: str, voters: int = 3) -> None:
    opened = next(m for m in stage_view(evening.db, now=evening.now).opened if m.id == match)
    assert opened.upper
    for number in range(voters):
        evening.vote(f"voter{number}", match, opened.upper.text or "")


def open_ids(evening: Evening) -> list[str]:
    return [match.id for match in stage_view(evening.db, now=evening.now).opened]


def test_a_round_is_voted_at_once_and_counted_one_match_after_another(evening: Evening) -> None:
    drawn(evening, 8)
    opened = open_round(evening.db, seconds=120, now=evening.now)
    assert [match.id for match in opened] == open_ids(evening) == ["r1m1", "r1m2", "r1m3", "r1m4"]
    state = snapshot(evening.db, now=evening.now)
    assert state.round and (state.round.title, state.round.matches) == ("Quarter-final", 4)
    for match in open_ids(evening):
        vote_upper(evening, match)
    assert [item.choice for item in get_round(evening.db, secret_of("voter0"), now=evening.now)] == ["A"] * 4
    assert close_due(evening.db, now=evening.now + 119) == []
    evening.now += 121
    with pytest.raises(MatchClosed):
        evening.vote("late", "r1m4", get_ballot(evening.db, "r1m4", secret_of("late"), now=evening.now).left.text)
    for number in range(4):
        assert [result.match for result in close_due(evening.db, now=evening.now)] == [f"r1m{number + 1}"]
        assert close_due(evening.db, now=evening.now + REVEAL_SECONDS - 1) == [], "the room looks at the result"
        evening.now += REVEAL_SECONDS
    assert open_ids(evening) == []
    assert [match.id for match in open_round(evening.db, now=evening.now)] == ["r2m1", "r2m2"]


def test_a_tie_in_a_round_has_its_second_vote_before_the_next_count(evening: Evening) -> None:
    drawn(evening, 4)
    open_round(evening.db, seconds=60, now=evening.now)
    for voter, side in (("one", "upper"), ("two", "lower")):
        match = next(m for m in stage_view(evening.db, now=evening.now).opened if m.id == "r1m1")
        evening.vote(voter, "r1m1", getattr(match, side).text)
    vote_upper(evening, "r1m2")
    evening.now += 61
    (tied,) = close_due(evening.db, now=evening.now)
    assert (tied.match, tied.state, tied.poll_round) == ("r1m1", "open", 1)
    state = snapshot(evening.db, now=evening.now)
    assert state.match and (state.match.id, state.match.poll_round) == ("r1m1", 1)
    assert close_due(evening.db, now=evening.now + 20) == []
    vote_upper(evening, "r1m1")
    evening.now += 31
    assert [result.decided_by for result in close_due(evening.db, now=evening.now)] == ["revote"]
    evening.now += REVEAL_SECONDS
    assert [result.match for result in close_due(evening.db, now=evening.now)] == ["r1m2"]


def test_a_match_of_a_round_without_votes_stays_open_and_holds_up_no_other(evening: Evening) -> None:
    drawn(evening, 4)
    open_round(evening.db, seconds=60, now=evening.now)
    vote_upper(evening, "r1m2")
    evening.now += 61
    assert [result.match for result in close_due(evening.db, now=evening.now)] == ["r1m2"]
    assert open_ids(evening) == ["r1m1"]
    with pytest.raises(AnotherMatchOpen):
        open_match(evening.db, "third", now=evening.now)
    assert close_match(evening.db, "r1m1", poll_round=0, by_lot=True, now=evening.now).decided_by == "draw"


def test_a_round_is_closed_by_hand_and_third_place_and_final_come_one_after_another(evening: Evening) -> None:
    drawn(evening, 4)
    with pytest.raises(NothingOpen):
        close_round(evening.db, now=evening.now)
    open_round(evening.db, seconds=0, now=evening.now)
    with pytest.raises(AnotherMatchOpen):
        open_round(evening.db, now=evening.now)
    seen = latest_record(evening.db)
    for match in ("r1m1", "r1m2"):
        vote_upper(evening, match)
    close_round(evening.db, seen=seen, now=evening.now)
    with pytest.raises(AlreadyDone):
        close_round(evening.db, seen=seen, now=evening.now)
    for _ in range(2):
        assert len(close_due(evening.db, now=evening.now)) == 1
        evening.now += REVEAL_SECONDS
    for match in ("third", "r2m1"):
        assert [view.id for view in open_round(evening.db, now=evening.now)] == [match]
        vote_upper(evening, match)
        close_match(evening.db, match, poll_round=0, now=evening.now)
    with pytest.raises(NoMatchReady):
        open_round(evening.db, now=evening.now)
    publish(evening.db, now=evening.now)
    verify_log(evening.db)


def test_a_match_of_a_round_is_undone_alone(evening: Evening) -> None:
    drawn(evening, 4)
    open_round(evening.db, seconds=60, now=evening.now)
    vote_upper(evening, "r1m1")
    close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    undo_match(evening.db, "r1m1", now=evening.now)
    assert open_ids(evening) == ["r1m2"]
    vote_upper(evening, "r1m2")
    close_match(evening.db, "r1m2", poll_round=0, now=evening.now)
    assert [view.id for view in open_round(evening.db, now=evening.now)] == ["r1m1"]


def test_a_paused_match_keeps_the_time_it_had_left_and_takes_votes(evening: Evening) -> None:
    drawn(evening, 2)
    open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    with pytest.raises(NothingOpen):
        resume(evening.db, now=evening.now)
    evening.now += 40
    seen = latest_record(evening.db)
    assert pause(evening.db, seen=seen, now=evening.now)[0].paused
    with pytest.raises(AlreadyDone, match="was paused"):
        pause(evening.db, seen=seen, now=evening.now)
    with pytest.raises(NothingOpen):
        pause(evening.db, now=evening.now)
    state = snapshot(evening.db, now=evening.now).match
    assert state and state.paused and state.closes_at is None
    evening.now += 1_000
    assert close_due(evening.db, now=evening.now) == []
    vote_upper(evening, "r1m1")
    (match,) = resume(evening.db, now=evening.now)
    assert match.closes_at == evening.now + 20
    assert close_due(evening.db, now=evening.now + 19) == []
    assert [result.state for result in close_due(evening.db, now=evening.now + 20)] == ["closed"]


def test_a_pause_while_the_verses_are_read_holds_the_beginning_of_the_vote(evening: Evening) -> None:
    drawn(evening, 2, reading=15)
    open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    evening.now += 10
    pause(evening.db, now=evening.now)
    evening.now += 100
    with pytest.raises(VoteNotBegun):
        vote_upper(evening, "r1m1")
    (match,) = resume(evening.db, now=evening.now)
    assert (match.opens_at, match.closes_at) == (evening.now + 5, evening.now + 65)
    pause(evening.db, now=evening.now)
    evening.now += 7
    changed = set_match_time(evening.db, "r1m1", poll_round=0, closes_at=evening.now + 90, now=evening.now)
    assert not changed.paused and (changed.opens_at, changed.closes_at) == (evening.now + 5, evening.now + 90)


def test_open_matches_get_more_time(evening: Evening) -> None:
    drawn(evening, 4)
    with pytest.raises(NothingOpen):
        extend(evening.db, 30, now=evening.now)
    open_round(evening.db, seconds=60, now=evening.now)
    assert {match.closes_at for match in extend(evening.db, 30, now=evening.now + 50)} == {evening.now + 90}
    pause(evening.db, now=evening.now + 80)
    extend(evening.db, 30, now=evening.now + 500)
    assert {match.closes_at for match in resume(evening.db, now=evening.now + 600)} == {evening.now + 640}
    for wrong in (0, -5, 10**9):
        with pytest.raises(BadSetting):
            extend(evening.db, wrong, now=evening.now)


def test_a_practice_vote_counts_for_nothing_and_leaves_no_vote(evening: Evening) -> None:
    evening.begin()
    assert get_practice(evening.db, secret_of("vera"), now=evening.now) is None
    with pytest.raises(PracticeOver):
        cast_practice(evening.db, secret_of("vera"), "left", now=evening.now)
    open_practice(evening.db, seconds=30, now=evening.now)
    for number in range(5):
        cast_practice(evening.db, secret_of(f"voter{number}"), "left", now=evening.now)
    cast_practice(evening.db, secret_of("voter0"), "right", now=evening.now)
    ballot = get_practice(evening.db, secret_of("voter0"), now=evening.now)
    assert ballot and ballot.choice == "right" and ballot.left.text != ballot.right.text
    practice = snapshot(evening.db, now=evening.now).practice
    assert practice and practice.votes == 5
    close_due(evening.db, now=evening.now + 31)
    with evening.db.reading() as session:
        for table in (PracticeVote, Vote):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    assert snapshot(evening.db, now=evening.now).practice is None
    assert console_view(evening.db, now=evening.now).recent[0]["data"] == {"votes": 5}


def test_a_practice_vote_is_not_changed_without_end(evening: Evening) -> None:
    evening.begin()
    open_practice(evening.db, seconds=0, now=evening.now)
    with pytest.raises(TooManyChanges):
        for number in range(MAX_CHANGES + 3):
            cast_practice(evening.db, secret_of("vera"), ("left", "right")[number % 2], now=evening.now)
    assert close_practice(evening.db, now=evening.now) == 1
    with pytest.raises(NothingOpen):
        close_practice(evening.db, now=evening.now)


def test_a_match_ends_the_practice_and_no_practice_begins_beside_a_match(evening: Evening) -> None:
    drawn(evening, 2)
    open_practice(evening.db, seconds=0, now=evening.now)
    open_match(evening.db, "r1m1", now=evening.now)
    assert snapshot(evening.db, now=evening.now).practice is None
    with pytest.raises(AnotherMatchOpen):
        open_practice(evening.db, now=evening.now)
    vote_upper(evening, "r1m1")
    close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    with pytest.raises(WrongState):
        open_practice(evening.db, now=evening.now)


def test_the_only_played_match_of_nine_entries_is_the_first(evening: Evening) -> None:
    drawn(evening, 9)
    upcoming = stage_view(evening.db, now=evening.now).next
    assert upcoming and upcoming.title == "Round of 16, match 1"
