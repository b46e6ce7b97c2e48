"""What is wrong at a glance: the conditions that the console shows as a banner."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from arena.services.schemas import ConsoleView

STUCK_SECONDS = 20.0  # bundles wait and none is checked: a worker looks every second
LOW_DISK = 3  # times the space that no upload may use: below, the console warns


@dataclass(frozen=True)
class Health:
    """What is wrong now."""

    no_worker: bool = False  # bundles wait, and nobody checks them
    disk_low: int | None = None  # bytes that are free, where they are few
    nobody_listens: bool = False  # a vote is open, and no phone is connected
    never_seen: bool = False  # so was none since the server started

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.no_worker or self.disk_low is not None or self.nobody_listens)


@dataclass
class HealthWatch:
    """Remembers since when checks stand still."""

    folder: Path  # of the event
    min_free: int  # bytes that no upload may use
    _stuck_since: float | None = None
    _seen_phones: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, view: ConsoleView, phones: int | None, now: float) -> Health:
        """Look.

        Args:
            view: the console's.
            phones: that are connected; None: not known.
            now: seconds since the epoch.
        """
        stands_still = view.counts["waiting"] > 0 and view.counts["verifying"] == 0
        with self._lock:
            if not stands_still:
                self._stuck_since = None
            elif self._stuck_since is None:
                self._stuck_since = now
            since = self._stuck_since
            self._seen_phones = self._seen_phones or bool(phones)
            seen = self._seen_phones
        free = shutil.disk_usage(self.folder).free
        nobody = phones == 0 and view.open is not None
        return Health(
            no_worker=since is not None and now - since >= STUCK_SECONDS,
            disk_low=free if self.min_free and free < LOW_DISK * self.min_free else None,
            nobody_listens=nobody,
            never_seen=nobody and not seen,
        )
