"""The ranking of the heats: the fit against a library and a closed form, intervals against simulation."""

from __future__ import annotations

import math

import choix
import numpy as np
import pytest

from arena.rules.ranking import PRIOR_SD, fit, rank


def simulate(strengths: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Judgements of random pairs by the model."""
    n = len(strengths)
    wins = np.zeros((n, n))
    for _ in range(count):
        i, j = rng.choice(n, 2, replace=False)
        better = rng.random() < 1 / (1 + math.exp(strengths[j] - strengths[i]))
        wins[(i, j) if better else (j, i)] += 1
    return wins


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_that_of_a_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 20))
    wins = simulate(rng.normal(0, 1, n), 10 * n, rng)
    data = [(i, j) for i in range(n) for j in range(n) for _ in range(int(wins[i, j]))]
    expected = choix.opt_pairwise(n, data, alpha=1 / (2 * PRIOR_SD**2), method="BFGS", tol=1e-9)
    assert np.allclose(fit(wins)[0], expected, atol=1e-4)


def test_two_verses_have_the_strengths_of_the_closed_form() -> None:
    """By symmetry s and -s: wins - n * sigmoid(2 s) = s / sd^2."""
    strengths, covariance = fit(np.array([[0, 7.0], [3, 0]]))
    s = strengths[0]
    assert strengths[1] == pytest.approx(-s)
    chance = 1 / (1 + math.exp(-2 * s))
    assert 7 - 10 * chance == pytest.approx(s / PRIOR_SD**2)
    w, p = 10 * chance * (1 - chance), 1 / PRIOR_SD**2
    assert covariance[0, 0] == pytest.approx((w + p) / ((w + p) ** 2 - w**2))


def test_no_judgement_one_that_never_lost_and_groups_never_compared_are_all_finite() -> None:
    nothing = rank(["a", "b", "c"], {})
    assert [(verse.place, verse.strength) for verse in nothing.ranked] == [(1, 0), (1, 0), (1, 0)]
    assert nothing.ranked[0].high == pytest.approx(1.96 * PRIOR_SD), "what the prior says, and no more"
    undefeated = rank(["a", "b"], {("a", "b"): 1_000})
    assert [verse.entry for verse in undefeated.ranked] == ["a", "b"]
    assert 1 < undefeated.ranked[0].strength < 10
    apart = rank(["a", "b", "x", "y", "alone"], {("a", "b"): 5, ("x", "y"): 5})
    strengths = {verse.entry: verse.strength for verse in apart.ranked}
    assert strengths["a"] == pytest.approx(strengths["x"]) and strengths["alone"] == pytest.approx(0, abs=1e-9)
    assert [verse.place for verse in apart.ranked] == [1, 1, 3, 4, 4]
    assert rank([], {}).ranked == []


def test_judgements_of_verses_that_left_make_no_difference() -> None:
    with_other = rank(["a", "b"], {("a", "b"): 3, ("gone", "b"): 5})
    assert with_other == rank(["a", "b"], {("a", "b"): 3})


def test_intervals_hold_the_true_strength_in_nineteen_of_twenty_cases() -> None:
    """Strengths from the prior, as the model says: then the intervals must be right."""
    rng = np.random.default_rng(7)
    inside = total = 0
    for _ in range(60):
        truth = rng.normal(0, PRIOR_SD, 10)
        strengths, covariance = fit(simulate(truth, 100, rng))
        inside += int((np.abs(strengths - truth) <= 1.96 * np.sqrt(np.diag(covariance))).sum())
        total += 10
    assert 0.92 <= inside / total <= 0.98


def test_the_cut_says_how_many_more_judgements_it_needs() -> None:
    close = rank(["a", "b", "c"], {("a", "b"): 6, ("b", "a"): 4, ("b", "c"): 6, ("c", "b"): 4}, [1, 2, 3])
    assert set(close.cuts) == {1, 2}, "with three places all go on: there is no cut"
    cut = close.cuts[1]
    assert not cut.clear and cut.needed and 20 < cut.needed < 400
    more = 1 + cut.needed / 20
    shares = {pair: round(more * count) for pair, count in
              {("a", "b"): 6, ("b", "a"): 4, ("b", "c"): 6, ("c", "b"): 4}.items()}  # fmt: skip
    assert rank(["a", "b", "c"], shares, [1]).cuts[1].clear, "with that many, if the shares stay"
    assert rank(["a", "b"], {("a", "b"): 5, ("b", "a"): 5}, [1]).cuts[1].needed is None, "equal verses never differ"


def test_a_thousand_verses_are_ranked() -> None:
    ids = [f"{number:04}" for number in range(1_024)]
    chain = {(ids[i], ids[i + 1]): 3 for i in range(1_023)}
    ranked = rank(ids, chain, [32]).ranked
    assert len(ranked) == 1_024 and ranked[0].entry < ranked[-1].entry
