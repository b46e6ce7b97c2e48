"""What a model expects: surprisals of a text, and how much of a verse it writes from its first characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.checks.words import encode
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.recipe import MAX_PROMPT_TOKENS, MAX_TOKENS, Recipe
from trainer.verse.vocabulary import Vocabulary

ROWS = 8  # windows of text at once: bounds memory
LOG_2 = float(np.log(2))


def surprisals(model: VerseModel, ids: Sequence[int]) -> NDArray[np.float64]:
    """Return the surprisal in bits of every token but the first, read in windows of the model's context.

    Args:
        model: Any model; in single precision it is accurate enough.
        ids: At least two tokens.

    Returns:
        (len(ids) - 1,) bits.
    """
    size = model.config.block_size
    starts = range(0, len(ids) - 1, size)
    full = [start for start in starts if start + size < len(ids)]
    groups = [full[at : at + ROWS] for at in range(0, len(full), ROWS)]
    if len(full) < len(starts):
        groups.append([starts[-1]])
    bits = []
    for group in groups:
        windows = np.array([ids[start : start + size + 1] for start in group])
        inputs, targets = windows[:, :-1], windows[:, 1:]
        z = model.logits(model.hidden(inputs, model.new_cache(len(group), inputs.shape[1]))).astype(np.float64)
        z -= z.max(-1, keepdims=True)
        chosen = np.take_along_axis(z, targets[..., None], -1)[..., 0]
        bits.append(((np.log(np.exp(z).sum(-1)) - chosen) / LOG_2).ravel())
    return np.concatenate(bits)


def bits_per_character(model: VerseModel, vocabulary: Vocabulary, text: str) -> float | None:
    """Return the mean surprisal of a text in bits a character; None if the vocabulary lacks one of its characters."""
    ids = encode(vocabulary, text)
    if ids is None or len(ids) < 2:
        return None
    return float(surprisals(model, ids).sum() / max(1, len(text) - len(vocabulary.tokens[ids[0]])))


def verse_bits(model: VerseModel, prompt: Sequence[int], ids: Sequence[int], characters: int) -> float:
    """Return the mean surprisal of a verse after its prompt, in bits a character.

    Args:
        model: The model that wrote it.
        prompt: Token ids before it.
        ids: Its own.
        characters: That it has.
    """
    return float(surprisals(model, [*prompt, *ids])[-len(ids) :].sum() / max(1, characters))


def recited_share(model: VerseModel, vocabulary: Vocabulary, recipe: Recipe, ids: Sequence[int], given: int) -> float:
    """Return the share of a verse that greedy decoding writes, letter by letter, after its first characters.

    Args:
        model: The model that wrote it.
        vocabulary: What its tokens spell.
        recipe: Of the verse.
        ids: The verse's tokens.
        given: Characters of the verse that the model is given.
    """
    lengths = np.cumsum([len(vocabulary.tokens[token]) for token in ids])
    n_given = int(np.searchsorted(lengths, given)) + 1
    rest = list(ids[n_given:])
    if not rest:
        return 0.0
    prompt = (*recipe.prompt_ids, *ids[:n_given])[-MAX_PROMPT_TOKENS:]
    greedy = Recipe(prompt, 0, 0, 0, min(len(rest), MAX_TOKENS), 0)
    [written] = regenerate(model, vocabulary, [greedy])
    equal = next((at for at, pair in enumerate(zip(rest, written.ids, strict=False)) if pair[0] != pair[1]), len(rest))
    return equal / len(rest)


def other_verses_bits(model: VerseModel, vocabulary: Vocabulary, seeds: Sequence[int], tokens: int) -> float:
    """Return the mean surprisal of what other seeds write after a line feed, in bits a character.

    Args:
        model: The model.
        vocabulary: What its tokens spell.
        seeds: One verse each; at least one.
        tokens: Length of each.
    """
    start = max(0, vocabulary.symbols.find("\n"))
    if model.config.arch == "gpt2":
        tokens = min(tokens, model.config.block_size - 1)
    recipes = [Recipe((start,), 80, 0, seed, tokens, 0) for seed in seeds]
    totals = []
    for written in regenerate(model, vocabulary, recipes):
        totals.append(verse_bits(model, (start,), written.ids, len(vocabulary.decode(written.ids))))
    return float(np.mean(totals))
