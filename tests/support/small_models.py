"""Small real models with random weights, and the ways from the engine's types to the reference's plain ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support import reference_engine as reference
from trainer.checkpoint import Checkpoint
from trainer.verse.config import ModelConfig
from trainer.verse.decision import BOUND
from trainer.verse.generate import Written
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.vocabulary import Vocabulary

Weights = dict[str, NDArray[np.float16]]
PRINTABLE = "\n " + "".join(map(chr, range(33, 127)))
LETTERS = Vocabulary.chars("\n abcdefgh")  # ten: no multiple of four, so the last block of noise is cut
LATIN_1 = "".join(map(chr, range(256)))  # token i is U+i, controls included
LINEAR_A = Vocabulary.bpe(LATIN_1, [(97, 98), (256, 10), (257, 97), (10, 10), (228, 228)])  # ab, ab⏎, ab⏎a, ⏎⏎, ää


def random_weights(config: ModelConfig, seed: int, spread: float = 0.6) -> Weights:
    """Nothing trained, everything used: gains near one, all else of this spread."""
    rng = np.random.default_rng(seed)
    return round_weights(
        config,
        {
            name: rng.normal(float(name.endswith(".weight") and len(shape) == 1), spread, shape)
            for name, shape in config.tensor_shapes().items()
        },
    )


def small_checkpoint(
    symbols: str = PRINTABLE, head: float = 1.0, arch: str = "modern", vocabulary: Vocabulary | None = None
) -> Checkpoint:
    """A checkpoint as training leaves one, with random weights.

    Args:
        symbols: of its tokenizer, unless a vocabulary is given.
        head: scales a modern model's logits; 0 leaves every choice to the noise.
        arch: of the model.
        vocabulary: in place of `symbols`.
    """
    vocabulary = vocabulary or Vocabulary.chars(symbols)
    config = ModelConfig(arch, n_layer=1, n_head=2, n_embd=16, block_size=64, vocab_size=vocabulary.size)
    rng = np.random.default_rng(1)
    weights = {name: rng.standard_normal(s).astype(np.float32) for name, s in config.tensor_shapes().items()}
    if arch == "modern":
        weights["lm_head.weight"] *= head
    corpus = {"name": "none", "sha256": "0" * 64}
    return Checkpoint(config, vocabulary, 3, None, corpus, {"steps": 3}, weights)


def golden_weights(config: ModelConfig, number: int) -> Weights:
    """The weights of SPEC.md, section 8: integers from the noise, exact in float16."""
    weights = {}
    for t, (name, shape) in enumerate(sorted(config.tensor_shapes().items())):
        b = np.array([reference.noise_integer(number, t, i) >> 44 for i in range(math.prod(shape))])
        is_gain = name.endswith(".weight") and len(shape) == 1
        weights[name] = ((1024 + 2 * b - 255) / 1024 if is_gain else (2 * b - 255) / 256).reshape(shape)
    return round_weights(config, weights)


def plain(weights: Weights) -> dict[str, Any]:
    """As the reference takes them: lists of Python floats."""
    return {name: weight.astype(np.float64).tolist() for name, weight in weights.items()}


def all_logits(model: VerseModel, ids: list[int], chunk: int) -> NDArray[np.float64]:
    """Logits after each token, the text read in chunks of this many tokens."""
    cache = model.new_cache(1, len(ids))
    parts = [model.logits(model.hidden(np.array([ids[at : at + chunk]]), cache)[0]) for at in range(0, len(ids), chunk)]
    return np.concatenate(parts)


def is_decided(written: Written) -> bool:
    """Whether all gaps are above the bound of an honest model."""
    return written.certificate.smallest_gap > BOUND


def make_recipe(**changes: Any) -> Recipe:
    """A recipe of no importance but for what the test changes."""
    usual: dict[str, Any] = {"prompt_ids": (0,), "temperature": 80, "top_k": 0, "seed": 7, "tokens": 16, "lines": 0}
    return Recipe(**(usual | changes))
