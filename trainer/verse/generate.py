"""The one sampler: it writes verses token by token, in float64, many at once.

For a single verse of a large model, most of the time is spent on reading the weights. So float32 drafts some tokens,
and float64 then decides all of them in one pass. A draft decides nothing: it only says which tokens to read together,
and everything after a wrong guess is discarded. Whether rounding decided something, `replay.replay` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.verse.certificate import Certificate
from trainer.verse.decision import Decision, decide
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.text import LineEnd
from trainer.verse.threads import LARGE, BlasThreads
from trainer.verse.vocabulary import Vocabulary

MAX_BATCH = 64  # sequences at once: more are hardly faster, and need a larger cache
PREFILL = 256  # positions of the prompt at once: bounds the attention matrix
DRAFT = 32  # tokens drafted at once


@dataclass(frozen=True)
class Written:
    """What a model wrote from one recipe, and the gap of each token."""

    recipe: Recipe
    ids: tuple[int, ...]  # generated tokens, without the prompt
    gaps: NDArray[np.float64]  # (len(ids),) in units of a logit

    @property
    def certificate(self) -> Certificate:
        """The closest decision and the digest of the tokens."""
        return Certificate.of(self.ids, self.gaps)


def regenerate(
    model: VerseModel,
    vocabulary: Vocabulary,
    recipes: Sequence[Recipe],
    progress: Callable[[int], object] | None = None,
) -> list[Written]:
    """Write one verse per recipe. A verse does not depend on the other recipes, or on their order.

    Args:
        model: A float64 model.
        vocabulary: What its tokens spell, to find the ends of lines.
        recipes: Any recipes; those with equal prompts are written together.
        progress: Called with the number of tokens just decided.

    Returns:
        The verses, in the order of the recipes.

    Raises:
        RecipeError: A recipe does not fit the model.
    """
    for recipe in recipes:
        recipe.check_fits(model.config)
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, recipe in enumerate(recipes):
        by_prompt.setdefault(recipe.prompt_ids, []).append(index)
    written: dict[int, Written] = {}
    for indices in by_prompt.values():
        for start in range(0, len(indices), MAX_BATCH):
            batch = indices[start : start + MAX_BATCH]
            with BlasThreads(model.config) as threads:
                verses = _write_batch(model, vocabulary, [recipes[i] for i in batch], threads, progress)
            written.update(zip(batch, verses, strict=True))
    return [written[index] for index in range(len(recipes))]


def _write_batch(
    model: VerseModel,
    vocabulary: Vocabulary,
    recipes: Sequence[Recipe],
    threads: BlasThreads,
    progress: Callable[[int], object] | None,
) -> list[Written]:
    """Write recipes with the same prompt as one batch, in which all sequences have the same length."""
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
        threads.adapt(len(active))
        active_recipes = [recipes[verse] for verse in active]
        n = 1
        if drafts:
            n = min(DRAFT, len(prompt) + max(recipe.tokens for recipe in active_recipes) - known)
            tokens[active, known : known + n - 1] = drafts.guess(tokens[active, :known], active_recipes, n - 1)
        choices = batch.decide(tokens[active, : known + n - 1], active_recipes, n)
        guesses = tokens[active, known : known + n - 1].tolist()
        steps = min(_count_valid(row, guess) for row, guess in zip(choices, guesses, strict=True))
        unfinished = []
        for row, verse in enumerate(active):
            for step in range(steps):
                token, gap = choices[row][step]
                tokens[verse, known + step] = token
                gaps[verse].append(gap)
                if ends[verse].push(vocabulary.tokens[token]) or len(gaps[verse]) == recipes[verse].tokens:
                    break
            else:
                unfinished.append(row)
        if progress:
            progress(steps * len(active))
        known += steps
        active = [active[row] for row in unfinished]
        batch.keep(unfinished, known)
        if drafts:
            drafts.keep(unfinished, known)
    written = zip(recipes, tokens[:, len(prompt) :].tolist(), gaps, strict=True)
    return [Written(recipe, tuple(ids[: len(gap)]), np.array(gap)) for recipe, ids, gap in written]


def _count_valid(choices: Sequence[Decision], guesses: Sequence[int]) -> int:
    """Return how many choices are valid: all up to and including the first that differs from its guess."""
    for step, guess in enumerate(guesses):
        if choices[step].token != guess:
            return step + 1
    return len(choices)


class _Batch:
    """Sequences with one prompt, and one model's cache of them."""

    def __init__(self, model: VerseModel, recipes: Sequence[Recipe]) -> None:
        self.model = model
        self.prompt_length = len(recipes[0].prompt_ids)
        prefix = np.array([recipes[0].prompt_ids[:-1]], dtype=np.int64)
        self.cache = model.new_cache(1, self.prompt_length + max(recipe.tokens for recipe in recipes))
        for start in range(0, prefix.shape[1], PREFILL):
            model.hidden(prefix[:, start : start + PREFILL], self.cache)
        self.cache.keep([0] * len(recipes))  # the prompt is read once, then shared

    def decide(self, tokens: NDArray[np.integer], recipes: Sequence[Recipe], n: int) -> list[list[Decision]]:
        """Read `tokens` to their end, and decide the token after each of the last n.

        Args:
            tokens: (B, positions); those in the cache are not read again.
            recipes: One per sequence.
            n: How many decisions to make.

        Returns:
            B lists of n decisions.
        """
        hidden = self.model.hidden(tokens[:, self.cache.length :], self.cache)
        z = self.model.logits(hidden[:, -n:]).astype(np.float64, copy=False)  # (B, n, V)
        first = tokens.shape[1] - self.prompt_length - n + 1  # index of the generated token chosen first
        return [[decide(z[row, t], recipe, first + t) for t in range(n)] for row, recipe in enumerate(recipes)]

    def guess(self, tokens: NDArray[np.integer], recipes: Sequence[Recipe], n: int) -> NDArray[np.integer]:
        """Guess the next n tokens, one after the other.

        Args:
            tokens: (B, positions).
            recipes: One per sequence.
            n: How many tokens to guess.

        Returns:
            (B, n) token ids.
        """
        known = tokens.shape[1]
        for _ in range(n):
            choices = self.decide(tokens, recipes, 1)
            tokens = np.column_stack((tokens, [choice.token for [choice] in choices]))
        return tokens[:, known:]

    def keep(self, rows: Sequence[int], known: int) -> None:
        """Keep these rows, and drop from the cache all but the known tokens; the last one is read again."""
        if len(rows) < self.cache.batch:
            self.cache.keep(rows)
        self.cache.length = min(self.cache.length, known - 1)
