"""Which two verses a voter judges next: each verse, and each pair, about equally often."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from arena.rules.draw import draw_key

PLACES = (8, 16, 32)  # that may go on, as pages propose them
JUDGEMENTS_PER_VERSE = 30  # in a plan: see NOTES.md for what that many decide
JUDGEMENT_SECONDS = 20.0  # in a plan: to read two verses and choose
MAX_JUDGEMENTS = 100  # of one voter
LEAST_SECONDS = 2.0  # between the deal of a pair and its judgement

Pair = tuple[str, str]  # entry ids, the lesser one first


@dataclass(frozen=True)
class Cut:
    """Whether it is clear who goes on."""

    places: int
    clear: bool  # the last who goes on is stronger than the first who does not, with 95 %
    needed: int | None  # further judgements, of all pairs, until it is clear if strengths stay; None: too many to say


def share_of(strength: float) -> float:
    """Return the probability that a verse of this strength is preferred to an average one."""
    return 1 / (1 + math.exp(-strength))


def pair_of(one: str, other: str) -> Pair:
    """Put two entry ids in order.

    >>> pair_of("b", "a")
    ('a', 'b')
    """
    return (one, other) if one < other else (other, one)


def choose_pair(
    voter: str,
    dealt: Mapping[str, int],
    judged: Collection[Pair],
    meetings: Callable[[str], Mapping[str, int]],
) -> Pair | None:
    """Choose the next pair of a voter: a verse that was dealt least, against the one it met least.

    Equal ones are ordered by a hash of the voter and what was judged, so that voters who ask at once get other pairs.

    Args:
        voter: id.
        dealt: how often each verse that the voter may judge was dealt.
        judged: pairs that the voter has judged.
        meetings: returns how often a verse was dealt with each other one.

    Returns:
        The pair; None if the voter has judged all.
    """
    if len(judged) >= MAX_JUDGEMENTS:
        return None
    salt = f"{voter}/{len(judged)}"

    def fairly(entry: str) -> tuple[int, str]:
        return dealt[entry], draw_key(salt, entry)

    for first in sorted(dealt, key=fairly):
        others = [entry for entry in dealt if entry != first and pair_of(first, entry) not in judged]
        if others:
            met = meetings(first)
            return pair_of(first, min(others, key=lambda entry: (met.get(entry, 0), *fairly(entry))))
    return None
