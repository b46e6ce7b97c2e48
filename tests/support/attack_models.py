"""Valid weights built so that rounding chooses the verse: each family by another way, each model by a seed.

In all of them exact arithmetic gives some numbers as zero (or equal), rounding leaves something that depends on the
order of summation, and later layers make it as large as everything else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.support.small_models import Weights
from trainer.verse.config import ModelConfig
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.vocabulary import Vocabulary

VOCABULARY = Vocabulary.chars("\n abcdefghijklmn")
V = VOCABULARY.size
MARK = V - 1  # the prompt's first token
PROMPT = (MARK, 2)
Attack = tuple[ModelConfig, Weights]


def attack_model(family: str, seed: int) -> Attack:
    """The model of this family and seed."""
    config, weights = FAMILIES[family](np.random.default_rng([seed, sorted(FAMILIES).index(family)]))
    return config, round_weights(config, {name: np.clip(weight, -1000, 1000) for name, weight in weights.items()})


def attack_recipe(seed: int) -> Recipe:
    """What an attack model writes from: some greedy, some with noise."""
    return Recipe(PROMPT, temperature=(0, 20, 80)[seed % 3], top_k=(0, 4)[seed % 2], seed=seed, tokens=24, lines=0)


class ExplicitSums(VerseModel):
    """The same model without BLAS: NumPy's own loops add the products, in another order than they stand."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        super().__init__(config, weights)
        rng = np.random.default_rng(0)
        matrices = {name: weight for name, weight in self.weights.items() if weight.ndim == 2}
        self._orders = {name: rng.permutation(weight.shape[1]) for name, weight in matrices.items()}
        self._shuffled = {name: weight[:, self._orders[name]] for name, weight in matrices.items()}

    def _linear(self, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        shuffled = self._shuffled[f"{name}.weight"]
        y: NDArray[np.float64] = np.einsum("...i,oi->...o", x[..., self._orders[f"{name}.weight"]], shuffled)
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + bias


def _honest(config: ModelConfig, rng: np.random.Generator, spread: float = 0.3) -> dict[str, np.ndarray]:
    return {
        name: rng.normal(float(name.endswith(".weight") and len(shape) == 1), spread, shape)
        for name, shape in config.tensor_shapes().items()
    }


def _modern(rng: np.random.Generator, n_layer: int = 2) -> ModelConfig:
    return ModelConfig("modern", n_layer, 2, int(rng.choice((32, 64, 128))), 64, V)


def _gpt2(rng: np.random.Generator, n_layer: int = 2) -> ModelConfig:
    return ModelConfig("gpt2", n_layer, 2, int(rng.choice((32, 64, 128))), 64, V)


def _zero_sum(rng: np.random.Generator, n: int) -> np.ndarray:
    """Numbers that float16 holds exactly and whose sum is exactly zero, in a random order."""
    half = rng.integers(1, 2000, n // 2) / 4
    return rng.permutation(np.concatenate((half, -half)))


def _loud(weights: dict[str, np.ndarray], channel: int, rng: np.random.Generator, head: str) -> None:
    """Let one channel of the residual stream choose the token."""
    weights[head][:, channel] = rng.normal(size=len(weights[head])) * 30


def zero_row(rng: np.random.Generator, config: ModelConfig | None = None) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """One row of mlp.c_proj sums to zero, over equal activations near 1e13."""
    config = config or _modern(rng)
    weights = _honest(config, rng)
    C = config.n_embd
    weights["h.0.ln_2.weight"] = np.full(C, 500.0)
    weights["h.0.mlp.c_fc.weight"] = np.tile(rng.normal(size=C) * 300, (4 * C, 1))
    weights["h.0.mlp.c_proj.weight"] = np.zeros((C, 4 * C))
    weights["h.0.mlp.c_proj.weight"][3] = _zero_sum(rng, 4 * C)
    _loud(weights, 3, rng, "lm_head.weight")
    return config, weights


def graded(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """As `zero_row`, by any degree: from errors that nobody sees to errors that choose."""
    config, weights = zero_row(rng)
    weights["h.0.mlp.c_fc.weight"] *= 10.0 ** rng.uniform(-6, 0)
    return config, weights


def twin_rows(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """mlp.c_proj = [p, -p] over rows of c_fc that stand there twice."""
    config = _modern(rng)
    weights = _honest(config, rng)
    C = config.n_embd
    weights["h.0.ln_2.weight"] = np.full(C, 500.0)
    half = rng.normal(size=(2 * C, C)) * 200
    weights["h.0.mlp.c_fc.weight"] = np.concatenate((half, half))
    rows = rng.normal(size=(C, 2 * C)) * 200
    weights["h.0.mlp.c_proj.weight"] = np.concatenate((rows, -rows), axis=1)
    return config, weights


def shuffled_rows(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """Attention adds one number to every channel, but for the order of summation; LayerNorm leaves the difference."""
    config = _gpt2(rng)
    C = config.n_embd
    weights = {name: np.zeros(shape) for name, shape in config.tensor_shapes().items()}
    for h in ("h.0.", "h.1."):
        weights[h + "ln_2.weight"][:] = 1000
        weights[h + "mlp.c_fc.weight"] = rng.normal(size=(4 * C, C)) * 300
        weights[h + "mlp.c_proj.weight"] = rng.normal(size=(C, 4 * C)) * 300
    weights["h.0.ln_1.bias"] = rng.normal(size=C)
    weights["h.0.attn.c_attn.weight"][2 * C :] = rng.normal(size=C) * 30
    weights["h.0.attn.c_proj.weight"] = np.stack([rng.permutation(np.linspace(-300, 500, C)) for _ in range(C)])
    weights["ln_f.weight"] = rng.normal(size=C)
    weights["wte.weight"] = np.linspace(-1, 1, V)[:, None] * np.ones(C)
    return config, weights


def coin(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """One residue, at the prompt's token only; norms make its sign everything, and all later tokens attend to it."""
    config = _modern(rng, n_layer=3)
    C = config.n_embd
    weights = _honest(config, rng)
    mark, out = 0, 3  # channels: the prompt's mark, and the residue
    for name in ("wte", "previous.1", "previous.2", "previous.3"):
        weights[f"{name}.weight"][:, [mark, out]] = 0
    weights["wte.weight"][MARK] = 0
    weights["wte.weight"][MARK, mark] = 1
    for layer in range(3):
        weights[f"h.{layer}.attn.c_proj.weight"][[mark, out]] = 0
        weights[f"h.{layer}.mlp.c_proj.weight"][[mark, out]] = 0
    weights["h.0.attn.c_proj.weight"][:] = 0
    weights["h.0.ln_2.weight"] = np.full(C, 500.0)
    fc = np.zeros(C)
    fc[mark] = 900
    weights["h.0.mlp.c_fc.weight"] = np.tile(fc, (4 * C, 1))
    weights["h.0.mlp.c_proj.weight"] = np.zeros((C, 4 * C))
    weights["h.0.mlp.c_proj.weight"][out] = _zero_sum(rng, 4 * C)
    if rng.random() < 0.5:  # not quite zero: one side is likelier
        weights["h.0.mlp.c_proj.weight"][out, 0] += 2.0**-24
    weights["h.1.attn.c_attn.weight"][2 * C :, out] = 300 * rng.choice((-1, 1), C)
    return config, weights


def switch(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """As `coin`, but the residue's sign alone counts: it turns attention to the prompt's token on or off, exactly."""
    config = ModelConfig("modern", 2, 2, 32, 64, V)
    C, D = config.n_embd, config.head_width
    weights = _honest(config, rng)
    mark, out, one = 0, 3, 5  # channels: the prompt's mark, the residue, and 1 for every token
    for name in ("wte", "previous.1", "previous.2", "previous.3"):
        weights[f"{name}.weight"][:, [mark, out, one]] = 0
    weights["wte.weight"][:, one] = 1
    weights["wte.weight"][MARK] = 0
    weights["wte.weight"][MARK, [mark, one]] = 1
    for layer in range(2):
        weights[f"h.{layer}.attn.c_proj.weight"][[mark, out, one]] = 0
        weights[f"h.{layer}.mlp.c_proj.weight"][[mark, out, one]] = 0
    weights["h.0.attn.c_proj.weight"][:] = 0
    weights["h.0.ln_2.weight"] = np.full(C, 500.0)
    weights["h.0.mlp.c_fc.weight"] = np.tile(900 * (np.arange(C) == mark), (4 * C, 1))
    weights["h.0.mlp.c_proj.weight"] = np.zeros((C, 4 * C))
    weights["h.0.mlp.c_proj.weight"][out] = _zero_sum(rng, 4 * C)
    qk = np.zeros((2, 2, D, C))  # queries and keys, heads, a pair of numbers that hardly rotates
    qk[0, :, D // 2 - 1, one] = 1000
    qk[1, :, D // 2 - 1, out] = 1000
    weights["h.1.attn.c_attn.weight"][: 2 * C] = qk.reshape(2 * C, C)
    weights["h.1.attn.c_attn.weight"][2 * C :, [mark, out, one]] = 0
    weights["h.1.attn.q_norm.weight"][:] = 1000
    weights["h.1.attn.k_norm.weight"][:] = 1000
    return config, weights


def tied_keys(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """Scores of attention near 1e12 which are equal but for rounding: softmax picks one key or the other."""
    config = _gpt2(rng)
    weights = _honest(config, rng, 0.5)
    C = config.n_embd
    weights["h.0.ln_1.weight"] = np.full(C, 900.0)
    qk = weights["h.0.attn.c_attn.weight"]
    qk[: 2 * C] = np.round(rng.normal(size=(2 * C, C)) * 900)
    weights["h.0.attn.c_attn.bias"][:] = 0
    base = weights["wte.weight"][0]
    weights["wte.weight"] = np.stack([rng.permutation(base) for _ in range(V)])
    weights["wpe.weight"][:] = 0
    qk[C : 2 * C] = np.round(rng.normal(size=(C, 1)) * 900)  # keys depend on the sum of the channels alone
    return config, weights


def wild(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """Random weights as large as allowed, in many layers: chaos."""
    config = ModelConfig(("modern", "gpt2")[int(rng.integers(2))], int(rng.choice((4, 12, 24))), 2, 32, 64, V)
    weights = {name: rng.uniform(-1000, 1000, shape) for name, shape in config.tensor_shapes().items()}
    return config, weights


def vanishing(rng: np.random.Generator) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """Embeddings that LayerNorm removes but for the rounding of their mean, a thousandfold in each layer."""
    config = _gpt2(rng, n_layer=4)
    C = config.n_embd
    weights = _honest(config, rng, 0.5)
    weights["wte.weight"] = np.repeat(rng.uniform(-900, 900, (V, 1)), C, axis=1)
    weights["wpe.weight"][:] = np.float16(1 / 3)
    for name in weights:
        if name.endswith(".bias"):
            weights[name][:] = 0
        elif "ln_" in name:
            weights[name] = rng.normal(size=C) * 300
    weights["h.0.attn.c_attn.weight"][:] = rng.normal(size=(3 * C, C)) * 200
    return config, weights


FAMILIES: dict[str, Callable[[np.random.Generator], tuple[ModelConfig, dict[str, np.ndarray]]]] = {
    family.__name__: family
    for family in (zero_row, graded, twin_rows, shuffled_rows, coin, switch, tied_keys, wild, vanishing)
}
