"""Measurements of a rehearsal: latencies by kind of request, refusals and failures, and what went wrong first."""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

SLOW_SECONDS = 0.25  # what a phone should wait for 99 of 100 answers, at most
WINDOW_SECONDS = 1.0  # in which slow answers are counted together
FEW = 20  # answers in a window that say nothing about the hundredth


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong."""

    at: float  # seconds since the start
    what: str


@dataclass
class Kind:
    """Requests of one kind."""

    started: array[float] = field(default_factory=lambda: array("d"))  # seconds since the start
    seconds: array[float] = field(default_factory=lambda: array("d"))  # until the answer
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0  # requests without an answer

    @property
    def count(self) -> int:
        """The number of answers."""
        return len(self.seconds)

    def percentile(self, percent: float) -> float:
        """Return the seconds within which so many of the answers came; 0 without any."""
        return percentile(self.seconds, percent)


def percentile(values: array[float] | list[float], percent: float) -> float:
    """Return the value that so many percent of the values do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


@dataclass
class Measurements:
    """What all clients of a rehearsal have measured."""

    start: float = field(default_factory=time.perf_counter)
    kinds: defaultdict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    broken: list[str] = field(default_factory=list)  # answers that no client may get
    lag: array[float] = field(default_factory=lambda: array("d"))  # seconds that this program itself was late
    _first: dict[str, Trouble] = field(default_factory=dict)

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.start

    def answered(self, kind: str, began: float, status: int, headers: object = None) -> None:
        """Count an answer.

        Args:
            kind: of the request.
            began: when it was sent, in seconds since the start.
            status: of the answer.
            headers: of the answer, to look for Retry-After.
        """
        one = self.kinds[kind]
        one.started.append(began)
        one.seconds.append(self.now() - began)
        one.statuses[status] += 1
        if status == 503 and isinstance(headers, dict) and "retry-after" in headers:
            self.note(f"{kind}: the server was busy (503, try again)")
        elif status >= 500:
            self.note(f"{kind}: answer {status}")
            self.broken.append(f"{kind}: answer {status}")

    def failed(self, kind: str, reason: str) -> None:
        """Count a request without an answer."""
        self.kinds[kind].lost += 1
        self.note(f"{kind}: {reason}")

    def note(self, what: str) -> None:
        """Note something that went wrong, the first time."""
        self._first.setdefault(what, Trouble(self.now(), what))

    def troubles(self) -> list[Trouble]:
        """Return what went wrong, in the order of the first times."""
        slow = [trouble for name, kind in self.kinds.items() if (trouble := _first_slow(name, kind))]
        return sorted([*self._first.values(), *slow], key=lambda trouble: trouble.at)


def _first_slow(name: str, kind: Kind) -> Trouble | None:
    """Find the first second in which answers of a kind were slow."""
    windows: defaultdict[int, list[float]] = defaultdict(list)
    for began, seconds in zip(kind.started, kind.seconds, strict=True):
        windows[int(began / WINDOW_SECONDS)].append(seconds)
    for window, values in sorted(windows.items()):
        if len(values) >= FEW and (p99 := percentile(values, 99)) > SLOW_SECONDS:
            return Trouble(window * WINDOW_SECONDS, f"{name}: slow, one of a hundred took {1000 * p99:,.0f} ms")
    return None
