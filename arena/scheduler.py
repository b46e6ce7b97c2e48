"""Closes submissions, late claims and votes when their time has come, and removes uploads that nobody waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from arena.bootstrap import Database, Spool
from arena.errors import ArenaError
from arena.services import bracket, uploads

INTERVAL = 1.0  # seconds between two looks at the clock
log = logging.getLogger(__name__)


class Scheduler:
    """Closes what is due, about once a second. Several may run at the same time."""

    def __init__(self, db: Database, spool: Spool, *, clock: Callable[[], float] = time.time) -> None:
        """Create a scheduler; `run` starts it.

        Args:
            db: the event's database.
            spool: the event's uploads on their way.
            clock: seconds since the epoch.
        """
        self._db, self._spool, self._clock = db, spool, clock
        self._stopping = threading.Event()

    def run(self) -> None:
        """Close what is due until `stop` is called."""
        while not self._stopping.is_set():
            try:
                self.step()
            except Exception as error:  # a full disk or a locked database: the event goes on afterwards
                log.error("the scheduler tries again: %s", error, exc_info=not isinstance(error, ArenaError))
            self._stopping.wait(INTERVAL)

    def stop(self) -> None:
        """Make `run` return. Any thread may call it."""
        self._stopping.set()

    def step(self) -> None:
        """Close what is due now, and remove the parts of entries that receive no more."""
        bracket.close_due(self._db, now=self._clock())
        uploads.drop_parts(self._db, self._spool)
