"""Bundles for a rehearsal: real verses of a small model with random weights, so no training is needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.decision import BOUND
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

VOCABULARY = Vocabulary.chars("\n abcdefghijklmnopqrstuvwxyz")
RECIPE = Recipe(prompt_ids=(0,), temperature=80, top_k=0, seed=0, tokens=60, lines=4)
WIDTH, HEAD, LAYERS = 32, 16, 2  # 60 KB; the width of a head is at most 128
LARGE_WIDTH = 656  # with these layers 21 MB, as a model that trained for half an hour
SPREAD = 0.2  # standard deviation of the weights


@cache
def _model(large: bool) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    width = LARGE_WIDTH if large else WIDTH
    config = ModelConfig(
        "modern", n_layer=LAYERS, n_head=width // HEAD, n_embd=width, block_size=64, vocab_size=VOCABULARY.size
    )
    rng = np.random.default_rng(1)
    spread = SPREAD * (WIDTH / width) ** 0.5
    weights = {
        name: rng.normal(float(name.endswith(".weight") and len(shape) == 1), spread, shape)
        for name, shape in config.tensor_shapes().items()
    }
    return config, round_weights(config, weights)


def make_bundle(number: int, large: bool = False) -> bytes:
    """Make the bundle of a verse that every computer decides alike; each number gives another verse.

    Args:
        number: from 0.
        large: 21 MB instead of 60 KB.
    """
    config, weights = _model(large)
    model = VerseModel(config, weights)
    for seed in range(1_000 * number, 1_000 * (number + 1)):
        [written] = regenerate(model, VOCABULARY, [replace(RECIPE, seed=seed)])
        if _is_good(written):
            return pack(config, VOCABULARY, weights, written, {"rehearsal": number})
    raise AssertionError("a thousand seeds wrote no verse")


def _is_good(written: Written) -> bool:
    """Whether a verse is decided, and has letters."""
    text = verse_text(VOCABULARY, written.recipe, written.ids)
    return bool(text.strip()) and all(gap > BOUND for gap in written.gaps)
