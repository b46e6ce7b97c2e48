"""The one sampler: writes verses token by token, in float64, many at once.

Alone, a large model drafts some tokens in float32, and float64 then decides them all in one pass: reading the weights
is what takes time then. That is exact by definition, since a draft only says which tokens to read together, and what
follows a wrong guess is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.verse.certificate import Certificate
from trainer.verse.decision import BOUND, Decision, decide
from trainer.verse.errors import NotFinite
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.text import LineEnd
from trainer.verse.threads import LARGE, threads_for
from trainer.verse.vocabulary import Vocabulary

MAX_BATCH = 64  # sequences at once: more gain little, and their cache grows
PREFILL = 256  # positions at once: bounds the attention matrix, changes no number
DRAFT = 32  # tokens drafted at once


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
            with threads_for(model.config):
                verses = _write_together(model, vocabulary, [recipes[i] for i in batch], progress)
            written.update(zip(batch, verses, strict=True))
    return [written[index] for index in range(len(recipes))]


def _write_together(
    model: VerseModel,
    vocabulary: Vocabulary,
    recipes: Sequence[Recipe],
    progress: Callable[[int], object] | None,
) -> list[Written]:
    """Recipes with one common prompt, as one batch that keeps step: every sequence has the same length."""
    batch = _Batch(model, recipes)
    drafting = len(recipes) == 1 and model.config.n_params >= LARGE
    drafts = _Batch(model.single_precision(), recipes) if drafting else None
    prompt = recipes[0].prompt_ids
    tokens = np.empty((len(recipes), len(prompt) + max(recipe.tokens for recipe in recipes)), np.int64)
    tokens[:, : len(prompt)] = prompt
    gaps: list[list[float]] = [[] for _ in recipes]
    ends = [LineEnd(recipe.lines) for recipe in recipes]
    active = list(range(len(recipes)))  # verses still being written, by row of the batch
    known = len(prompt)  # columns of `tokens` that are decided
    while active:
        asked = [recipes[verse] for verse in active]
        n = 1
        if drafts:
            n = min(DRAFT, len(prompt) + max(recipe.tokens for recipe in asked) - known)
            tokens[active, known : known + n - 1] = drafts.guess(tokens[active, :known], asked, n - 1)
        choices = batch.decide(tokens[active, : known + n - 1], asked, n)
        guesses = tokens[active, known : known + n - 1].tolist()
        steps = min(_agreed(row, guess) for row, guess in zip(choices, guesses, strict=True))
        going = []
        for row, verse in enumerate(active):
            for step in range(steps):
                token, gap = choices[row][step]
                tokens[verse, known + step] = token
                gaps[verse].append(gap)
                if ends[verse].push(vocabulary.tokens[token]) or len(gaps[verse]) == recipes[verse].tokens:
                    break
            else:
                going.append(row)
        if progress:
            progress(steps * len(active))
        known += steps
        active = [active[row] for row in going]
        batch.keep(going, known)
        if drafts:
            drafts.keep(going, known)
    written = zip(recipes, tokens[:, len(prompt) :].tolist(), gaps, strict=True)
    return [Written(recipe, tuple(ids[: len(gap)]), np.array(gap)) for recipe, ids, gap in written]


def _agreed(choices: Sequence[Decision], guesses: Sequence[int]) -> int:
    """How many choices stand: all up to the first that the draft did not foresee, that one included."""
    for step, guess in enumerate(guesses):
        if choices[step].token != guess:
            return step + 1
    return len(choices)


class _Batch:
    """Some sequences with one prompt, as one model sees them."""

    def __init__(self, model: VerseModel, recipes: Sequence[Recipe]) -> None:
        self.model = model
        self.prompt_length = len(recipes[0].prompt_ids)
        before = np.array([recipes[0].prompt_ids[:-1]], dtype=np.int64)
        self.cache = model.new_cache(1, self.prompt_length + max(recipe.tokens for recipe in recipes))
        for at in range(0, before.shape[1], PREFILL):
            model.hidden(before[:, at : at + PREFILL], self.cache)
        self.cache.keep([0] * len(recipes))  # the prompt is read once, then shared

    def decide(self, tokens: NDArray[np.integer], recipes: Sequence[Recipe], n: int) -> list[list[Decision]]:
        """Read on to the end of `tokens` (B, positions) and choose what follows each of the last n: B lists of n."""
        hidden = self.model.hidden(tokens[:, self.cache.length :], self.cache)
        z = self.model.logits(hidden[:, -n:]).astype(np.float64, copy=False)  # (B, n, V)
        first = tokens.shape[1] - self.prompt_length - n + 1  # index of the generated token chosen first
        finite = np.isfinite(z).all(axis=(0, 2))
        if not finite.all():
            raise NotFinite(first + int(finite.argmin()))
        return [[decide(z[row, t], recipe, first + t) for t in range(n)] for row, recipe in enumerate(recipes)]

    def guess(self, tokens: NDArray[np.integer], recipes: Sequence[Recipe], n: int) -> NDArray[np.integer]:
        """Guess the n tokens that follow `tokens`, one after the other: (B, n)."""
        known = tokens.shape[1]
        for _ in range(n):
            choices = self.decide(tokens, recipes, 1)
            tokens = np.column_stack((tokens, [choice.token for [choice] in choices]))
        return tokens[:, known:]

    def keep(self, rows: Sequence[int], known: int) -> None:
        """Go on with these rows, and forget what was read beyond the known tokens: the last one is read again."""
        if len(rows) < self.cache.batch:
            self.cache.keep(rows)
        self.cache.length = min(self.cache.length, known - 1)
