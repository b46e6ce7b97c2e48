"""From ballots to the champion, as pure functions: votes are counted, polls decided, the bracket resolved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from arena.rules.bracket import THIRD, Decision, Standing, build_bracket, resolve_bracket
from arena.rules.draw import draw_tie
from arena.rules.tally import Tally, outcome


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
class Podium:
    """Entry ids of the first three places; None: not known, or nobody."""

    champion: str | None = None
    second: str | None = None
    third: str | None = None


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


def decide(draw_digest: str, match: str, upper: str, lower: str, tallies: Sequence[Tally]) -> Decision | None:
    """Decide a poll from the tallies of its closed rounds.

    Args:
        draw_digest: of the draw; decides the last tie.
        match: id of the match.
        upper: entry id of the upper side.
        lower: entry id of the lower side.
        tallies: the tally of each closed round, in order.

    Returns:
        The decision; None while another round must follow.
    """
    for poll_round, tally in enumerate(tallies):
        match outcome(tally, poll_round):
            case "draw":
                return Decision(upper, lower, draw_tie(draw_digest, match, upper, lower), "draw")
            case ("upper" | "lower") as side:
                winner = upper if side == "upper" else lower
                return Decision(upper, lower, winner, "revote" if poll_round else "votes")
            case "revote":
                pass
    return None


def podium_of(final: Standing | None, third: Standing | None, disqualified: Collection[str] = ()) -> Podium:
    """Find the first three places: the one definition of the champion.

    Args:
        final: its standing; None if there is no bracket.
        third: that of the match for the third place; None if there is none.
        disqualified: entry ids; who was disqualified is not second.
    """
    champion = final.winner if final else None
    second = final.loser if final and champion and final.loser not in disqualified else None
    return Podium(champion or None, second or None, (third.winner if third else None) or None)


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
