"""How many threads a matrix product takes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits

from trainer.verse.config import ModelConfig

LARGE = 4_000_000  # weights: from about here reading them is what takes time


def threads_for(config: ModelConfig) -> AbstractContextManager[object]:
    """Within, a small model's products run on one thread; a large one's on as many as NumPy's BLAS likes.

    A second thread gains a small model next to nothing, and costs it tenfold where another program holds a core: every
    product, a fraction of a millisecond long, waits for a thread that is not running.
    """
    limits: AbstractContextManager[object] = threadpool_limits(None if config.n_params >= LARGE else 1, user_api="blas")
    return limits
