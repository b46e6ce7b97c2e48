"""The number of BLAS threads of a verse: one, or all of them where that is faster now."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from trainer.verse.config import ModelConfig

LARGE = 4_000_000  # weights: above this, reading them takes most of the time
SLICE_SECONDS = 0.0025  # of products, timed at once
SLICES = 2  # with each number of threads, in turn: a wrong choice costs one pass, or one second
EVERY_SECONDS = 1.0  # between two comparisons
MAX_ROWS = 32  # of the products timed
MIN_GAIN = 0.1  # a smaller gain is not worth a second core


@functools.cache
def find_libraries() -> list[Any]:
    """Find the BLAS libraries of this process, once: it reads files, which a confined process cannot do later."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


class BlasThreads:
    """Within, matrix products use one thread; those of a large model use all threads where that is faster now.

    More threads hardly help a small model. If another program uses a core, they make any model many times slower: every
    product takes a fraction of a millisecond, and then waits for a thread that is not running. So they are used only
    where they were just measured to be faster. The digits that change with the number of threads are far below the
    bound of a decision.

    Args:
        config: The model's shape.
        clock: Seconds from any fixed moment.
    """

    def __init__(self, config: ModelConfig, clock: Callable[[], float] = time.perf_counter) -> None:
        self.config, self.clock = config, clock
        self.libraries = find_libraries()
        self.most = [library.get_num_threads() for library in self.libraries]
        self._compare_at = -np.inf

    def __enter__(self) -> Self:
        self.use(all_threads=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.use(all_threads=True)

    def use(self, all_threads: bool) -> None:
        """Use all threads, or one."""
        for library, most in zip(self.libraries, self.most, strict=True):
            library.set_num_threads(most if all_threads else 1)

    def adapt(self, rows: int) -> None:
        """Compare one thread with all of them if the model is large and the last comparison is old, and use the faster.

        Args:
            rows: Positions computed at once.
        """
        if self.config.n_params < LARGE or max(self.most, default=1) == 1 or self.clock() < self._compare_at:
            return
        C = self.config.n_embd
        x, w = np.ones((min(rows, MAX_ROWS), C)), np.ones((C, 4 * C))
        speeds = {False: 0.0, True: 0.0}  # products a second; True: with all threads
        for _ in range(SLICES):
            for all_threads in speeds:
                self.use(all_threads)
                speeds[all_threads] += self._products_per_second(x, w)
        self.use(all_threads=speeds[True] > (1.0 + MIN_GAIN) * speeds[False])
        self._compare_at = self.clock() + EVERY_SECONDS

    def _products_per_second(self, x: NDArray[np.float64], w: NDArray[np.float64]) -> float:
        start, count = self.clock(), 0
        while (seconds := self.clock() - start) < SLICE_SECONDS or not count:
            x @ w
            count += 1
        return count / seconds
