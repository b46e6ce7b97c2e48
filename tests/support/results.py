"""The results of an event from its votes alone, which the tables and the log must agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from arena.rules.bracket import THIRD, Decision, Standing, build_bracket, resolve_bracket
from arena.rules.results import Podium, decide, podium_of
from arena.rules.tally import Tally


@dataclass(frozen=True)
class CastVotes:
    """Equal votes in one round of a poll."""

    match: str  # id
    poll: int  # number of the poll of this match, from 0
    poll_round: int  # 0: first vote, 1: re-vote after a tie
    choice: str  # upper or lower
    number: int = 1  # how many such votes


@dataclass(frozen=True)
class CountedPoll:
    """The poll of a match that counts: its entries, and how many of its rounds count."""

    match: str  # id
    poll: int  # number of the poll of this match, from 0
    upper: str  # entry id
    lower: str
    closed_rounds: int  # 0 to `tally.POLL_ROUNDS`


@dataclass(frozen=True)
class Results:
    """The results of an event."""

    standings: Mapping[str, Standing]  # by match id
    tallies: Mapping[str, Sequence[Tally]]  # of each closed round, by match id
    podium: Podium


def count_votes(votes: Iterable[CastVotes]) -> dict[tuple[str, int, int], Tally]:
    """Count votes.

    Returns:
        The tally of each match id, poll and poll round that has votes.
    """
    counts: Counter[tuple[tuple[str, int, int], str]] = Counter()
    for vote in votes:
        counts[(vote.match, vote.poll, vote.poll_round), vote.choice] += vote.number
    return {key: Tally(counts[key, "upper"], counts[key, "lower"]) for key, _ in counts}


def compute_results(
    seeds: Sequence[str],
    polls: Iterable[CountedPoll],
    votes: Iterable[CastVotes],
    *,
    draw_digest: str,
    disqualified: Collection[str] = (),
) -> Results:
    """Compute the results of an event from its votes.

    Args:
        seeds: entry ids, seed 1 first.
        polls: the poll of each match that counts, if there is one.
        votes: all of them; votes in other polls make no difference.
        draw_digest: of the draw; decides what stayed a tie.
        disqualified: entry ids.

    Returns:
        The standing of every match, the tallies of every closed round, and the first three places.
    """
    counts = count_votes(votes)
    tallies: dict[str, list[Tally]] = {}
    decisions: dict[str, Decision] = {}
    for poll in polls:
        keys = [(poll.match, poll.poll, number) for number in range(poll.closed_rounds)]
        tallies[poll.match] = [counts.get(key, Tally(0, 0)) for key in keys]
        decision = decide(draw_digest, poll.match, poll.upper, poll.lower, tallies[poll.match])
        if decision is not None:
            decisions[poll.match] = decision
    bracket = build_bracket(len(seeds))
    standings = resolve_bracket(bracket, seeds, decisions, disqualified)
    podium = podium_of(standings[bracket[-1].id] if bracket else None, standings.get(THIRD), disqualified)
    return Results(standings, tallies, podium)
