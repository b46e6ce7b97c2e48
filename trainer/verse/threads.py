"""The number of threads of matrix products."""

from __future__ import annotations

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits

from trainer.verse.config import ModelConfig

LARGE = 4_000_000  # weights: above this, reading them takes most of the time


def threads_for(config: ModelConfig) -> AbstractContextManager[object]:
    """Within, products of a small model use one thread; those of a large model use the BLAS library's default.

    A second thread hardly helps a small model. If another program uses a core, it makes the model ten times slower:
    every product takes a fraction of a millisecond, and then waits for a thread that is not running.
    """
    limits: AbstractContextManager[object] = threadpool_limits(None if config.n_params >= LARGE else 1, user_api="blas")
    return limits
