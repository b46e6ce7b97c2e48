"""The lock on an event folder: one process serves an event, and the system frees the lock when it ends."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from types import TracebackType

from arena.errors import ArenaError
from arena.settings import SettingsError

BUSY_MS = 250  # that a second process waits before it reports that the lock is held


class EventHeld(ArenaError):
    """Another process holds the lock of this event."""

    code = "event-held"

    def __init__(self, folder: Path, pid: int | None, address: str) -> None:
        who = f"process {pid}, at {address}" if pid else "a process that is just starting"
        super().__init__(f"{folder} is served already by {who}: end that one first", pid=pid, address=address)
        self.pid, self.address = pid, address


class EventLock:
    """A lock that is held inside a `with` block.

    It is an open write transaction of SQLite on a file of its own, which ends with the process on every system. The
    file also names the process that holds it: others may read it during the transaction.
    """

    def __init__(self, path: Path, address: str) -> None:
        """Make a lock that is not held yet.

        Args:
            path: the lock file; its folder exists.
            address: where the event is served, for other processes that find it locked.
        """
        self._path, self._address = path, address
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> EventLock:
        """Take the lock.

        Raises:
            EventHeld: Another process holds it.
            SettingsError: The file cannot be written, or is not a lock.
        """
        try:
            self._connection = self._lock()
        except sqlite3.DatabaseError as error:
            raise SettingsError(
                f"{self._path} cannot be locked ({error}): check that its folder can be written, or delete that file"
            ) from None
        return self

    def _lock(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):  # said below
            self._path.touch(mode=0o600)  # whoever can read it could keep it locked
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_MS / 1000)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS holder (pid INTEGER, address TEXT)")
            connection.execute("DELETE FROM holder")
            connection.execute("INSERT INTO holder VALUES (?, ?)", (os.getpid(), self._address))
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            with contextlib.closing(connection):
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                with contextlib.suppress(sqlite3.OperationalError):  # of the transaction that lost, if it was begun
                    connection.execute("ROLLBACK")
                raise EventHeld(self._path.parent, *self._holder(connection)) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _holder(connection: sqlite3.Connection) -> tuple[int | None, str]:
        try:
            row = connection.execute("SELECT pid, address FROM holder").fetchone()
        except sqlite3.OperationalError:  # it has not written yet
            row = None
        return (int(row[0]), str(row[1])) if row else (None, "")
