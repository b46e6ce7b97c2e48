"""Verification: one pass over a claimed verse, checking every decision."""

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
from trainer.verse.threads import threads_for

CHUNK = 256  # positions of one pass: bounds the attention matrix
MAX_LOGITS = 2**22  # numbers of one block of logits, 32 MiB: a vocabulary may be large


@dataclass(frozen=True)
class Verdict:
    """What a replay found.

    PASS: every token is the choice, by more than the bound. FAIL: one surely is not. UNDECIDED: float64 cannot tell.
    """

    verdict: Literal["PASS", "FAIL", "UNDECIDED"]
    position: int | None = None  # the first token that failed, or that is undecided; None for PASS
    expected: int | None = None  # the token chosen there
    got: int | None = None  # the token claimed there
    certificate: Certificate | None = None  # recomputed; None for FAIL, where there is no verse to certify


def replay(model: VerseModel, recipe: Recipe, ids: Sequence[int]) -> Verdict:
    """Check a claimed verse: at each position, would the recipe choose the token claimed, given those before it?

    The end of the verse (`text.length_of`) is the caller's to check; a bundle's reader does.

    Args:
        model: a float64 model.
        recipe: the recipe claimed.
        ids: the tokens claimed, at least one.

    Raises:
        RecipeError: the recipe does not fit the model.
        NotFinite: the model's logits are not finite.
    """
    recipe.check_fits(model.config)
    with threads_for(model.config):
        return _replay(model, recipe, ids)


def _replay(model: VerseModel, recipe: Recipe, ids: Sequence[int]) -> Verdict:
    undecided: Verdict | None = None
    gaps = np.empty(len(ids))
    for position, z in enumerate(_logits_before(model, recipe.prompt_ids, ids)):
        if not np.isfinite(z).all():
            raise NotFinite(position)
        winner, gaps[position] = decide(z, recipe, position)
        claimed = ids[position]
        if claimed != winner and refutes(z, recipe, position, winner, claimed):
            return Verdict("FAIL", position, winner, claimed)
        if undecided is None and (claimed != winner or gaps[position] <= BOUND):
            undecided = Verdict("UNDECIDED", position, winner, claimed)  # a FAIL further on would outweigh it
    certificate = Certificate.of(ids, gaps)
    if undecided is not None:
        return Verdict("UNDECIDED", undecided.position, undecided.expected, undecided.got, certificate)
    return Verdict("PASS", certificate=certificate)


def _logits_before(model: VerseModel, prompt: Sequence[int], ids: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    """The logits (V,) that decide each of `ids`, in order."""
    read = np.array([[*prompt, *ids[:-1]]])  # (1, positions)
    length = read.shape[1]
    cache = model.new_cache(1, length)
    for start in range(0, length, CHUNK):
        hidden = model.hidden(read[:, start : start + CHUNK], cache)[0]
        wanted = hidden[max(0, len(prompt) - 1 - start) :]
        rows = max(1, MAX_LOGITS // model.config.vocab_size)
        for at in range(0, len(wanted), rows):
            yield from model.logits(wanted[at : at + rows])
