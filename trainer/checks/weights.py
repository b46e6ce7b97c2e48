"""How alike two sets of weights are: the cosine of each pair of matrices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainer.initialization import initial_weights
from trainer.verse.config import ModelConfig

Weights = Mapping[str, NDArray[np.floating]]


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the cosine of the angle between two arrays of numbers; 0 if one is zero."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length else 0.0


def start_cosines(config: ModelConfig, weights: Weights, key: bytes) -> dict[str, float]:
    """Return the cosine of each matrix with its initial values, which the key of the run gives.

    Matrices that start at zero, norms and biases have no direction at the start, and are left out.

    Args:
        config: The model's shape.
        weights: The trained ones, by name.
        key: Of the run's random numbers.
    """
    return {
        name: cosine(weights[name], start)
        for name, start in initial_weights(config, key)
        if start.ndim == 2 and start.any()
    }


def pair_cosines(a: Weights, b: Weights) -> dict[str, float]:
    """Return the cosine of each matrix of two models of the same shape."""
    return {name: cosine(a[name], b[name]) for name in a if a[name].ndim == 2}
