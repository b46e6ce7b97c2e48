"""The services of voting: blind ballots in a random order, one vote per voter, until the match closes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from arena.errors import (
    BadSecret,
    BadSide,
    MatchClosed,
    MatchNotFound,
    MatchNotOpen,
    OwnMatch,
    PollRoundOver,
    VoteNotBegun,
)
from arena.services.bracket import close_due, close_match, open_match, undo_match
from arena.services.log import verify_log
from arena.services.queries import snapshot, stage_view
from arena.services.schemas import EventRules, Snapshot
from arena.services.voting import cast_vote, get_ballot
from arena.store.schema import Vote
from tests.support.bundles import verses
from tests.support.evening import Evening, secret_of


@pytest.fixture
def final(evening: Evening) -> Evening:
    """Two verses, and their match is open."""
    evening.begin()
    evening.drawn(verses(2))
    open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    return evening


def votes(evening: Evening) -> int:
    with evening.db.reading() as session:
        return session.scalar(select(func.count()).select_from(Vote)) or 0


def votes_of(state: Snapshot) -> int:
    assert state.match is not None
    return state.match.votes


def test_each_voter_sees_the_two_verses_in_an_order_of_their_own_that_never_changes(final: Evening) -> None:
    texts = set()
    for number in range(20):
        shown = get_ballot(final.db, "r1m1", secret_of(f"v{number}"), now=final.now)
        assert shown == get_ballot(final.db, "r1m1", secret_of(f"v{number}"), now=final.now)
        assert (shown.title, shown.poll_round, shown.choice, shown.mine, shown.open) == ("Final", 0, None, False, True)
        texts.add((shown.left.text, shown.right.text))
    assert len(texts) == 2 and {left for left, _ in texts} == {right for _, right in texts}


def test_a_vote_for_a_side_counts_for_the_verse_shown_on_that_side(final: Evening) -> None:
    stage = stage_view(final.db, now=final.now)
    assert stage.open and stage.open.lower and stage.open.lower.text
    for number in range(10):
        final.vote(f"v{number}", "r1m1", stage.open.lower.text)
    result = close_match(final.db, "r1m1", poll_round=0, now=final.now)
    assert result.tallies == [[0, 10]] and result.winner == stage.open.lower.entry
    with final.db.reading() as session:
        rows = session.scalars(select(Vote)).all()
    assert {row.choice for row in rows} == {"lower"} and {row.shown_left for row in rows} == {"upper", "lower"}


def test_a_vote_can_be_changed_until_the_match_closes(final: Evening) -> None:
    one = cast_vote(final.db, "r1m1", secret_of("v"), "left", 0, now=final.now)
    final.now += 1
    two = cast_vote(final.db, "r1m1", secret_of("v"), "right", 0, now=final.now)
    again = cast_vote(final.db, "r1m1", secret_of("v"), "right", 0, now=final.now + 1)
    assert (one.changed, two.changed, again.changed) == (False, True, False) and again.cast_at == two.cast_at
    assert get_ballot(final.db, "r1m1", secret_of("v"), now=final.now).choice == "right"
    assert votes(final) == 1 and sum(close_match(final.db, "r1m1", poll_round=0, now=final.now).tallies[0]) == 1


def test_a_double_tap_is_one_vote(final: Evening) -> None:
    start = threading.Barrier(8)

    def tap(side: str) -> bool:
        start.wait()
        return cast_vote(final.db, "r1m1", secret_of("v"), side, 0, now=final.now).changed

    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(tap, ["left", "left", "right", "left", "right", "left", "left", "left"]))
    assert changed.count(False) >= 1 and votes(final) == 1
    verify_log(final.db)


def test_many_voters_at_once_are_all_counted_once(final: Evening) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: cast_vote(final.db, "r1m1", secret_of(f"v{n % 100}"), "left", 0, now=final.now), range(200)
            )
        )
    assert votes(final) == 100
    match = snapshot(final.db, now=final.now).match
    assert (
        match is not None
        and match.votes == 100
        and sum(close_match(final.db, "r1m1", poll_round=0, now=final.now).tallies[0]) == 100
    )
    verify_log(final.db)


def test_nobody_votes_in_their_own_match(final: Evening) -> None:
    for poet in ("poet0", "poet1"):
        assert get_ballot(final.db, "r1m1", secret_of(poet), now=final.now).mine
        with pytest.raises(OwnMatch):
            cast_vote(final.db, "r1m1", secret_of(poet), "left", 0, now=final.now)
    assert votes(final) == 0


def test_no_vote_is_taken_after_the_closing_time_even_before_the_match_is_counted(final: Evening) -> None:
    final.now += 59.9
    cast_vote(final.db, "r1m1", secret_of("v"), "left", 0, now=final.now)
    final.now += 0.1
    assert not get_ballot(final.db, "r1m1", secret_of("v"), now=final.now).open
    with pytest.raises(MatchClosed):
        cast_vote(final.db, "r1m1", secret_of("w"), "left", 0, now=final.now)
    with pytest.raises(MatchClosed):
        cast_vote(final.db, "r1m1", secret_of("v"), "right", 0, now=final.now)


def test_votes_on_unknown_unopened_and_closed_matches_are_refused(final: Evening) -> None:
    with pytest.raises(MatchNotFound):
        cast_vote(final.db, "r9m9", secret_of("v"), "left", 0, now=final.now)
    with pytest.raises(MatchNotFound):
        get_ballot(final.db, "'; DROP TABLE votes", secret_of("v"), now=final.now)
    with pytest.raises(BadSide):
        cast_vote(final.db, "r1m1", secret_of("v"), "upper", 0, now=final.now)
    with pytest.raises(BadSecret):
        cast_vote(final.db, "r1m1", "short", "left", 0, now=final.now)
    cast_vote(final.db, "r1m1", secret_of("v"), "left", 0, now=final.now)
    close_match(final.db, "r1m1", poll_round=0, now=final.now)
    with pytest.raises(MatchClosed):
        cast_vote(final.db, "r1m1", secret_of("v"), "right", 0, now=final.now)


def test_verses_are_secret_until_their_match_is_opened(evening: Evening) -> None:
    evening.begin()
    evening.drawn(verses(2))
    with pytest.raises(MatchNotOpen):
        get_ballot(evening.db, "r1m1", secret_of("v"), now=evening.now)
    with pytest.raises(MatchNotOpen):
        cast_vote(evening.db, "r1m1", secret_of("v"), "left", 0, now=evening.now)


def test_a_vote_of_the_first_round_does_not_count_in_the_second_round(final: Evening) -> None:
    final.tie("r1m1")
    assert close_match(final.db, "r1m1", poll_round=0, now=final.now).poll_round == 1
    with pytest.raises(PollRoundOver) as refused:
        cast_vote(final.db, "r1m1", secret_of("v"), "left", 0, now=final.now)
    assert refused.value.facts["now"] == 1
    shown = get_ballot(final.db, "r1m1", secret_of("v"), now=final.now)
    assert (shown.poll_round, shown.choice, shown.open) == (1, None, True)
    cast_vote(final.db, "r1m1", secret_of("v"), "left", 1, now=final.now)
    assert close_match(final.db, "r1m1", poll_round=1, now=final.now).decided_by == "revote"


def test_no_answer_tells_who_leads_while_a_match_is_open(final: Evening) -> None:
    stage = stage_view(final.db, now=final.now)
    assert stage.open and stage.open.upper and stage.open.upper.text
    before = stage_view(final.db, now=final.now), snapshot(final.db, now=final.now)
    final.vote("v1", "r1m1", stage.open.upper.text)
    shown = stage_view(final.db, now=final.now)
    assert shown.open and (shown.open.votes, shown.open.tallies, shown.open.winner) == (1, None, None)
    assert votes_of(before[1]) == 0 and votes_of(snapshot(final.db, now=final.now)) == 1


def test_two_verses_are_read_before_their_vote_begins(evening: Evening) -> None:
    evening.begin(EventRules(reading_seconds=15))
    evening.drawn(verses(2))
    open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    ballot = get_ballot(evening.db, "r1m1", secret_of("v"), now=evening.now)
    assert (ballot.open, ballot.opens_at, ballot.closes_at) == (False, evening.now + 15, evening.now + 75)
    shown = snapshot(evening.db, now=evening.now).match
    assert shown and shown.opens_at == evening.now + 15
    with pytest.raises(VoteNotBegun, match="in 15 seconds"):
        cast_vote(evening.db, "r1m1", secret_of("v"), "left", 0, now=evening.now)
    evening.now += 15
    shown = snapshot(evening.db, now=evening.now).match
    assert shown and shown.opens_at is None
    cast_vote(evening.db, "r1m1", secret_of("v"), "left", 0, now=evening.now)
    assert get_ballot(evening.db, "r1m1", secret_of("v"), now=evening.now).choice == "left"
    evening.now += 60
    assert [result.decided_by for result in close_due(evening.db, now=evening.now)] == ["votes"]


def test_a_second_vote_after_a_tie_begins_at_once(evening: Evening) -> None:
    evening.begin(EventRules(reading_seconds=15))
    evening.drawn(verses(2))
    open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    evening.now += 20
    evening.tie("r1m1")
    close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert get_ballot(evening.db, "r1m1", secret_of("v"), now=evening.now).open


def test_a_page_from_before_a_match_was_opened_again_does_not_vote_in_the_new_poll(final: Evening) -> None:
    shown = get_ballot(final.db, "r1m1", secret_of("v"), now=final.now).poll
    undo_match(final.db, "r1m1", now=final.now)
    open_match(final.db, "r1m1", now=final.now)
    with pytest.raises(PollRoundOver, match="was opened again"):
        cast_vote(final.db, "r1m1", secret_of("v"), "left", 0, poll=shown, now=final.now)
    cast_vote(final.db, "r1m1", secret_of("v"), "left", 0, poll=shown + 1, now=final.now)
    assert get_ballot(final.db, "r1m1", secret_of("v"), now=final.now).choice == "left"
