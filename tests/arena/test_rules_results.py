"""From ballots to the champion: counted, decided and resolved without a database."""

from __future__ import annotations

from arena.rules.bracket import Decision
from arena.rules.draw import draw_tie
from arena.rules.results import Podium, decide
from arena.rules.tally import Tally
from tests.support.results import CastVotes, CountedPoll, compute_results, count_votes

SEEDS = ["a", "b", "c", "d"]


def votes(match: str, upper: int, lower: int, poll: int = 0, poll_round: int = 0) -> list[CastVotes]:
    return [CastVotes(match, poll, poll_round, side) for side in ["upper"] * upper + ["lower"] * lower]


def test_votes_are_counted_for_each_match_poll_and_round() -> None:
    cast = [*votes("r1m1", 2, 1), *votes("r1m1", 0, 4, poll=1), *votes("r1m1", 3, 0, poll_round=1)]
    assert count_votes(cast) == {
        ("r1m1", 0, 0): Tally(2, 1),
        ("r1m1", 1, 0): Tally(0, 4),
        ("r1m1", 0, 1): Tally(3, 0),
    }


def test_a_poll_is_decided_by_votes_then_the_revote_then_the_draw() -> None:
    tie = Tally(1, 1)
    assert decide("word", "r1m1", "a", "b", []) is None
    assert decide("word", "r1m1", "a", "b", [Tally(2, 1)]) == Decision("a", "b", "a", "votes")
    assert decide("word", "r1m1", "a", "b", [tie]) is None
    assert decide("word", "r1m1", "a", "b", [tie, Tally(0, 1)]) == Decision("a", "b", "b", "revote")
    drawn = draw_tie("word", "r1m1", "a", "b")
    assert decide("word", "r1m1", "a", "b", [tie, Tally(0, 0)]) == Decision("a", "b", drawn, "draw")


def test_votes_give_the_bracket_and_the_champion() -> None:
    polls = [
        CountedPoll("r1m1", 0, "a", "d", 1),
        CountedPoll("r1m2", 1, "b", "c", 2),
        CountedPoll("third", 0, "d", "b", 1),
        CountedPoll("r2m1", 0, "a", "c", 1),
    ]
    cast = [
        *votes("r1m1", 2, 1),
        *votes("r1m2", 9, 0),  # a poll that was undone
        *votes("r1m2", 2, 2, poll=1),
        *votes("r1m2", 1, 2, poll=1, poll_round=1),
        *votes("third", 0, 1),
        *votes("r2m1", 1, 3),
    ]
    results = compute_results(SEEDS, polls, cast, draw_digest="word")
    assert results.podium == Podium("c", "a", "b")
    assert results.tallies["r1m2"] == [Tally(2, 2), Tally(1, 2)]
    assert results.standings["r1m2"].decided_by == "revote"


def test_nobody_is_champion_before_the_final_is_closed() -> None:
    results = compute_results(SEEDS, [CountedPoll("r1m1", 0, "a", "d", 1)], votes("r1m1", 1, 0), draw_digest="word")
    assert results.podium == Podium() and results.standings["r2m1"].upper == "a"


def test_a_disqualified_finalist_is_neither_champion_nor_second() -> None:
    polls = [CountedPoll("r1m1", 0, "a", "b", 1)]
    results = compute_results(["a", "b"], polls, votes("r1m1", 1, 0), draw_digest="word", disqualified=["a"])
    assert results.podium == Podium("b", None, None)
    results = compute_results(["a", "b"], polls, votes("r1m1", 1, 0), draw_digest="word", disqualified=["b"])
    assert results.podium == Podium("a", None, None)


def test_one_entry_alone_is_champion_and_none_has_no_bracket() -> None:
    assert compute_results(["a"], [], [], draw_digest="word").podium == Podium("a")
    assert compute_results([], [], [], draw_digest="word").standings == {}
