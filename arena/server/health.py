"""Whether the server is ready: what its snapshot thread and its verification process have noticed lately."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from arena.server.snapshot import SnapshotKeeper
from arena.worker import read_heartbeat

DATABASE_SECONDS = 5.0  # since the database last answered; it is asked ten times a second
WORKER_SECONDS = 15.0  # since the verification process last said that it works; a restart takes a few


class Health:
    """Answers health checks from memory and from one small file, so that they cost nothing."""

    def __init__(self, keeper: SnapshotKeeper, heartbeat: Path, clock: Callable[[], float] = time.time) -> None:
        """Make the answers of one server.

        Args:
            keeper: asks the database again and again.
            heartbeat: the file that the verification process writes.
            clock: seconds since the epoch.
        """
        self._keeper, self._heartbeat, self._clock = keeper, heartbeat, clock
        self._since = clock()

    def parts(self) -> dict[str, bool]:
        """Return whether each part of the server works."""
        return {
            "database": self._keeper.silence() < DATABASE_SECONDS,
            "worker": self._worker(0.0) == "",
        }

    def worker_problem(self) -> str:
        """Return what the organizer must know of the verification process; "" if it works."""
        return self._worker(self._since)  # it starts together with this process

    def _worker(self, since: float) -> str:
        written_at, problem = read_heartbeat(self._heartbeat)
        if self._clock() - max(written_at, since) > WORKER_SECONDS:
            return "the verification process does not run: no verse is checked; see the messages of `arena serve`"
        return problem
