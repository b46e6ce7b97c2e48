"""Replay: verify a claimed verse in one pass that checks every decision, and estimates what rounding could change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator, default_rng  # loaded now: a confined process opens no file later
from numpy.typing import NDArray

from trainer.verse.certificate import Certificate
from trainer.verse.decision import StepVerdict, bound_of, judge
from trainer.verse.model import VerseModel
from trainer.verse.passes import CHUNK, COPIES, MAX_LOGITS
from trainer.verse.recipe import Recipe
from trainer.verse.rounding import MovedModel
from trainer.verse.threads import BlasThreads


@dataclass(frozen=True)
class Verdict:
    """The result of a replay.

    PASS: every token is the one chosen, by more than the bound. FAIL: a token is not. UNDECIDED: float64 cannot tell.
    """

    verdict: StepVerdict
    bound: float  # what gaps had to exceed: the largest bound of a step up to `position`, or of all for PASS
    position: int | None = None  # the first token that failed, or that is undecided; None for PASS
    expected: int | None = None  # the token chosen there
    got: int | None = None  # the token claimed there
    certificate: Certificate | None = None  # recomputed; None for FAIL, where there is no verse to certify


def replay(model: VerseModel, recipe: Recipe, ids: Sequence[int], rng: Generator | None = None) -> Verdict:
    """Check at each position of a claimed verse whether the recipe chooses the claimed token.

    The end of the verse (`text.length_of`) is not checked here; reading a bundle checks it.

    Args:
        model: A float64 model.
        recipe: The claimed recipe.
        ids: The claimed tokens, at least one.
        rng: Draws the moves of `rounding.MovedModel`; None: seeded by the system, so that no author can know them.

    Raises:
        RecipeError: The recipe does not fit the model.
    """
    recipe.check_fits(model.config)
    moved = MovedModel(model, rng or default_rng())
    with BlasThreads(model.config) as threads:
        return _replay(moved, recipe, ids, threads)


def _replay(model: MovedModel, recipe: Recipe, ids: Sequence[int], threads: BlasThreads) -> Verdict:
    undecided: Verdict | None = None
    gaps = np.empty(len(ids))
    bound = 0.0
    for position, (z, estimate) in enumerate(_logits_before(model, recipe.prompt_ids, ids, threads)):
        bound = max(bound, bound_of(estimate))  # an error at one token may change all that follow
        verdict, (winner, gaps[position]) = judge(z, recipe, position, ids[position], bound)
        if verdict == "FAIL":
            return Verdict(verdict, bound, position, winner, ids[position])
        if verdict == "UNDECIDED" and undecided is None:
            undecided = Verdict(verdict, bound, position, winner, ids[position])  # a later FAIL takes precedence
    certificate = Certificate.of(ids, gaps)
    if undecided is not None:
        return replace(undecided, certificate=certificate)
    return Verdict("PASS", bound, certificate=certificate)


def _logits_before(
    model: MovedModel, prompt: Sequence[int], ids: Sequence[int], threads: BlasThreads
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yield the logits (V,) that decide each of `ids`, and the estimate of their error, in order."""
    tokens = np.array([[*prompt, *ids[:-1]]] * COPIES)  # (3, positions)
    length = tokens.shape[1]
    cache = model.new_cache(COPIES, length)
    most = 0.0  # that a normed vector has moved so far
    for start in range(0, length, CHUNK):
        threads.adapt(COPIES * min(CHUNK, length - start))
        hidden = model.hidden(tokens[:, start : start + CHUNK], cache)
        moved = np.maximum.accumulate(np.maximum(most, model.moved))
        most = float(moved[-1])
        first = max(0, len(prompt) - 1 - start)
        rows = max(1, MAX_LOGITS // (COPIES * model.config.vocab_size))
        for row in range(first, hidden.shape[1], rows):
            z = model.logits(hidden[:, row : row + rows])
            yield from zip(z[0], model.estimate(z, moved[row : row + rows]).tolist(), strict=True)
