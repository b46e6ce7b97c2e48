"""A ranking of verses from judgements of pairs, by the model of Bradley and Terry, as pure functions.

Each verse has a strength s, and beats another with the probability sigmoid(s_i - s_j). Before any judgement, strengths
are taken to be normal around 0 with the standard deviation `PRIOR_SD`: so a verse without judgements, one that never
lost, and groups that were never compared all have finite strengths. The strengths are those of the greatest posterior
probability; their intervals come from its curvature there (the observed information and the prior's).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arena.rules.heats import Cut, share_of

if TYPE_CHECKING:  # most events have no heats, and NumPy is loaded by the first ranking
    import numpy as np
    import numpy.typing as npt

    Vector = npt.NDArray[np.float64]

PRIOR_SD = 1.0  # of strengths: of two verses in a room the better one is seldom preferred by more than four in five
Z_INTERVAL = 1.96  # standard deviations: 95 %
Z_CLEAR = 1.645  # standard deviations by which the cut must differ to be clear: 95 %, one-sided
EQUAL = 1e-6  # strengths that differ by less are equal: the fit stops far below
MAX_STEPS = 100  # of Newton's method, which needs some ten
MOST_NEEDED = 20  # times the judgements there are: beyond, two verses are called equal


@dataclass(frozen=True)
class Ranked:
    """A verse in the ranking."""

    entry: str  # id
    place: int  # from 1; equal strengths share a place
    strength: float  # on the logistic scale; 0 is an average verse
    low: float  # the interval of the strength, 95 %
    high: float
    judgements: int  # of pairs with this verse

    @property
    def share(self) -> float:
        """The probability of being preferred to an average verse."""
        return share_of(self.strength)


@dataclass(frozen=True)
class Ranking:
    """The ranking of all verses, the strongest first, and what is known about who goes on."""

    ranked: Sequence[Ranked]
    judgements: int
    cuts: Mapping[int, Cut]  # by the number of places


Judgements = Mapping[tuple[str, str], int]  # how often the first entry was preferred to the second


def rank(entries: Sequence[str], judgements: Judgements, places: Sequence[int] = ()) -> Ranking:
    """Rank verses.

    Args:
        entries: ids of all verses to rank.
        judgements: how often the first of two entries was preferred; pairs with others make no difference.
        places: numbers of verses that may go on.

    Returns:
        The ranking; verses of equal strength in the order of their ids.
    """
    import numpy as np

    ids = sorted(entries)
    index = {entry: number for number, entry in enumerate(ids)}
    wins = np.zeros((len(ids), len(ids)))
    for (better, worse), count in judgements.items():
        if better in index and worse in index:
            wins[index[better], index[worse]] += count
    strengths, covariance = fit(wins)
    deviations = np.sqrt(np.diag(covariance))
    both = wins + wins.T
    order = sorted(range(len(ids)), key=lambda i: (-round(float(strengths[i]) / EQUAL), ids[i]))
    ranked: list[Ranked] = []
    for number, i in enumerate(order):
        is_equal = bool(ranked) and abs(strengths[i] - ranked[-1].strength) < EQUAL
        place = ranked[-1].place if is_equal else number + 1
        strength, half = float(strengths[i]), Z_INTERVAL * float(deviations[i])
        ranked.append(Ranked(ids[i], place, strength, strength - half, strength + half, int(both[i].sum())))
    total = int(wins.sum())
    cuts = {count: _cut(count, order, strengths, covariance, total) for count in places if 0 < count < len(ids)}
    return Ranking(ranked, total, cuts)


def fit(wins: Vector) -> tuple[Vector, Vector]:
    """Fit the strengths by Newton's method.

    Args:
        wins: (n, n); wins[i, j] is how often i was preferred to j.

    Returns:
        The strengths (n,), and their covariance (n, n): the inverse of the observed information with the prior's.
    """
    import numpy as np

    n = len(wins)
    strengths, prior = np.zeros(n), np.eye(n) / PRIOR_SD**2
    both, won = wins + wins.T, wins.sum(axis=1)
    information = prior
    for _ in range(MAX_STEPS):
        chance = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))  # (n, n): that i is preferred to j
        gradient = won - (both * chance).sum(axis=1) - strengths / PRIOR_SD**2
        weights = both * chance * (1 - chance)
        information = np.diag(weights.sum(axis=1)) - weights + prior
        step = np.linalg.solve(information, gradient)
        strengths = strengths + step / max(1.0, float(np.abs(step).max(initial=0.0)))  # at most 1: never too far
        if np.abs(step).max(initial=0.0) < EQUAL / 1_000:
            break
    return strengths, np.asarray(np.linalg.inv(information), np.float64)


def _cut(places: int, order: Sequence[int], strengths: Vector, covariance: Vector, total: int) -> Cut:
    """Compare the last verse that goes on with the first that does not.

    Args:
        places: how many go on, fewer than there are.
        order: numbers of the verses, the strongest first.
        strengths: of all verses.
        covariance: of the strengths.
        total: number of judgements.
    """
    last, first = order[places - 1], order[places]
    gap = strengths[last] - strengths[first]
    variance = covariance[last, last] + covariance[first, first] - 2 * covariance[last, first]
    score = float(gap / math.sqrt(variance))
    if score >= Z_CLEAR:
        return Cut(places, True, 0)
    factor = (Z_CLEAR / score) ** 2 if score > 0 else math.inf  # the information grows with the judgements
    return Cut(places, False, math.ceil(total * (factor - 1)) if factor <= MOST_NEEDED + 1 else None)
