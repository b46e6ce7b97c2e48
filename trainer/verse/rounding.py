"""An estimate of what rounding does to the logits of one verse, from the computation itself.

Rounding errors depend on the machine: on the order in which its BLAS adds. Weights may be built so that large numbers
cancel and only rounding errors are left, which later layers amplify until they choose the verse. No constant bound on
a gap tells such a model from an honest one. So a verse is computed three times at once: as it is, and with every
result moved by more than any order of summation moves it, once up and once down. What the logits move by is the
estimate.

- A sum of products x_i w_i is moved by 2^15 half last bits of |x| |w| (Euclidean norms), times a random number from
  1/2 to 1. That is more than the largest error of any order of summation, n half last bits of the sum of |x_i w_i|,
  since no row of a model has more than 2^14 numbers.
- The moves have random signs and sizes from a seed that no author knows, and the two copies have opposite ones. So
  where a result is nothing but rounding, and its sign or a threshold decides what follows, one of the copies lies on
  the other side, whichever side this machine is on.
- Where a normed vector moves visibly, what follows is arbitrary, and copies may agree by chance: the estimate is then
  infinite, whatever the logits say.

This is Monte Carlo arithmetic (Parker 1997) with moves as large as a-priori error bounds (Higham 2002, section 3.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.verse.model import Array, Cache, VerseModel

MOVE = 2.0**15 * 2.0**-53  # of a result, relative to the largest it could be: 2^15 half last bits
VISIBLE = 1e-3  # a move of a normed vector, whose numbers are about 1, that makes the estimate infinite
GELU_END = 8.0  # below -8, 1 + tanh is 0 in float64, and no error is left


class MovedModel(VerseModel):
    """A model whose batches are three copies of one sequence: as it is, and with all results moved up and down.

    Args:
        model: A float64 model; its weights are shared.
        rng: Draws the moves.

    Attributes:
        moved: The largest move of a number of a normed vector at each position of the last call of `hidden`, (T,).
    """

    def __init__(self, model: VerseModel, rng: np.random.Generator) -> None:
        self.config, self.dtype, self.weights = model.config, model.dtype, model.weights
        self._cos, self._sin = model._cos, model._sin
        self._single = None
        self._rng = rng
        self._moves = np.zeros(0)
        self._row_norms: dict[str, Array] = {}
        self.moved = np.zeros(0)

    def hidden(self, ids: NDArray[np.integer], cache: Cache) -> Array:
        """Run T more tokens of the three copies, (3, T), through the blocks: (3, T, n_embd)."""
        self.moved = np.zeros(ids.shape[1])
        return super().hidden(ids, cache)

    def estimate(self, z: Array, moved: Array) -> Array:
        """Return the estimate of each position.

        Args:
            z: Logits of the three copies, (3, T, V).
            moved: The largest move of a normed vector up to each of these positions, (T,).

        Returns:
            (T,) in units of a logit; infinite where `moved` is visible.
        """
        moves: Array = np.abs(z[1:] - z[0]).max(axis=(0, 2))
        return np.where(moved > VISIBLE, np.inf, moves)

    def _move(self, y: Array, size: Any) -> Array:
        """Move the copies by up to MOVE * size, in opposite directions; `size` is of one copy."""
        count = y[0].size
        if len(self._moves) < 2 * count:
            moves = self._rng.random(2 * count) - 0.5
            self._moves = MOVE * (moves + np.copysign(0.5, moves))
        start = self._rng.integers(len(self._moves) - count)  # drawing each anew takes a quarter of the time
        moves = self._moves[start : start + count].reshape(y.shape[1:]) * size
        y[1] += moves
        y[2] -= moves
        return y

    def _add(self, x: Array, y: Array) -> Array:
        x = super()._add(x, y)
        return self._move(x, np.abs(x[0]))

    def _activate(self, x: Array) -> Array:
        y = super()._activate(x)
        if self.config.arch == "modern":
            return y  # a relative error: the product that follows is moved by more
        return self._move(y, np.minimum(np.abs(x[0]), GELU_END))

    def _scores(self, q: Array, keys: Array) -> Array:
        norms = _norms(q[0])[..., None] * _norms(keys[0])[..., None, :]
        return self._move(super()._scores(q, keys), norms)

    def _weighted_sum(self, scores: Array, values: Array) -> Array:
        return self._move(super()._weighted_sum(scores, values), scores[0] @ np.abs(values[0]))

    def _linear(self, x: Array, name: str) -> Array:
        if name not in self._row_norms:
            self._row_norms[name] = _norms(self.weights[name + ".weight"])
        size = _norms(x[0])[..., None] * self._row_norms[name]
        if (bias := self.weights.get(name + ".bias")) is not None:
            size += np.abs(bias)
        return self._move(super()._linear(x, name), size)

    def _norm(self, x: Array, name: str) -> Array:
        y = super()._norm(x, name)
        bias = self.weights.get(name + ".bias")
        return y if bias is None else self._move(y, np.abs(y[0]) + np.abs(bias))

    def _mean(self, x: Array) -> Array:
        return self._move(super()._mean(x), np.abs(x[0]).mean(axis=-1, keepdims=True))

    def _normalize(self, x: Array) -> Array:
        y = super()._normalize(x)
        moves = np.maximum(np.abs(y[1] - y[0]), np.abs(y[2] - y[0]))  # (T, C), or (H, T, D) for queries and keys
        moves = moves.max(axis=-1)
        np.maximum(self.moved, moves if moves.ndim == 1 else moves.max(axis=0), out=self.moved)
        return y

    def _rotate(self, x: Array, start: int, stop: int) -> Array:
        half = x.shape[-1] // 2
        size = np.abs(x[0, ..., :half]) + np.abs(x[0, ..., half:])  # also more than an angle's error, 2^10 last bits
        return self._move(super()._rotate(x, start, stop), np.concatenate((size, size), axis=-1))


def _norms(x: Array) -> Array:
    """Return the Euclidean norms of the rows: (..., n) -> (...)."""
    norms: Array = np.sqrt(np.einsum("...i,...i->...", x, x))
    return norms
