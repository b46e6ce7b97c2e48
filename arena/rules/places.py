"""The places of everybody in a bracket: who goes out in the same round shares a place."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Played:
    """A closed match, as far as places depend on it."""

    kind: str  # match, third, final
    round: int
    winner: str | None  # entry id
    loser: str | None  # entry id


@dataclass(frozen=True)
class Place:
    """The place of an entry."""

    entry: str  # id
    first: int | None  # the place, from 1; None: disqualified
    last: int | None  # the last of the places that it shares; the same number where nobody shares it


def rank(entries: Iterable[str], matches: Iterable[Played], disqualified: Collection[str] = ()) -> list[Place]:
    """Rank the entries that are out or have won, the best first.

    Args:
        entries: ids of all entries of the bracket, in any order; those still playing get no place yet.
        matches: the closed ones.
        disqualified: entry ids; they come last, without a place.

    Returns:
        The places. Entries that share one are in the given order.
    """
    worth: dict[str, tuple[int, ...]] = {}  # how far an entry came: larger is better
    for match in matches:
        if match.kind == "final":
            standing = {match.winner: (3, 1), match.loser: (3, 0)}
        elif match.kind == "third":
            standing = {match.winner: (2, 1), match.loser: (2, 0)}
        else:
            standing = {match.loser: (1, match.round)}
        for entry, reached in standing.items():
            if entry:
                worth[entry] = max(reached, worth.get(entry, reached))
    given = list(entries)
    placed = [entry for entry in given if entry in worth and entry not in disqualified]
    placed.sort(key=lambda entry: worth[entry], reverse=True)
    places = []
    for entry in placed:
        better = sum(worth[other] > worth[entry] for other in placed)
        equal = sum(worth[other] == worth[entry] for other in placed)
        places.append(Place(entry, better + 1, better + equal))
    return places + [Place(entry, None, None) for entry in given if entry in disqualified]
