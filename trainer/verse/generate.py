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
MAX_WAIT = 32  # tokens by which prompts of one batch may differ in length: the shorter ones do not wait for the others
PREFILL = 256  # positions of all prompts at once: bounds the attention matrix
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
        recipes: Any recipes; those whose prompts are about as long are written together.
        progress: Called with the number of tokens just decided.

    Returns:
        The verses, in the order of the recipes.

    Raises:
        RecipeError: A recipe does not fit the model.
    """
    for recipe in recipes:
        recipe.check_fits(model.config)
    written: dict[int, Written] = {}
    for batch in _batches([len(recipe.prompt_ids) for recipe in recipes]):
        with BlasThreads(model.config) as threads:
            verses = _write_batch(model, vocabulary, [recipes[i] for i in batch], threads, progress)
        written.update(zip(batch, verses, strict=True))
    return [written[index] for index in range(len(recipes))]


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return the indices of prompts with these lengths in batches, the shortest prompts first."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        last = batches[-1] if batches else []
        if last and len(last) < MAX_BATCH and lengths[index] <= lengths[last[0]] + MAX_WAIT:
            last.append(index)
        else:
            batches.append([index])
    return batches


def _write_batch(
    model: VerseModel,
    vocabulary: Vocabulary,
    recipes: Sequence[Recipe],
    threads: BlasThreads,
    progress: Callable[[int], object] | None,
) -> list[Written]:
    """Write recipes as one batch: all sequences are at the same position, where some may still be in their prompt."""
    batch = _Batch(model, recipes)
    drafting = len(recipes) == 1 and model.config.n_params >= LARGE
    drafts = _Batch(model.single_precision(), recipes) if drafting else None
    tokens = np.empty((len(recipes), _capacity(recipes)), np.int64)
    for verse, recipe in enumerate(recipes):
        tokens[verse, : len(recipe.prompt_ids)] = recipe.prompt_ids
    gaps: list[list[float]] = [[] for _ in recipes]
    ends = [LineEnd(recipe.lines) for recipe in recipes]
    active = list(range(len(recipes)))  # verses still being written, by row of the batch
    known = min(len(recipe.prompt_ids) for recipe in recipes)  # columns of `tokens` that are decided, or of a prompt
    while active:
        threads.adapt(len(active))
        active_recipes = [recipes[verse] for verse in active]
        n = 1
        if drafts:
            n = min(DRAFT, tokens.shape[1] - known)
            tokens[active, known : known + n - 1] = drafts.guess(tokens[active, :known], active_recipes, n - 1)
        choices = batch.decide(tokens[active, : known + n - 1], active_recipes, n)
        guesses = tokens[active, known : known + n - 1].tolist()
        steps = min((_count_valid(row, guess) for row, guess in zip(choices, guesses, strict=True) if row), default=1)
        unfinished = []
        for row, verse in enumerate(active):
            for step in range(min(steps, len(choices[row]))):  # none while the prompt is read
                token, gap = choices[row][step]
                tokens[verse, known + step] = token
                gaps[verse].append(gap)
                if ends[verse].push(vocabulary.tokens[token]) or len(gaps[verse]) == recipes[verse].tokens:
                    break
            else:
                unfinished.append(row)
        if progress:
            progress(steps * sum(map(bool, choices)))
        known += steps
        active = [active[row] for row in unfinished]
        batch.keep(unfinished, known)
        if drafts:
            drafts.keep(unfinished, known)
    written = []
    for ids, recipe, its_gaps in zip(tokens.tolist(), recipes, gaps, strict=True):
        start = len(recipe.prompt_ids)
        written.append(Written(recipe, tuple(ids[start : start + len(its_gaps)]), np.array(its_gaps)))
    return written


def _capacity(recipes: Sequence[Recipe]) -> int:
    """Return the most tokens of a prompt and its verse."""
    return max(len(recipe.prompt_ids) + recipe.tokens for recipe in recipes)


def _count_valid(choices: Sequence[Decision], guesses: Sequence[int]) -> int:
    """Return how many choices are valid: all up to and including the first that differs from its guess."""
    for step, guess in enumerate(guesses):
        if choices[step].token != guess:
            return step + 1
    return len(choices)


class _Batch:
    """Sequences, and one model's cache of them."""

    def __init__(self, model: VerseModel, recipes: Sequence[Recipe]) -> None:
        self.model = model
        length = min(len(recipe.prompt_ids) for recipe in recipes) - 1
        beginnings = [recipe.prompt_ids[:length] for recipe in recipes]
        rows = {beginning: row for row, beginning in enumerate(dict.fromkeys(beginnings))}
        ids = np.array(list(rows), dtype=np.int64)
        self.cache = model.new_cache(len(rows), _capacity(recipes))
        width = max(1, PREFILL // len(rows))
        for start in range(0, length, width):
            model.hidden(ids[:, start : start + width], self.cache)
        self.cache.keep([rows[beginning] for beginning in beginnings])  # each is read once, then shared

    def decide(self, tokens: NDArray[np.integer], recipes: Sequence[Recipe], n: int) -> list[list[Decision]]:
        """Read `tokens` to their end, and decide the token after each of the last n.

        Args:
            tokens: (B, positions); those in the cache are not read again.
            recipes: One per sequence.
            n: How many decisions to make.

        Returns:
            B lists of n decisions, without those that come before the end of a prompt.
        """
        hidden = self.model.hidden(tokens[:, self.cache.length :], self.cache)
        z = self.model.logits(hidden[:, -n:]).astype(np.float64, copy=False)  # (B, n, V)
        decisions = []
        for row, recipe in enumerate(recipes):
            first = tokens.shape[1] - len(recipe.prompt_ids) - n + 1  # index of the generated token chosen first
            decisions.append([decide(z[row, t], recipe, first + t) for t in range(n) if first + t >= 0])
        return decisions

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
