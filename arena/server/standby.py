"""Keeps a backup up to date while the event is served: on a memory stick, or in a folder of another computer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from arena.bootstrap import EventContext
from arena.errors import ArenaError
from arena.services import queries
from arena.services.backups import back_up

EVERY_SECONDS = 60.0  # between two backups while something changes
LOOK_SECONDS = 1.0  # between two looks at the phase, whose change is backed up at once
log = logging.getLogger(__name__)


class Standby:
    """Backs the event up at each change of its phase, and every minute if something was written."""

    def __init__(self, event: EventContext, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Make a keeper; `start` starts its thread.

        Args:
            event: what is backed up.
            folder: where to.
            clock: seconds since the epoch.
        """
        self._event, self._folder, self._clock = event, folder, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)
        self._phase: tuple[object, ...] = ()
        self._due, self._written = 0.0, True
        self.problem = ""  # why the last backup failed

    def start(self) -> None:
        """Make the first backup, so that a wrong folder is noticed now, and start the thread.

        Raises:
            ArenaError: The backup is not possible.
            OSError: The folder cannot be written.
        """
        self._back_up_if_due()
        self._thread.start()

    def stop(self) -> None:
        """Make a last backup, and end the thread."""
        self._stop.set()
        self._thread.join()

    def step(self, changed: bool, *, last: bool = False) -> None:
        """Back the event up if that is due. What fails is tried again when the next backup is due.

        Args:
            changed: something was written since the last step.
            last: back it up in any case.
        """
        self._written = self._written or changed
        try:
            self._back_up() if last else self._back_up_if_due()
        except (ArenaError, OSError) as error:
            self._written = True
            self._report(str(error))
        else:
            self._report("")

    def _back_up_if_due(self) -> None:
        if not self._written:
            return
        state = queries.snapshot(self._event.db, now=self._clock())
        phase = (state.phase, state.match and (state.match.id, state.match.poll_round), state.matches)
        if phase != self._phase or self._clock() >= self._due:
            self._back_up()
            self._phase = phase

    def _back_up(self) -> None:
        self._due = self._clock() + EVERY_SECONDS
        self._written = False
        back_up(self._event.db, self._event.settings, self._folder, now=self._clock())

    def _run(self) -> None:
        detector = self._event.db.change_detector()
        try:
            while True:
                stopped = self._stop.wait(LOOK_SECONDS)
                self.step(detector.changed(), last=stopped)
                if stopped:
                    return
        finally:
            detector.close()

    def _report(self, problem: str) -> None:
        """Log what has changed: a backup that fails, or that works again."""
        if problem != self.problem:
            if problem:
                log.error("the backup in %s failed: %s; it is tried again every minute", self._folder, problem)
            else:
                log.warning("the backup in %s works again", self._folder)
        self.problem = problem
