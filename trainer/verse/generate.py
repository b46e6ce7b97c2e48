"""The one sampler: writes verses token by token, in float64, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.verse.certificate import Certificate
from trainer.verse.decision import BOUND, decide
from trainer.verse.errors import NotFinite
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.text import LineEnd
from trainer.verse.vocabulary import Vocabulary

MAX_BATCH = 64  # sequences at once: more gain little, and their cache grows
PREFILL = 256  # positions at once: bounds the attention matrix, changes no number


@dataclass(frozen=True)
class Written:
    """What a model wrote from one recipe, and how sure each token is."""

    recipe: Recipe
    ids: tuple[int, ...]  # generated tokens, the prompt not among them
    gaps: NDArray[np.float64]  # (len(ids),) in units of a logit

    @property
    def certificate(self) -> Certificate:
        """The closest decision and the digest of the tokens."""
        return Certificate.of(self.ids, self.gaps)

    @property
    def decided(self) -> bool:
        """Whether every decision is beyond doubt on any machine. If not, the verse is UNDECIDED: take another seed."""
        return bool((self.gaps > BOUND).all())


def regenerate(
    model: VerseModel,
    vocabulary: Vocabulary,
    recipes: Sequence[Recipe],
    progress: Callable[[int], object] | None = None,
) -> list[Written]:
    """Write one verse a recipe. What each says does not depend on the others, nor on their order.

    Args:
        model: a float64 model.
        vocabulary: what its tokens spell, to see where lines end.
        recipes: any mixture; those with equal prompts are written together.
        progress: called with the number of tokens just decided.

    Returns:
        the verses, in the order of the recipes.

    Raises:
        RecipeError: a recipe does not fit the model.
        NotFinite: the model's logits are not finite.
    """
    for recipe in recipes:
        recipe.check_fits(model.config)
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, recipe in enumerate(recipes):
        by_prompt.setdefault(recipe.prompt_ids, []).append(index)
    written: dict[int, Written] = {}
    for indices in by_prompt.values():
        for at in range(0, len(indices), MAX_BATCH):
            batch = indices[at : at + MAX_BATCH]
            verses = _write_together(model, vocabulary, [recipes[i] for i in batch], progress)
            written.update(zip(batch, verses, strict=True))
    return [written[index] for index in range(len(recipes))]


def _write_together(
    model: VerseModel,
    vocabulary: Vocabulary,
    recipes: Sequence[Recipe],
    progress: Callable[[int], object] | None,
) -> list[Written]:
    """Recipes with one common prompt, as one batch."""
    prompt = np.array([recipes[0].prompt_ids])
    cache = model.new_cache(1, prompt.shape[1] + max(recipe.tokens for recipe in recipes))
    for at in range(0, prompt.shape[1], PREFILL):
        hidden = model.hidden(prompt[:, at : at + PREFILL], cache)
    active = list(range(len(recipes)))  # verses still being written, by row of the batch
    cache.keep([0] * len(active))  # the prompt is read once, then shared
    z = np.repeat(model.logits(hidden[:, -1]), len(active), axis=0)  # (B, V)

    ids: list[list[int]] = [[] for _ in recipes]
    gaps: list[list[float]] = [[] for _ in recipes]
    ends = [LineEnd(recipe.lines) for recipe in recipes]
    position = 0
    while True:
        if not np.isfinite(z).all():
            raise NotFinite(position)
        going = []
        for row, verse in enumerate(active):
            token, gap = decide(z[row], recipes[verse], position)
            ids[verse].append(token)
            gaps[verse].append(gap)
            if not ends[verse].push(vocabulary.tokens[token]) and position + 1 < recipes[verse].tokens:
                going.append(row)
        if progress:
            progress(len(active))
        if not going:
            return [Written(r, tuple(i), np.array(g)) for r, i, g in zip(recipes, ids, gaps, strict=True)]
        if len(going) < len(active):
            cache.keep(going)
            active = [active[row] for row in going]
        position += 1
        last = np.array([[ids[verse][-1]] for verse in active])
        z = model.logits(model.hidden(last, cache)[:, -1])
