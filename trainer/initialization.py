"""The weights before the first step, in NumPy: a pure function of the model's shape and the run's key."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer import rng
from trainer.verse.config import ModelConfig


def initial_weights(config: ModelConfig, key: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield every tensor before the first step, with its name. They depend on the key alone.

    Matrices are uniform, with the usual variance of each architecture. In `modern` the last matrix of every block and
    the head start at zero, so that the first prediction is uniform.
    """
    modern = config.arch == "modern"
    for name, shape in config.tensor_shapes().items():
        if name.endswith(".bias"):
            yield name, np.zeros(shape, np.float32)
        elif len(shape) == 1:  # the gain of a norm
            yield name, np.ones(shape, np.float32)
        elif modern and name.endswith(("c_proj.weight", "lm_head.weight")):
            yield name, np.zeros(shape, np.float32)
        else:
            std = 0.02  # GPT-2's
            if modern:
                std = 1.0 if name.startswith(("wte", "previous")) else shape[1] ** -0.5
            elif name.endswith("c_proj.weight"):
                std /= (2 * config.n_layer) ** 0.5  # this many of them add up in the residual stream
            yield name, rng.uniform(key, name, shape, std * 3**0.5)
