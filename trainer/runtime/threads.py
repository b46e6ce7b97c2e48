"""The number of CPU threads of a run: one or all of them, whichever makes a step faster now.

While another program keeps one of two cores busy, two threads make a step of a small model three times slower, since
each operation waits for the thread that is not running. NOTES.md has the figures.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainer.loss import mean_loss
from trainer.runtime.clock import Clock

TIMED = 3  # calls with each number of threads; their median counts
MIN_GAIN = 0.1  # a smaller gain is not worth a change
MAX_SHARE = 0.02  # of a run's time, spent on these measurements
SLOWDOWN = 1.3  # times the fastest steps so far
WINDOW = 8  # steps whose median counts, so that an evaluation among them does not


def time_threads(work: Callable[[], object], counts: set[int], clock: Clock) -> dict[int, float]:
    """Return the seconds of a piece of work by the number of threads. It leaves another number set.

    Args:
        work: Does the same each time. The first call is not counted: it loads kernels.
        counts: Numbers of threads to compare; they take turns.
        clock: Seconds from any fixed moment.
    """
    times: dict[int, list[float]] = {count: [] for count in sorted(counts)}
    work()
    for _ in range(TIMED):
        for count, seconds in times.items():
            torch.set_num_threads(count)
            start = clock()
            work()
            seconds.append(clock() - start)
    return {count: statistics.median(seconds) for count, seconds in times.items()}


def faster_threads(seconds: dict[int, float], current: int) -> int:
    """Return the number of threads to use: the fastest, if it is clearly faster than the current one.

    >>> faster_threads({1: 0.042, 2: 0.035}, 2), faster_threads({1: 0.042, 2: 0.106}, 2)
    (2, 1)

    Args:
        seconds: Time of the same work, by the number of threads.
        current: The number in use.
    """
    fastest = min(seconds, key=seconds.__getitem__)
    return fastest if seconds[fastest] < (1.0 - MIN_GAIN) * seconds[current] else current


def describe_threads(threads: int, most: int) -> str:
    """Return a sentence about a new number of threads.

    >>> describe_threads(1, 4)
    'One thread is faster than 4 now: another program is busy.'
    """
    if threads < most:
        return f"One thread is faster than {most} now: another program is busy."
    return f"All {most} threads are faster than one again."


class ThreadMonitor:
    """Compares one thread with all of them during a run: once soon, later when steps slow down or one thread is used.

    Args:
        most: Threads that the run may use.
        clock: Seconds from any fixed moment.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self.most, self.clock = most, clock
        self._last_step = self._compared_at = clock()
        self._cost: float | None = None  # seconds of the last comparison
        self._recent: deque[float] = deque(maxlen=WINDOW)  # seconds of the last steps
        self._fastest: dict[int, float] = {}  # seconds of a step by context, since the last comparison

    def is_due(self, now: float, context: int, threads: int) -> bool:
        """Record a step, and return whether it is time to compare again.

        Args:
            now: When the step ended.
            context: Its tokens of context.
            threads: Its number of threads.
        """
        self._recent.append(now - self._last_step)
        self._last_step = now
        if len(self._recent) < WINDOW:
            return False
        typical = statistics.median(self._recent)
        fastest = self._fastest[context] = min(typical, self._fastest.get(context, typical))
        wanted = self._cost is None or threads < self.most or typical > SLOWDOWN * fastest
        cost = (2 * TIMED + 1) * typical if self._cost is None else self._cost
        return wanted and cost < MAX_SHARE * (now - self._compared_at)

    def compare(self, model: nn.Module, x: Tensor, y: Tensor, threads: int) -> int:
        """Return the number of threads to use from now on. It computes gradients, and changes no weight.

        Args:
            model: The model that is trained.
            x: Inputs of a step, (B, T).
            y: Targets, (B, T).
            threads: The number in use.
        """
        start = self.clock()
        seconds = time_threads(lambda: mean_loss(model, x, y).backward(), {1, self.most}, self.clock)  # type: ignore[no-untyped-call]
        threads = faster_threads(seconds, threads)
        self._last_step = self._compared_at = self.clock()
        self._cost = self._compared_at - start
        self._recent.clear()
        self._fastest.clear()
        return threads
