"""Single elimination with byes and a match for the third place, as pure functions of results.

The bracket is never stored as a tree that somebody could leave half-changed. `build_bracket` lists the matches of an
evening of n verses; `resolve_bracket` computes from the decisions so far who meets whom and who goes on. Taking a
decision back is resolving the bracket without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

MAX_PLACES = 1_024  # ten rounds; more would take qualifying heats
NOBODY = ""  # a side that stays empty: a bye, or both who could have come were disqualified
THIRD = "third"  # id of the match for the third place


@dataclass(frozen=True)
class Seed:
    """The side is the entry with this place in the lot, from 1."""

    number: int


@dataclass(frozen=True)
class WinnerOf:
    """The side is whoever wins this match."""

    match: str


@dataclass(frozen=True)
class LoserOf:
    """The side is whoever loses this match."""

    match: str


Source = Seed | WinnerOf | LoserOf | None  # None: nobody, a bye


@dataclass(frozen=True)
class PlannedMatch:
    """A match before anything is known but the number of entries."""

    id: str  # r1m1 is the topmost of the first round
    round: int  # from 1
    slot: int  # from 1, top down; the third-place match is slot 2 of the last round
    kind: Literal["match", "third", "final"]
    upper: Source
    lower: Source


DecidedByVoters = Literal["votes", "revote", "draw"]
VOTED: tuple[DecidedByVoters, ...] = get_args(DecidedByVoters)  # ways a match is decided by people


@dataclass(frozen=True)
class Decision:
    """The room's choice between two entries."""

    upper: str
    lower: str
    winner: str
    by: DecidedByVoters


@dataclass(frozen=True)
class Standing:
    """What is known of a match now. A side or a winner is an entry id, NOBODY, or None: not known yet."""

    upper: str | None
    lower: str | None
    winner: str | None = None
    loser: str | None = None
    decided_by: DecidedByVoters | Literal["walkover", "bye"] | None = None  # None: not closed

    @property
    def closed(self) -> bool:
        return self.decided_by is not None

    @property
    def ready(self) -> bool:
        """Two entries that can be voted on."""
        return bool(self.upper and self.lower) and not self.closed


def seed_positions(n: int) -> list[int]:
    """Seed numbers from the top of the bracket down, for the next power of two; those beyond n are byes.

    Seeds 1 and 2 can only meet in the final, 1 to 4 only in the semi-finals, and so on; the best seeds have the byes.

    >>> seed_positions(6)
    [1, 8, 4, 5, 2, 7, 3, 6]
    """
    if n < 1:
        return []
    order = [1]
    while len(order) < n:
        double = 2 * len(order)
        order = [place for seed in order for place in (seed, double + 1 - seed)]
    return order


def build_bracket(n: int) -> list[PlannedMatch]:
    """All matches of an evening of n verses, in the order of play: the final last, the third-place match before it.

    One verse has a final it wins by walk-over; with four or more places, whoever loses a semi-final plays for the
    third.

    Raises:
        ValueError: n is negative, or above `MAX_PLACES`.
    """
    if not 0 <= n <= MAX_PLACES:
        raise ValueError(f"a bracket has 0 to {MAX_PLACES} places, not {n}")
    sides: list[Source] = [Seed(place) if place <= n else None for place in seed_positions(n)]
    if n == 1:
        sides.append(None)
    matches: list[PlannedMatch] = []
    number = 0
    while len(sides) > 1:
        number += 1
        last = len(sides) == 2
        if last and number > 1:
            before = f"r{number - 1}m"
            third = PlannedMatch(THIRD, number, 2, "third", LoserOf(f"{before}1"), LoserOf(f"{before}2"))
            matches.append(third)
        kind: Literal["match", "final"] = "final" if last else "match"
        pairs = enumerate(zip(sides[::2], sides[1::2], strict=True), start=1)
        row = [PlannedMatch(f"r{number}m{slot}", number, slot, kind, upper, lower) for slot, (upper, lower) in pairs]
        matches += row
        sides = [WinnerOf(match.id) for match in row] if not last else []
    return matches


def resolve_bracket(
    matches: Sequence[PlannedMatch],
    seeds: Sequence[str],
    decisions: Mapping[str, Decision],
    out: Iterable[str] = (),
) -> dict[str, Standing]:
    """Who meets whom, and who is through.

    Args:
        matches: as `build_bracket` gives them.
        seeds: entry ids, seed 1 first.
        decisions: by match id. One counts only if the same two entries meet: others wait for that.
        out: entries that were disqualified. What they won before stays won, but their next match, or the last match of
            all if they won that, goes to the other side.

    Returns:
        One standing a match, by its id.
    """
    gone = set(out)
    found: dict[str, Standing] = {}
    for match in matches:
        upper, lower = (_side(source, seeds, found) for source in (match.upper, match.lower))
        if upper is None or lower is None:
            found[match.id] = Standing(upper, lower)
        else:
            found[match.id] = _standing(match, upper, lower, decisions.get(match.id), gone)
    return found


def _side(source: Source, seeds: Sequence[str], found: Mapping[str, Standing]) -> str | None:
    match source:
        case None:
            return NOBODY
        case Seed(number):
            return seeds[number - 1]
        case WinnerOf(match):
            return found[match].winner
        case LoserOf(match):
            return found[match].loser


def _standing(match: PlannedMatch, upper: str, lower: str, decision: Decision | None, gone: set[str]) -> Standing:
    here = [side for side in (upper, lower) if side and side not in gone]
    counts = decision is not None and (decision.upper, decision.lower) == (upper, lower) and bool(upper and lower)
    if decision is not None and counts:
        stays = decision.winner not in gone or (match.kind == "match" and decision.winner in (upper, lower))
        if stays:
            loser = lower if decision.winner == upper else upper
            return Standing(upper, lower, decision.winner, loser, decision.by)
    if len(here) == 2:
        return Standing(upper, lower)
    winner = here[0] if here else NOBODY
    loser = lower if winner == upper else upper
    if not winner:  # both disqualified, or one alone who is: nobody comes out of this match
        loser = NOBODY
    bye = match.kind == "match" and NOBODY in (upper, lower) and None in (match.upper, match.lower)
    return Standing(upper, lower, winner, loser, "bye" if bye else "walkover")


def title_of(match_id: str, round: int, slot: int, rounds: int) -> str:
    """What people call a match.

    >>> title_of("r1m3", 1, 3, 3)
    'Quarter-final 3'
    """
    if match_id == THIRD:
        return "Third place"
    name = round_title(round, rounds)
    return name if round == rounds else f"{name} {slot}" if rounds - round < 3 else f"{name}, match {slot}"


def round_title(round: int, rounds: int) -> str:
    """What people call a round, in the singular.

    >>> round_title(1, 5)
    'Round of 32'
    """
    left = rounds - round
    return ("Final", "Semi-final", "Quarter-final")[left] if left < 3 else f"Round of {2 ** (left + 1)}"
