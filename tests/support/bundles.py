"""Real small bundles: models of random weights, and the verses that they write. `bundle_parts` forges them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from tests.support.small_models import Weights, is_decided, random_weights
from trainer.verse.bundle import pack
from trainer.verse.claim import header_length
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

VOCABULARY = Vocabulary.chars("\n abcdefghijklmnopqrstuvwxyz")
CONFIG = ModelConfig("modern", n_layer=2, n_head=2, n_embd=32, block_size=32, vocab_size=VOCABULARY.size)
LARGE = ModelConfig("modern", n_layer=2, n_head=2, n_embd=256, block_size=32, vocab_size=VOCABULARY.size)  # 3 MB
RECIPE = Recipe(prompt_ids=(0,), temperature=80, top_k=0, seed=7, tokens=40, lines=0)


@dataclass
class Poet:
    """A model of random weights that writes bundles, honest ones and others."""

    weights: Weights
    config: ModelConfig = CONFIG
    vocabulary: Vocabulary = VOCABULARY

    @classmethod
    def random(cls, seed: int, config: ModelConfig = CONFIG, spread: float = 0.2) -> Poet:
        return cls(random_weights(config, seed, spread), config)

    def write(self, recipe: Recipe = RECIPE) -> Written:
        [written] = regenerate(VerseModel(self.config, self.weights), self.vocabulary, [recipe])
        return written

    def pack(self, written: Written | None = None, provenance: dict[str, Any] | None = None) -> bytes:
        return pack(self.config, self.vocabulary, self.weights, written or self.write(), provenance or {})


def torn_poet(poet: Poet) -> Poet:
    """One whose favourite first token has a twin: the same row of lm_head under another id."""
    favourite = poet.write(replace(RECIPE, temperature=0, tokens=1)).ids[0]
    head = poet.weights["lm_head.weight"].copy()
    head[favourite - 1 if favourite else 1] = head[favourite]
    return Poet(poet.weights | {"lm_head.weight": head})


def header_of(bundle: bytes) -> bytes:
    return bundle[: header_length(bundle[:8])]


def verses(count: int) -> list[bytes]:
    """Bundles of different verses by one poet."""
    return [verse(number) for number in range(count)]


@cache
def verse(number: int) -> bytes:
    """A bundle of a decided verse of 1 to 8 lines; each number is another verse."""
    return first_decided(Poet.random(1), number)


@cache
def large_verse(number: int) -> bytes:
    """A bundle of some 3 MB: a claim and several pieces. Each number is another verse."""
    return first_decided(Poet.random(1, LARGE, spread=0.1), number)


def first_decided(poet: Poet, number: int) -> bytes:
    """A bundle of the poet's decided verse of this number."""
    for seed in range(1_000 * number, 1_000 * (number + 1)):
        written = poet.write(replace(RECIPE, seed=seed, tokens=24, lines=8))
        if is_decided(written) and verse_text(VOCABULARY, written.recipe, written.ids).strip():
            return poet.pack(written)
    raise AssertionError("no seed writes a verse")


@cache
def forged_verse(number: int) -> bytes:
    """A bundle that claims another seed's verse for its own."""
    poet = Poet.random(1)
    written = poet.write(replace(RECIPE, seed=number))
    return poet.pack(replace(written, recipe=replace(written.recipe, seed=number + 1)))


@cache
def undecided_verse() -> bytes:
    """A bundle whose verse has a decision too close to call."""
    poet = torn_poet(Poet.random(1))
    for prompt in range(VOCABULARY.size):
        written = poet.write(replace(RECIPE, prompt_ids=(prompt,), temperature=0, tokens=20, lines=8))
        if not is_decided(written) and verse_text(VOCABULARY, written.recipe, written.ids).strip():
            return poet.pack(written)
    raise AssertionError("every prompt writes a decided verse")


DEAR = ModelConfig("modern", n_layer=64, n_head=3, n_embd=24, block_size=1024, vocab_size=VOCABULARY.size)  # 1 MB
LARGEST = ModelConfig("modern", n_layer=8, n_head=127, n_embd=1016, block_size=1024, vocab_size=VOCABULARY.size)


def dear_verse(number: int, config: ModelConfig = DEAR, tokens: int = 1024) -> bytes:
    """A bundle that is made at once and checked slowly: nothing is decided, so that all of it must be replayed."""
    weights = {name: np.zeros(shape, np.float16) for name, shape in config.tensor_shapes().items()}
    recipe = replace(RECIPE, prompt_ids=(2,) * 1024, temperature=0, seed=number, tokens=tokens)
    return pack(config, VOCABULARY, weights, Written(recipe, (3,) * tokens, np.full(tokens, 1e-3)), {})


@cache
def verse_instead(number: int) -> bytes:
    """A bundle of a decided verse by the model of `undecided_verse`."""
    return first_decided(torn_poet(Poet.random(1)), number)
