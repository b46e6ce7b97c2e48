"""Counts of the reactions to results, in memory and nowhere else: no text, no name, no record of who reacted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

SIGNS: Mapping[str, str] = {"heart": "♥", "star": "★", "mark": "!"}  # each with its sign
PAUSE_SECONDS = 2.0  # between two reactions of one phone; an earlier one is not counted
MAX_PHONES = 20_000  # remembered for that pause; beyond, all are forgotten


@dataclass
class ReactionCounts:
    """How often each sign was sent since the server started."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIGNS, 0))
    _last: dict[str, float] = field(default_factory=dict)  # when a phone's was counted
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sign: str, voter: str, now: float) -> bool:
        """Count a reaction.

        Args:
            sign: a name of `SIGNS`.
            voter: the phone's secret.
            now: seconds since the epoch.

        Returns:
            Whether it was counted.
        """
        with self._lock:
            if sign not in SIGNS or now - self._last.get(voter, now - PAUSE_SECONDS) < PAUSE_SECONDS:
                return False
            if len(self._last) >= MAX_PHONES:
                self._last.clear()
            self._last[voter] = now
            self.counts[sign] += 1
            return True
