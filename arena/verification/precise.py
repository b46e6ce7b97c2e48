"""Writes a verse in ball arithmetic: decides every step by proof, where float64 leaves one open. It needs python-flint.

Each number is a ball, a midpoint and a radius, which holds the exact number of SPEC.md (Johansson 2017). If the balls
of a step are too wide to decide it, everything is computed again with four times as many bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from flint import arb, arb_mat, ctx, fmpq
from numpy.typing import NDArray

from trainer.verse.claim import Claim
from trainer.verse.config import ModelConfig
from trainer.verse.noise import noise_integers
from trainer.verse.recipe import Recipe
from trainer.verse.rotary import FREQUENCIES

PRECISIONS = (128, 512, 2048, 8192)  # bits, in turn; a layer may magnify an error by 2^60
EPS = fmpq(1, 10**6)
Weights = Mapping[str, NDArray[np.float16]]
Matrix = list[list[arb]]


@dataclass(frozen=True)
class PreciseVerdict:
    """What is proved about a verse. UNDECIDED: an exact tie, or more bits are needed than are tried."""

    verdict: Literal["PASS", "FAIL", "UNDECIDED"]
    bits: int  # of precision that were needed
    position: int | None = None  # the first token that failed, or that is undecided; None for PASS
    expected: int | None = None  # the token chosen there
    got: int | None = None  # the token claimed there


def check_precisely(claim: Claim, weights: Weights) -> PreciseVerdict:
    """Decide every token of a verse by proof, with as many bits as that takes."""
    for bits in PRECISIONS:
        with ctx.workprec(bits):
            verdict = _check(claim, weights, bits)
        if verdict.verdict != "UNDECIDED":
            break
    return verdict


def _check(claim: Claim, weights: Weights, bits: int) -> PreciseVerdict:
    open_step: PreciseVerdict | None = None
    tokens = [*claim.recipe.prompt_ids, *claim.ids[:-1]]
    logits = _logits(claim.config, weights, tokens, first=len(claim.recipe.prompt_ids) - 1)
    for position, z in enumerate(logits):
        winner = decide(z, claim.recipe, position)
        claimed = claim.ids[position]
        if winner is None:
            open_step = open_step or PreciseVerdict("UNDECIDED", bits, position, claimed, claimed)
        elif winner != claimed:  # proved, whatever the steps before: each is decided after the claimed tokens
            return PreciseVerdict("FAIL", bits, position, winner, claimed)
    return open_step or PreciseVerdict("PASS", bits)


def decide(z: Sequence[arb], recipe: Recipe, position: int) -> int | None:
    """Return the token that a step chooses, or None if the balls do not prove it.

    The gap is the smallest d for which moving every logit by at most d/2 can change the token. So the token of the
    midpoints is the token if their gap is more than twice the largest radius.
    """
    if not all(a.is_finite() and a.rad() < 1 for a in z):
        return None
    size = len(z)
    k = recipe.top_k or size
    n = noise_integers(recipe.seed, position, np.arange(-(-size // 4))).ravel()[:size].tolist()
    noise = [fmpq(recipe.temperature, 100) * _gumbel(number) for number in n] if recipe.temperature else [arb(0)] * size
    radius = max(_exact(a.rad()) for a in z) + max(_exact(a.rad()) for a in noise)
    mid = [_exact(a.mid()) for a in z]
    s = [a + _exact(b.mid()) for a, b in zip(mid, noise, strict=True)]
    order = sorted(range(size), key=lambda j: (-mid[j], j))
    inside, outside = order[:k], order[k:]
    w = min(inside, key=lambda j: (-s[j], j))
    rivals = [s[w] - s[j] for j in inside if j != w]
    rivals += [max(mid[inside[-1]] - mid[j], s[w] - s[j]) for j in outside]
    if outside:
        rivals.append(mid[w] - mid[outside[0]])
    return w if min(rivals) > 2 * radius else None


def _logits(config: ModelConfig, weights: Weights, ids: Sequence[int], first: int) -> Iterator[list[arb]]:
    """Yield the logits after each token from `first` on, by section 1 of SPEC.md."""
    gpt2 = config.arch == "gpt2"
    x = _rows(weights["wte.weight"][list(ids)])
    for offset in range(1, config.n_previous + 1):
        table = weights[f"previous.{offset}.weight"]
        for position in range(offset, len(ids)):
            x[position] = _plus(x[position], _row(table[ids[position - offset]]))
    if gpt2:
        x = [_plus(row, _row(weights["wpe.weight"][position])) for position, row in enumerate(x)]
    for layer in range(config.n_layer):
        h = f"h.{layer}."
        attended = _attention(config, weights, h + "attn.", _normed(weights, x, h + "ln_1"))
        x = [_plus(a, b) for a, b in zip(x, attended, strict=True)]
        up = _linear(weights, _normed(weights, x, h + "ln_2"), h + "mlp.c_fc")
        activate = _gelu if gpt2 else _relu_squared
        down = _linear(weights, [[activate(a) for a in row] for row in up], h + "mlp.c_proj")
        x = [_plus(a, b) for a, b in zip(x, down, strict=True)]
    for row in _linear(weights, _normed(weights, x[first:], "ln_f"), "wte" if gpt2 else "lm_head"):
        yield row if gpt2 else [15 * (a / 15).tanh() for a in row]


def _attention(config: ModelConfig, weights: Weights, h: str, x: Matrix) -> Matrix:
    heads, width, length = config.n_head, config.head_width, len(x)
    qkv = _linear(weights, x, h + "c_attn")
    out: Matrix = [[] for _ in x]
    for head in range(heads):
        q, k, v = (
            [row[(part * heads + head) * width : (part * heads + head + 1) * width] for row in qkv] for part in range(3)
        )
        if config.arch == "modern":
            q = [_rotate(row, position) for position, row in enumerate(_normed(weights, q, h + "q_norm"))]
            k = [_rotate(row, position) for position, row in enumerate(_normed(weights, k, h + "k_norm"))]
        scores = (arb_mat(q) * arb_mat(k).transpose()).table()
        scale = arb(width).rsqrt()
        shares = [[arb(0)] * length for _ in range(length)]
        for p in range(length):
            start = max(0, p - config.block_size + 1)
            seen = [scores[p][j] * scale for j in range(start, p + 1)]
            top = max(seen, key=lambda a: float(a.mid()))
            powers = [(a - top).exp() for a in seen]
            total = sum(powers, arb(0))
            shares[p][start : p + 1] = [power / total for power in powers]
        for row, more in zip(out, (arb_mat(shares) * arb_mat(v)).table(), strict=True):
            row.extend(more)
    return _linear(weights, out, h + "c_proj")


def _linear(weights: Weights, x: Matrix, name: str) -> Matrix:
    y: Matrix = (arb_mat(x) * arb_mat(_rows(weights[name + ".weight"])).transpose()).table()
    bias = weights.get(name + ".bias")
    return y if bias is None else [_plus(row, _row(bias)) for row in y]


def _normed(weights: Weights, x: Matrix, name: str) -> Matrix:
    gain = _row(weights[name + ".weight"])
    bias = weights.get(name + ".bias")
    normed = []
    for row in x:
        if bias is not None:
            mean = sum(row, arb(0)) / len(row)
            row = [a - mean for a in row]
        root = (sum((a * a for a in row), arb(0)) / len(row) + EPS).rsqrt()
        y = [a * root * g for a, g in zip(row, gain, strict=True)]
        normed.append(y if bias is None else _plus(y, _row(bias)))
    return normed


def _rotate(x: list[arb], position: int) -> list[arb]:
    half = len(x) // 2
    first, second = [], []
    for i in range(half):
        angle = arb(position) * arb(FREQUENCIES[i * len(FREQUENCIES) // half])
        sine, cosine = angle.sin_cos()
        first.append(x[i] * cosine - x[half + i] * sine)
        second.append(x[half + i] * cosine + x[i] * sine)
    return first + second


def _relu_squared(a: arb) -> arb:
    positive = a.max(arb(0))
    return positive * positive


def _gelu(a: arb) -> arb:
    inner = (arb(2) / arb.pi()).sqrt() * (a + fmpq(44715, 10**6) * a * a * a)
    return a / 2 * (1 + inner.tanh())


def _gumbel(n: int) -> arb:
    return -(-(arb(fmpq(2 * n + 1, 2**53)).log())).log()


def _plus(x: list[arb], y: list[arb]) -> list[arb]:
    return [a + b for a, b in zip(x, y, strict=True)]


def _row(numbers: NDArray[np.float16]) -> list[arb]:
    return [arb(number) for number in numbers.tolist()]


def _rows(matrix: NDArray[np.float16]) -> Matrix:
    return [_row(row) for row in matrix]


def _exact(ball: arb) -> fmpq:
    """Return the one number in a ball of radius 0."""
    mantissa, exponent = ball.man_exp()
    return fmpq(mantissa) * fmpq(2) ** int(exponent)
