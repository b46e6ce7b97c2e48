"""Single elimination with byes and a match for the third place, as pure functions of decisions.

`build_bracket` lists the matches of an event with n entries. `resolve_bracket` computes the sides and the winner of
every match from the decisions so far. To undo a decision, the bracket is resolved without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from arena.phrases import Phrase, phrase

MIN_ENTRIES = 2  # below that there is nothing to vote on
MAX_PLACES = 1_024  # ten rounds; more entries would need qualifying rounds
NOBODY = ""  # a side that stays empty: a bye, or both possible entries were disqualified
THIRD = "third"  # id of the match for the third place


@dataclass(frozen=True)
class Seed:
    """A side that is the entry with this seed number, from 1."""

    number: int


@dataclass(frozen=True)
class WinnerOf:
    """A side that is the winner of a match."""

    match: str


@dataclass(frozen=True)
class LoserOf:
    """A side that is the loser of a match."""

    match: str


Source = Seed | WinnerOf | LoserOf | None  # None: nobody, a bye


@dataclass(frozen=True)
class PlannedMatch:
    """A match of the bracket, before any result."""

    id: str  # r1m1 is the topmost of the first round
    round: int  # from 1
    slot: int  # from 1, top down; the third-place match is slot 2 of the last round
    kind: Literal["match", "third", "final"]
    upper: Source
    lower: Source
    number: int = 0  # among the matches of its round that are played, from 1; 0: a bye


DecidedByVoters = Literal["votes", "revote", "draw"]
VOTED: tuple[DecidedByVoters, ...] = get_args(DecidedByVoters)  # ways a match is decided by people


@dataclass(frozen=True)
class Decision:
    """The voters' choice between two entries."""

    upper: str
    lower: str
    winner: str
    by: DecidedByVoters


@dataclass(frozen=True)
class Standing:
    """The current state of a match. A side or a winner is an entry id, NOBODY, or None: not known yet."""

    upper: str | None
    lower: str | None
    winner: str | None = None
    loser: str | None = None
    decided_by: DecidedByVoters | Literal["walkover", "bye"] | None = None  # None: not closed

    @property
    def closed(self) -> bool:
        """Whether the match has a result."""
        return self.decided_by is not None

    @property
    def ready(self) -> bool:
        """Whether the match has two entries and no result."""
        return bool(self.upper and self.lower) and not self.closed


def seed_positions(n: int) -> list[int]:
    """Compute the seed numbers of the first round from the top down; numbers above n are byes.

    Seeds 1 and 2 can only meet in the final, 1 to 4 only in the semi-finals, and so on. The best seeds have the byes.

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
    """List all matches of an event with n entries, in the order of play: the final last, the third-place match before.

    One entry alone wins the final by walkover. From three entries on, the losers of the semi-finals play for the third
    place.

    Raises:
        ValueError: The number is negative, or above `MAX_PLACES`.
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
        row: list[PlannedMatch] = []
        played = 0
        for slot, (upper, lower) in pairs:
            is_bye = kind == "match" and None in (upper, lower)
            played += not is_bye
            of_played = 0 if is_bye else played
            row.append(PlannedMatch(f"r{number}m{slot}", number, slot, kind, upper, lower, of_played))
        matches += row
        sides = [WinnerOf(match.id) for match in row] if not last else []
    return matches


def resolve_bracket(
    matches: Sequence[PlannedMatch],
    seeds: Sequence[str],
    decisions: Mapping[str, Decision],
    out: Iterable[str] = (),
) -> dict[str, Standing]:
    """Compute the sides and the winner of every match.

    Args:
        matches: as `build_bracket` returns them.
        seeds: entry ids, seed 1 first.
        decisions: the decision of each match, by match id. It counts only while the same two entries meet.
        out: ids of disqualified entries. They keep the matches they won before; the other side wins their next match,
            and the final or the match for the third place if they had won that.

    Returns:
        The standing of every match, by its id.
    """
    disqualified = set(out)
    standings: dict[str, Standing] = {}
    for match in matches:
        upper, lower = (_side(source, seeds, standings) for source in (match.upper, match.lower))
        if upper is None or lower is None:
            standings[match.id] = Standing(upper, lower)
        else:
            standings[match.id] = _standing(match, upper, lower, decisions.get(match.id), disqualified)
    return standings


def _side(source: Source, seeds: Sequence[str], standings: Mapping[str, Standing]) -> str | None:
    match source:
        case None:
            return NOBODY
        case Seed(number):
            return seeds[number - 1]
        case WinnerOf(match):
            return standings[match].winner
        case LoserOf(match):
            return standings[match].loser


def _standing(
    match: PlannedMatch, upper: str, lower: str, decision: Decision | None, disqualified: set[str]
) -> Standing:
    present = [side for side in (upper, lower) if side and side not in disqualified]
    counts = decision is not None and (decision.upper, decision.lower) == (upper, lower) and bool(upper and lower)
    if decision is not None and counts:
        stays = decision.winner not in disqualified or (match.kind == "match" and decision.winner in (upper, lower))
        if stays:
            loser = lower if decision.winner == upper else upper
            return Standing(upper, lower, decision.winner, loser, decision.by)
    if len(present) == 2:
        return Standing(upper, lower)
    winner = present[0] if present else NOBODY
    loser = lower if winner == upper else upper
    if not winner:  # both sides are empty or disqualified: nobody leaves this match
        loser = NOBODY
    bye = match.kind == "match" and NOBODY in (upper, lower) and None in (match.upper, match.lower)
    return Standing(upper, lower, winner, loser, "bye" if bye else "walkover")


def title_of(match_id: str, round: int, number: int, rounds: int) -> Phrase:
    """Name a match for people.

    Args:
        match_id: its id.
        round: its round, from 1.
        number: its place among the played matches of the round, from 1.
        rounds: the number of rounds of the bracket.

    >>> title_of("r1m3", 1, 3, 3)
    'Quarter-final 3'
    """
    if match_id == THIRD:
        return phrase("Third place")
    name = round_title(round, rounds)
    if round == rounds or not number:
        return name
    if rounds - round < 3:
        return phrase("%(round)s %(number)s", round=name, number=number)
    return phrase("%(round)s, match %(number)s", round=name, number=number)


def round_title(round: int, rounds: int) -> Phrase:
    """Name a round for people, in the singular.

    >>> round_title(1, 5)
    'Round of 32'
    """
    names = (
        phrase("Final"),
        phrase("Semi-final"),
        phrase("Quarter-final"),
        phrase("Round of 16"),
        phrase("Round of 32"),
    )
    left = rounds - round
    return names[left] if left < len(names) else phrase("Round of %(places)s", places=str(2 ** (left + 1)))
