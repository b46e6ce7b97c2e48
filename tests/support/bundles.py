"""Real small bundles: random weights, honest verses, and ways to forge a claim."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.vocabulary import Vocabulary

VOCABULARY = Vocabulary.chars("\n abcdefghijklmnopqrstuvwxyz")
CONFIG = ModelConfig("modern", n_layer=2, n_head=2, n_embd=32, block_size=32, vocab_size=VOCABULARY.size)
RECIPE = Recipe(prompt_ids=(0,), temperature=80, top_k=0, seed=7, tokens=40, lines=0)


@dataclass
class Poet:
    """A checkpoint of random weights that writes bundles, honest ones and others."""

    weights: dict[str, NDArray[np.float16]]

    def write(self, recipe: Recipe = RECIPE) -> Written:
        model = VerseModel(CONFIG, self.weights)
        return regenerate(model, VOCABULARY, [recipe])[0]

    def pack(self, written: Written | None = None) -> bytes:
        return pack(CONFIG, VOCABULARY, self.weights, written or self.write(), {})


def random_weights(seed: int) -> dict[str, NDArray[np.float16]]:
    rng = np.random.default_rng(seed)
    shapes = CONFIG.tensor_shapes()
    weights = {name: rng.normal(1.0 if len(shape) == 1 else 0.0, 0.2, shape) for name, shape in shapes.items()}
    return round_weights(CONFIG, weights)


def torn_poet(poet: Poet) -> Poet:
    """One whose favourite first token has a twin: the same row of lm_head under another id."""
    favourite = poet.write(replace(RECIPE, temperature=0, tokens=1)).ids[0]
    head = poet.weights["lm_head.weight"].copy()
    head[favourite - 1 if favourite else 1] = head[favourite]
    return Poet(poet.weights | {"lm_head.weight": head})


def edit_claim(bundle: bytes, edit: Callable[[dict[str, object]], object]) -> bytes:
    """A bundle whose claim was edited afterwards, as somebody with a text editor and patience would."""
    length = int.from_bytes(bundle[:8], "little")
    header = json.loads(bundle[8 : 8 + length])
    claim = json.loads(header["__metadata__"]["verse"])
    edit(claim)
    header["__metadata__"]["verse"] = json.dumps(claim)
    changed = json.dumps(header).encode()
    return len(changed).to_bytes(8, "little") + changed + bundle[8 + length :]
