"""The forward pass that defines a verse: both architectures in NumPy and float64, with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trainer.verse.config import ModelConfig
from trainer.verse.errors import WeightsError
from trainer.verse.rotary import rotary_angles

MAX_WEIGHT = 1e3
EPS = 1e-6  # inside every norm's square root
SOFT_CAP = 15.0  # modern: logits stay in -15..15

Array = NDArray[np.floating]


def round_weights(config: ModelConfig, weights: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float16]]:
    """Round weights to float16, to nearest, ties to even. A verse is always chosen after this.

    Raises:
        WeightsError: A tensor is missing, unknown or of the wrong shape, or a weight is not finite or beyond 1e3.
    """
    rounded = {}
    for name, weight in weights.items():
        weight = np.asarray(weight)
        with np.errstate(all="ignore"):
            rounded[name] = np.ascontiguousarray(weight.astype(np.float16))
    check_weights(config, rounded)
    return rounded


def check_weights(config: ModelConfig, weights: Mapping[str, NDArray[np.float16]]) -> None:
    """Refuse anything but the float16 tensors of such a model, finite and in bounds.

    Raises:
        WeightsError: A tensor is wrong; the message names it.
    """
    check_tensors(config, weights, np.float16, MAX_WEIGHT)


def check_tensors(
    config: ModelConfig, weights: Mapping[str, NDArray[np.floating]], dtype: DTypeLike, most: float
) -> None:
    """Refuse anything but the tensors of such a model, of one type, finite and in bounds.

    Args:
        config: The model's shape.
        weights: Tensors by name.
        dtype: The type that all must have.
        most: Largest absolute value of a weight.

    Raises:
        WeightsError: A tensor is wrong; the message names it.
    """
    dtype = np.dtype(dtype)
    shapes = config.tensor_shapes()
    for name in sorted(shapes.keys() | weights.keys()):
        if name not in weights:
            raise WeightsError(f"the tensor {name} is missing")
        if name not in shapes:
            raise WeightsError(f"the tensor {name!r} does not belong to this model")
        weight = weights[name]
        if weight.dtype != dtype or weight.shape != shapes[name]:
            raise WeightsError(f"{name} must be {dtype} {shapes[name]}, not {weight.dtype} {weight.shape}")
        with np.errstate(all="ignore"):
            extreme = float(np.abs(weight).max())  # NaN, if there is one
        if not np.isfinite(extreme):
            raise WeightsError(f"{name} holds a weight that is not a finite number")
        if extreme > most:
            raise WeightsError(f"{name} holds a weight of size {extreme:g}; at most {most:g} is allowed")


class Cache:
    """Tokens, keys and values of every position so far, for B sequences of equal length.

    Attributes:
        length: Positions held.
        ids: Token ids, (B, capacity).
        keys: One array per layer, (B, n_head, capacity, head_width).
        values: One array per layer, (B, n_head, capacity, head_width).
    """

    def __init__(self, config: ModelConfig, batch: int, capacity: int, dtype: DTypeLike) -> None:
        shape = (batch, config.n_head, capacity, config.head_width)
        self.ids = np.empty((batch, capacity), np.int64)
        self.keys = [np.empty(shape, dtype) for _ in range(config.n_layer)]
        self.values = [np.empty(shape, dtype) for _ in range(config.n_layer)]
        self.length = 0

    @property
    def batch(self) -> int:
        """Sequences held."""
        return len(self.ids)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these sequences, in this order; a row may be repeated."""
        self.ids = self.ids[list(rows)]
        self.keys = [keys[list(rows)] for keys in self.keys]
        self.values = [values[list(rows)] for values in self.values]


class VerseModel:
    """A model that computes logits in float64, or in float32 for drafts.

    Args:
        config: Its shape.
        weights: float16 tensors by name, as `round_weights` returns them.
        dtype: The floating-point type of every operation.

    Raises:
        WeightsError: The tensors are not those of such a model.
    """

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, NDArray[np.float16]], dtype: DTypeLike = np.float64
    ) -> None:
        check_weights(config, weights)
        self.config = config
        self.dtype = np.dtype(dtype)
        self.weights: dict[str, Array] = {name: weight.astype(self.dtype) for name, weight in weights.items()}
        self._single: VerseModel | None = None
        self._cos, self._sin = np.empty((2, 0, config.head_width // 2), self.dtype)

    def single_precision(self) -> VerseModel:
        """Return the same model in float32, for drafts; it is made once."""
        if self._single is None:
            self._single = VerseModel(
                self.config, {n: w.astype(np.float16) for n, w in self.weights.items()}, np.float32
            )
        return self._single

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """Return an empty cache for `batch` sequences of at most `capacity` tokens."""
        return Cache(self.config, batch, capacity, self.dtype)

    def hidden(self, ids: NDArray[np.integer], cache: Cache) -> Array:
        """Run T more tokens of B sequences through the blocks. The split into calls does not change the numbers.

        Args:
            ids: Token ids at the positions from cache.length on, (B, T).
            cache: The positions before; the new ones are added.

        Returns:
            (B, T, n_embd), after the last norm.
        """
        with np.errstate(all="ignore"):  # some BLAS libraries raise false flags; decisions check the logits
            return self._hidden(ids, cache)

    def _hidden(self, ids: NDArray[np.integer], cache: Cache) -> Array:
        gpt2 = self.config.arch == "gpt2"
        start, stop = cache.length, cache.length + ids.shape[1]
        cache.ids[:, start:stop] = ids
        x = self.weights["wte.weight"][ids]  # (B, T, C)
        for offset in range(1, self.config.n_previous + 1):
            previous = cache.ids[:, max(0, start - offset) : max(0, stop - offset)]
            x[:, x.shape[1] - previous.shape[1] :] += self.weights[f"previous.{offset}.weight"][previous]
        if gpt2:
            x = x + self.weights["wpe.weight"][start:stop]
        else:
            self._extend_rotary(stop)
        for layer in range(self.config.n_layer):
            h = f"h.{layer}."
            x = self._add(x, self._attention(self._norm(x, h + "ln_1"), layer, cache))
            up = self._linear(self._norm(x, h + "ln_2"), h + "mlp.c_fc")  # (B, T, 4C)
            x = self._add(x, self._linear(self._activate(up), h + "mlp.c_proj"))
        cache.length = stop
        return self._norm(x, "ln_f")

    def logits(self, hidden: Array) -> Array:
        """Return logits: (..., n_embd) after the last norm -> (..., vocab_size)."""
        with np.errstate(all="ignore"):
            if self.config.arch == "gpt2":
                return self._linear(hidden, "wte")
            z = self._linear(hidden, "lm_head")
            z /= SOFT_CAP
            np.tanh(z, out=z)
            z *= SOFT_CAP
            return z

    def _attention(self, x: Array, layer: int, cache: Cache) -> Array:
        """Let every position attend to itself and the block_size - 1 before it: (B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        H, D = self.config.n_head, self.config.head_width
        h = f"h.{layer}.attn."
        start, stop = cache.length, cache.length + T
        first = max(0, start - self.config.block_size + 1)
        qkv = self._linear(x, h + "c_attn").reshape(B, T, 3, H, D)
        q, k, v = np.moveaxis(qkv, 2, 0).swapaxes(2, 3)  # each (B, H, T, D)
        if self.config.arch == "modern":
            q = self._rotate(self._norm(q, h + "q_norm"), start, stop)
            k = self._rotate(self._norm(k, h + "k_norm"), start, stop)
        cache.keys[layer][:, :, start:stop] = k
        cache.values[layer][:, :, start:stop] = v
        keys, values = cache.keys[layer][:, :, first:stop], cache.values[layer][:, :, first:stop]  # (B, H, S, D)

        scores = self._scores(q * D**-0.5, keys)  # (B, H, T, S)
        if T > 1:
            distance = np.arange(start, stop)[:, None] - np.arange(first, stop)[None, :]  # (T, S): to each key before
            in_window = (distance >= 0) & (distance < self.config.block_size)
            scores += np.where(in_window, 0.0, -np.inf).astype(self.dtype)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        y = self._weighted_sum(scores, values).swapaxes(1, 2).reshape(B, T, C)
        return self._linear(y, h + "c_proj")

    # Each operation that rounds is a method of its own, so that `rounding.MovedModel` can move its result.

    def _add(self, x: Array, y: Array) -> Array:
        x += y
        return x

    def _activate(self, x: Array) -> Array:
        return gelu_tanh(x) if self.config.arch == "gpt2" else np.square(np.maximum(x, 0.0))

    def _scores(self, q: Array, keys: Array) -> Array:
        scores: Array = q @ keys.swapaxes(2, 3)
        return scores

    def _weighted_sum(self, scores: Array, values: Array) -> Array:
        y: Array = scores @ values
        return y

    def _linear(self, x: Array, name: str) -> Array:
        """Return x W^T (+ b), as one matrix product over all leading axes."""
        weight = self.weights[name + ".weight"]
        y: Array = (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], -1)
        if (bias := self.weights.get(name + ".bias")) is not None:
            y += bias
        return y

    def _norm(self, x: Array, name: str) -> Array:
        """Return LayerNorm if there is a bias (gpt2), RMSNorm if there is none (modern)."""
        bias = self.weights.get(name + ".bias")
        y = self._normalize(x if bias is None else x - self._mean(x))
        y *= self.weights[name + ".weight"]
        if bias is not None:
            y += bias
        return y

    def _mean(self, x: Array) -> Array:
        mean: Array = x.mean(axis=-1, keepdims=True)
        return mean

    def _normalize(self, x: Array) -> Array:
        scale = np.square(x).mean(axis=-1, keepdims=True)
        scale += EPS
        np.sqrt(scale, out=scale)
        y: Array = x / scale
        return y

    def _rotate(self, x: Array, start: int, stop: int) -> Array:
        """Rotate the halves (Su et al. 2021): (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)."""
        cos, sin = self._cos[start:stop], self._sin[start:stop]  # (T, D/2)
        half = x.shape[-1] // 2
        x1, x2 = x[..., :half], x[..., half:]
        y: Array = np.concatenate((x1 * cos - x2 * sin, x2 * cos + x1 * sin), axis=-1)
        return y

    def _extend_rotary(self, stop: int) -> None:
        if len(self._cos) < stop:
            angles = rotary_angles(self.config.head_width, max(stop, 2 * len(self._cos)))
            self._cos, self._sin = np.cos(angles).astype(self.dtype), np.sin(angles).astype(self.dtype)


def gelu_tanh(x: Array) -> Array:
    """Return x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's approximation (Hendrycks & Gimpel 2016)."""
    inner = np.square(x)
    inner *= 0.044715
    inner += 1.0
    inner *= x
    inner *= (2.0 / np.pi) ** 0.5
    np.tanh(inner, out=inner)
    inner += 1.0
    inner *= x
    inner *= 0.5
    return inner
