"""Seeded random bundles of every kind, to compare two engines: shapes, tokenizers, prompts, temperatures, ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tests.support.attack_models import FAMILIES, attack_model, attack_recipe
from tests.support.attack_models import VOCABULARY as ATTACK_VOCABULARY
from tests.support.small_models import LINEAR_A, PRINTABLE, Weights, random_weights
from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.errors import NotText
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.text import length_of
from trainer.verse.vocabulary import Vocabulary

SHAPES = ((1, 1, 8), (2, 2, 32), (3, 1, 16), (2, 4, 64), (4, 4, 128), (12, 2, 16), (2, 1, 128))  # layers, heads, width
VOCABULARIES = (
    Vocabulary.chars("\n abcdefgh"),
    Vocabulary.chars(PRINTABLE),
    Vocabulary.chars("\n " + "".join(map(chr, range(0x4E00, 0x4E00 + 600)))),  # too large for previous tokens
    LINEAR_A,
)


@dataclass(frozen=True)
class Case:
    """A bundle, and what wrote it."""

    data: bytes
    model: VerseModel
    recipe: Recipe
    ids: tuple[int, ...]  # claimed
    written: Written  # by trainer.verse


def random_case(number: int) -> Case:
    """The case of this number; one in five claims a verse that its recipe does not write."""
    rng = np.random.default_rng([2026, number])
    vocabulary = VOCABULARIES[number % len(VOCABULARIES)]
    arch = ("modern", "gpt2")[int(rng.integers(2))]
    layers, heads, width = SHAPES[int(rng.integers(len(SHAPES)))]
    window = int(rng.choice((5, 12, 40))) if arch == "modern" else 160
    config = ModelConfig(arch, layers, heads, width, window, vocabulary.size)
    weights = _random_weights(config, vocabulary, number, float(rng.choice((0.1, 0.3, 0.6))))
    model = VerseModel(config, weights)
    while True:
        recipe = Recipe(
            prompt_ids=tuple(
                map(int, rng.integers(97 if vocabulary is LINEAR_A else 0, _known(vocabulary), rng.choice((1, 3, 40))))
            ),
            temperature=int(rng.choice((0, 1, 50, 80, 80, 100, 200))),
            top_k=int(rng.choice((0, 0, 1, 3, vocabulary.size - 1, vocabulary.size))),
            seed=int(rng.integers(2**32)),
            tokens=int(rng.integers(1, 12 if vocabulary is LINEAR_A else 90)),
            lines=int(rng.choice((0, 0, 1, 3))),
        )
        [written] = regenerate(model, vocabulary, [recipe])
        try:
            data = pack(config, vocabulary, weights, written, {"number": number})
        except NotText:
            continue
        if number % 5 == 4 and (other := _forged(written, vocabulary, rng)) is not None:
            return Case(pack(config, vocabulary, weights, other, {}), model, recipe, other.ids, written)
        return Case(data, model, recipe, written.ids, written)


def attack_case(number: int) -> Case:
    """A bundle whose weights are built to let rounding choose."""
    family = sorted(FAMILIES)[number % len(FAMILIES)]
    config, weights = attack_model(family, number)
    recipe = attack_recipe(number)
    model = VerseModel(config, weights)
    [written] = regenerate(model, ATTACK_VOCABULARY, [recipe])
    return Case(pack(config, ATTACK_VOCABULARY, weights, written, {}), model, recipe, written.ids, written)


def _known(vocabulary: Vocabulary) -> int:
    return 123 if vocabulary is LINEAR_A else vocabulary.size


def _random_weights(config: ModelConfig, vocabulary: Vocabulary, seed: int, spread: float) -> Weights:
    """Random weights; of a vocabulary with controls, those that are text are the likeliest."""
    weights = random_weights(config, seed, spread)
    if vocabulary is not LINEAR_A:
        return weights
    head = "wte.weight" if config.arch == "gpt2" else "lm_head.weight"
    louder = weights[head].astype(np.float32)
    louder[[10, 32, *range(97, 123), 256, 257, 258, 259, 260]] *= 6
    return round_weights(config, weights | {head: np.clip(louder, -1000, 1000)})


def _forged(written: Written, vocabulary: Vocabulary, rng: np.random.Generator) -> Written | None:
    """The same verse with one other token, if it still ends where it should and is text."""
    ids = list(written.ids)
    at = int(rng.integers(len(ids)))
    ids[at] = next(token for token in (97, 98, 2, 3) if token < vocabulary.size and token != ids[at])
    if length_of(vocabulary, written.recipe, ids) != len(ids):
        return None
    return replace(written, ids=tuple(ids))
