"""The decision of one step: which token logits and noise choose, and by what gap."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.verse.noise import gumbel_all, gumbel_of
from trainer.verse.recipe import Recipe

BOUND = 1e-6  # the least bound: rounding changes logits of trained models by 4e-15 to 2e-13
SAFETY = 4.0  # two moves close a gap; and twice that, since the estimate is of one sample of moves

StepVerdict = Literal["PASS", "FAIL", "UNDECIDED"]


class Decision(NamedTuple):
    """The token a step chooses, and its gap."""

    token: int  # the winner w
    gap: float  # the smallest d for which changing every logit by at most d/2 can change the token


def bound_of(estimate: float) -> float:
    """Return what a gap must exceed, from the estimate of what rounding does to the logits (see `rounding`)."""
    return max(BOUND, SAFETY * estimate)


def decide(z: NDArray[np.float64], recipe: Recipe, position: int) -> Decision:
    """Choose the token that maximises z + T*g among the `top_k` largest logits; of equal ones, the lowest id.

    Args:
        z: Finite logits, (V,).
        recipe: Gives seed, temperature and top_k.
        position: Index of the generated token, from 0.
    """
    k = recipe.top_k
    if k == 0 or k >= len(z):
        s = _scores(z, recipe, position, None)
        w = int(s.argmax())
        return Decision(w, _lead(s, w))

    inside, outside = _split(z, k)
    s = _scores(z[inside], recipe, position, inside)
    i = int(s.argmax())  # inside is in the order of ids, so equal scores go by id
    w = int(inside[i])
    z_k = z[inside].min()
    gap = min(_lead(s, i), float(z[w] - z[outside[0]]))  # another candidate wins, or w leaves the top k
    near = outside[z_k - z[outside] < gap]  # tokens that could enter the top k within this gap
    if near.size:
        behind = s[i] - _scores(z[near], recipe, position, near)
        gap = min(gap, float(np.maximum(z_k - z[near], behind).min()))
    return Decision(w, gap)


def judge(
    z: NDArray[np.float64], recipe: Recipe, position: int, claimed: int, bound: float
) -> tuple[StepVerdict, Decision]:
    """Judge a claimed token, and return the decision of the step.

    Args:
        z: Finite logits, (V,).
        recipe: Gives seed, temperature and top_k.
        position: Index of the generated token, from 0.
        claimed: The token that the verse has.
        bound: What gaps and differences must exceed, as `bound_of` returns it.
    """
    decision = decide(z, recipe, position)
    if claimed == decision.token:
        return "PASS" if decision.gap > bound else "UNDECIDED", decision
    return "FAIL" if refutes(z, recipe, position, decision.token, claimed, bound) else "UNDECIDED", decision


def refutes(
    z: NDArray[np.float64], recipe: Recipe, position: int, winner: int, claimed: int, bound: float = BOUND
) -> bool:
    """Whether this step does not choose `claimed`, by more than the bound.

    It is so if the winner stays in the top k and ahead of it, or if it stays outside the top k.

    Args:
        z: Finite logits, (V,).
        recipe: Gives seed, temperature and top_k.
        position: Index of the generated token, from 0.
        winner: The token that the step chooses.
        claimed: The token that the verse has.
        bound: What differences must exceed.
    """
    k = recipe.top_k
    s = _scores(z[[winner, claimed]], recipe, position, np.array([winner, claimed]))
    ahead = float(s[0] - s[1])
    if k == 0 or k >= len(z):
        return ahead > bound
    inside, outside = _split(z, k)
    if min(ahead, float(z[winner] - z[outside[0]])) > bound:
        return True
    return claimed in outside and float(z[inside].min() - z[claimed]) > bound


def _scores(
    z: NDArray[np.float64], recipe: Recipe, position: int, ids: NDArray[np.integer] | None
) -> NDArray[np.float64]:
    """Return z + T*g. It is never z/T + g: a low temperature must not amplify the error of z."""
    if recipe.temperature == 0:
        return z
    seed = recipe.seed
    noise = gumbel_all(seed, position, len(z)) if ids is None else gumbel_of(seed, position, ids)
    return z + recipe.temperature / 100 * noise


def _split(z: NDArray[np.float64], k: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the ids in the top k, by id, and the others by falling logit; equal logits are ordered by id."""
    order = np.argsort(-z, kind="stable")
    return np.sort(order[:k]), order[k:]


def _lead(s: NDArray[np.float64], i: int) -> float:
    """Return how far score i is ahead of the best other one; infinity if there is no other."""
    others = max(s[:i].max(initial=-np.inf), s[i + 1 :].max(initial=-np.inf))
    return float(s[i] - others)
