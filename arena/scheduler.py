"""Closes submissions, late claims and votes when their time has come, and removes uploads that nobody waits for."""

from __future__ import annotations

import logging
import threading

from arena.bootstrap import Database, Spool
from arena.clock import TOLERANCE, EventClock
from arena.errors import ArenaError, DatabaseUnreachable
from arena.services import bracket, rounds, timing, uploads
from trainer.verse.text import pluralize

INTERVAL = 1.0  # seconds between two looks at the clock
log = logging.getLogger(__name__)


class Scheduler:
    """Closes what is due, about once a second. Several may run at the same time: hosts of one event take turns."""

    def __init__(self, db: Database, spool: Spool, *, clock: EventClock) -> None:
        """Create a scheduler; `run` starts it.

        Args:
            db: the event's database.
            spool: the event's uploads on their way.
            clock: the event's.
        """
        self._db, self._spool, self._clock = db, spool, clock
        self._stopping = threading.Event()
        self._ahead = 0.0  # of the computer's clock, as it was said last
        self._reached_at: float | None = None  # when the database last answered; None: it never did
        self._lost_at: float | None = None  # when it did not, after that; None: it did

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
        try:
            self._step()
        except DatabaseUnreachable:
            if self._lost_at is None:
                self._lost_at = self._clock()
            raise

    def _step(self) -> None:
        self._compare_clocks()
        with self._db.turn() as is_mine:
            now = self._clock()
            if is_mine:
                self._pause_unserved(now)
                bracket.close_due(self._db, now=now)
        self._reached_at, self._lost_at = now, None
        uploads.drop_parts(self._db, self._spool)

    def _pause_unserved(self, now: float) -> None:
        """Stop the clock of matches that would close now, while nobody could vote: the database was away."""
        if self._lost_at is not None and self._reached_at is not None:
            for match in rounds.pause_unserved(self._db, away=(self._reached_at, self._lost_at), now=now):
                log.warning(
                    "%s stands still, since the database was away while it was open: let it go on at the console, or "
                    "with `arena match resume`",
                    match.title,
                )

    def _compare_clocks(self) -> None:
        """Say once that the computer's clock was changed, or that the computer slept."""
        ahead = timing.watch_clock(self._db, self._clock)
        if ahead and abs(ahead - self._ahead) > TOLERANCE:
            way = "ahead of" if ahead > 0 else "behind"
            log.warning(
                "this computer's clock is %s %s the event's: it was changed, or the computer slept. What is open "
                "closes by the event's clock. Decide on the console, or with `arena event clock`.",
                pluralize(round(abs(ahead)), "second"),
                way,
            )
        self._ahead = ahead
