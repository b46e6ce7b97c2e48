"""Replay: verify a claimed verse in one pass that checks every decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.verse.certificate import Certificate
from trainer.verse.decision import BOUND, decide, refutes
from trainer.verse.errors import NotFinite
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.threads import BlasThreads

CHUNK = 256  # positions of one pass: bounds the attention matrix
MAX_LOGITS = 2**22  # numbers of one block of logits, 32 MiB: a vocabulary may be large


@dataclass(frozen=True)
class Verdict:
    """The result of a replay.

    PASS: every token is the one chosen, by more than the bound. FAIL: a token is not. UNDECIDED: float64 cannot tell.
    """

    verdict: Literal["PASS", "FAIL", "UNDECIDED"]
    position: int | None = None  # the first token that failed, or that is undecided; None for PASS
    expected: int | None = None  # the token chosen there
    got: int | None = None  # the token claimed there
    certificate: Certificate | None = None  # recomputed; None for FAIL, where there is no verse to certify


def replay(model: VerseModel, recipe: Recipe, ids: Sequence[int]) -> Verdict:
    """Check at each position of a claimed verse whether the recipe chooses the claimed token.

    The end of the verse (`text.length_of`) is not checked here; reading a bundle checks it.

    Args:
        model: A float64 model.
        recipe: The claimed recipe.
        ids: The claimed tokens, at least one.

    Raises:
        RecipeError: The recipe does not fit the model.
        NotFinite: The model computes a logit that is not finite.
    """
    recipe.check_fits(model.config)
    with BlasThreads(model.config) as threads:
        return _replay(model, recipe, ids, threads)


def _replay(model: VerseModel, recipe: Recipe, ids: Sequence[int], threads: BlasThreads) -> Verdict:
    undecided: Verdict | None = None
    gaps = np.empty(len(ids))
    for position, z in enumerate(_logits_before(model, recipe.prompt_ids, ids, threads)):
        if not np.isfinite(z).all():
            raise NotFinite(position)
        winner, gaps[position] = decide(z, recipe, position)
        claimed = ids[position]
        if claimed != winner and refutes(z, recipe, position, winner, claimed):
            return Verdict("FAIL", position, winner, claimed)
        if undecided is None and (claimed != winner or gaps[position] <= BOUND):
            undecided = Verdict("UNDECIDED", position, winner, claimed)  # a later FAIL takes precedence
    certificate = Certificate.of(ids, gaps)
    if undecided is not None:
        return Verdict("UNDECIDED", undecided.position, undecided.expected, undecided.got, certificate)
    return Verdict("PASS", certificate=certificate)


def _logits_before(
    model: VerseModel, prompt: Sequence[int], ids: Sequence[int], threads: BlasThreads
) -> Iterator[NDArray[np.float64]]:
    """Yield the logits (V,) that decide each of `ids`, in order."""
    tokens = np.array([[*prompt, *ids[:-1]]])  # (1, positions)
    length = tokens.shape[1]
    cache = model.new_cache(1, length)
    for start in range(0, length, CHUNK):
        threads.adapt(min(CHUNK, length - start))
        hidden = model.hidden(tokens[:, start : start + CHUNK], cache)[0]
        deciding = hidden[max(0, len(prompt) - 1 - start) :]
        rows = max(1, MAX_LOGITS // model.config.vocab_size)
        for row in range(0, len(deciding), rows):
            yield from model.logits(deciding[row : row + rows])
