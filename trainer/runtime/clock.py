"""The time of a run, without the time that the computer slept.

`time.monotonic` stands still during sleep on Linux and macOS, and other clocks tell how long that was. A process that
was stopped, and sleep on Windows, show as a pause between two steps that is far longer than a step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]  # seconds from any fixed moment

MIN_SLEEP = 30.0  # seconds: a shorter pause may be another program's work
MIN_SLEEP_RATIO = 20.0  # a pause this many times longer than usual is no slow step
CLOCKS = (  # two clocks whose difference grows during sleep
    ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"),  # Linux
    ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"),  # macOS
)


def suspended_seconds() -> float:
    """Return how long this computer has slept since some fixed moment; 0 where the system does not tell."""
    for counting, pausing in CLOCKS:
        if hasattr(time, counting) and hasattr(time, pausing):
            return time.clock_gettime(getattr(time, counting)) - time.clock_gettime(getattr(time, pausing))
    return 0.0


class RunClock:
    """Measure a run from this moment on, and notice sleep.

    Args:
        clock: Seconds from any fixed moment.
        suspended: How long the computer has slept, as far as `clock` does not count it.
    """

    def __init__(self, clock: Clock = time.monotonic, suspended: Clock = suspended_seconds) -> None:
        self._clock, self._suspended = clock, suspended
        self._started = self._last = clock()
        self._stopped = 0.0  # seconds that the clock counted while the process did not run
        self._reported = suspended()  # of all sleep
        self._laps: dict[str, tuple[int, float]] = {}  # how many of each kind, and their seconds in all

    def read(self) -> float:
        """Return the seconds since the start, without sleep."""
        self._last = self._clock()
        return self._last - self._started - self._stopped

    def expect(self, kind: str, seconds: float) -> None:
        """Set how long a piece of repeated work takes, so that the first one is judged, too.

        Args:
            kind: As for `lap`.
            seconds: Of one of them.
        """
        self._laps[kind] = 1, seconds

    def lap(self, kind: str) -> float:
        """Return the seconds since the start, without sleep, after one piece of repeated work.

        Args:
            kind: What was done since the clock was read last. How long that took before tells what is sleep.
        """
        last, (count, seconds) = self._last, self._laps.get(kind, (0, 0.0))
        pause = self._clock() - last
        if count and pause > max(MIN_SLEEP, MIN_SLEEP_RATIO * seconds / count):
            self._stopped += pause - seconds / count
        else:
            self._laps[kind] = count + 1, seconds + pause
        self._last = last + pause
        return self._last - self._started - self._stopped

    def take_sleep(self) -> float:
        """Return the seconds of sleep since this was asked last; 0 for less than `MIN_SLEEP`, which then adds up."""
        slept = self._stopped + self._suspended() - self._reported
        if slept < MIN_SLEEP:
            return 0.0
        self._reported += slept
        return slept
