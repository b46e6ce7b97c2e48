"""The gap against its definition: is it the smallest d for which moving each logit by at most d/2 changes the token?

On vocabularies of up to six tokens all 3^V ways to move each logit down, not at all, or up are tried. To let token j
win nothing is better than j up and all others down, and to throw the winner out nothing is better than it down and all
others up, so if any move changes the token one of these does; moves between the ends are drawn besides.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support import reference_engine as reference
from tests.support.small_models import make_recipe
from trainer.verse.decision import BOUND, decide, refutes
from trainer.verse.recipe import Recipe

ROUNDING = 1e-13  # of z, s and their differences here, where numbers are below 64
STEADY = settings(derandomize=True, database=None)
MOVES = {size: np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=size))) for size in range(2, 7)}


@st.composite
def steps(draw: st.DrawFn, near: float = 1.0) -> tuple[NDArray[np.float64], Recipe, int]:
    """Logits, a recipe and a position. `near`: ties and near ties of this size are frequent."""
    size = draw(st.integers(2, 6))
    coarse = st.integers(-3, 3).map(float)
    fine = st.integers(-4, 4).map(lambda n: n * near / 4)
    smooth = st.floats(-15, 15, allow_nan=False)
    kind = draw(st.sampled_from((coarse, st.tuples(coarse, fine).map(sum), smooth, fine)))
    z = np.array(draw(st.lists(kind, min_size=size, max_size=size)))
    recipe = make_recipe(
        temperature=draw(st.sampled_from((0, 0, 1, 5, 50, 80, 100, 200))),
        top_k=draw(st.integers(0, size)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )
    return z, recipe, draw(st.integers(0, 1023))


def noise(recipe: Recipe, position: int, size: int) -> list[float]:
    return [reference.gumbel(reference.noise_integer(recipe.seed, position, j)) for j in range(size)]


def winners(moved: NDArray[np.float64], recipe: Recipe, position: int) -> NDArray[np.integer]:
    """The token chosen in each row of (N, V) logits, by the order of section 4 and nothing else."""
    size = moved.shape[1]
    rank = np.argsort(np.argsort(-moved, axis=1, kind="stable"), axis=1, kind="stable")  # equal ones by id
    s = moved + recipe.temperature / 100 * np.array(noise(recipe, position, size))
    s[rank >= (recipe.top_k or size)] = -np.inf
    return s.argmax(axis=1)


@settings(STEADY, max_examples=300)
@given(steps())
def test_the_decision_is_that_of_the_specification(step: tuple[NDArray[np.float64], Recipe, int]) -> None:
    z, recipe, position = step
    expected = reference.decide(z.tolist(), recipe.top_k, recipe.temperature, noise(recipe, position, len(z)))
    token, gap = decide(z, recipe, position)
    assert token == expected.token == winners(z[None], recipe, position)[0]
    assert math.isclose(gap, expected.gap, rel_tol=0, abs_tol=ROUNDING)


@pytest.mark.slow
@settings(STEADY, max_examples=300)
@given(steps())
def test_the_gap_is_the_smallest_move_that_changes_the_token(step: tuple[NDArray[np.float64], Recipe, int]) -> None:
    z, recipe, position = step
    token, gap = decide(z, recipe, position)
    moves = MOVES[len(z)]
    assert gap >= 0

    def changes(d: float, moves: NDArray[np.float64]) -> bool:
        return bool((winners(z + d / 2 * moves, recipe, position) != token).any())

    assert changes(gap + 4 * ROUNDING, moves), "a little more than the gap changes the token"
    if gap > 4 * ROUNDING:
        less = gap - 4 * ROUNDING
        assert not changes(less, moves), "no corner of the cube of moves below the gap changes it"
        inner = np.random.default_rng(recipe.seed).uniform(-1, 1, (200, len(z)))
        assert not changes(less, inner), "nor a point inside"


@pytest.mark.slow
@settings(STEADY, max_examples=300)
@given(steps(near=4 * BOUND))
def test_what_is_refuted_cannot_win_within_the_bound(step: tuple[NDArray[np.float64], Recipe, int]) -> None:
    z, recipe, position = step
    token, gap = decide(z, recipe, position)
    reachable = set(winners(z + (BOUND - ROUNDING) / 2 * MOVES[len(z)], recipe, position).tolist())
    for claimed in set(range(len(z))) - {token}:
        refuted = refutes(z, recipe, position, token, claimed)
        assert not (refuted and claimed in reachable), "a token that rounding could choose is not called wrong"
        assert refuted or gap <= BOUND, "with a gap above the bound every other token is refuted: PASS and FAIL meet"
    if gap > BOUND:
        assert reachable == {token}


def test_near_ties_of_every_kind_have_the_gap_computed_by_hand() -> None:
    z = np.array([2.0, 1.0, 0.5, -1.0])

    def gap(k: int) -> float:
        return decide(z, make_recipe(temperature=0, top_k=k), 0).gap

    assert gap(0) == gap(4) == 1.0  # token 1 overtakes
    assert gap(1) == 1.0  # token 1 pushes token 0 out of the top 1
    assert gap(2) == gap(3) == 1.0  # token 1 overtakes inside
    assert decide(np.array([1.0, 1.0, 0.0]), make_recipe(temperature=0), 0) == (0, 0.0)  # equal scores: the lower id
    assert decide(np.array([0.0, 1.0, 1.0]), make_recipe(temperature=0, top_k=1), 0) == (1, 0.0)  # equal logits: same


def test_a_token_outside_the_top_k_counts_by_the_way_it_has_to_come() -> None:
    """With noise, an outsider may have the better score: then only its way into the top k keeps it from winning."""
    for seed in range(200):
        recipe = make_recipe(seed=seed, top_k=2, temperature=200)
        z = np.array([3.0, 2.5, 2.4, -9.0])
        g = noise(recipe, 0, 4)
        s = z + 2 * np.array(g)
        token, gap = decide(z, recipe, 0)
        if s[2] > s[:2].max() and token == 0:
            assert gap == min(s[0] - s[1], z[1] - z[2], z[0] - z[2])
            return
    raise AssertionError("no seed in 200 makes the outsider the best")
