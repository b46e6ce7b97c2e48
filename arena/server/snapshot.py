"""What all phones are told, kept in memory: one thread looks at the database, every poll is answered from here."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from arena.bootstrap import Database
from arena.services import queries
from trainer.verse import strictjson

LOOK_EVERY = 0.1  # seconds between two looks at the database: a look is some 20 microseconds
log = logging.getLogger(__name__)


class SnapshotSource(Protocol):
    """Where snapshots come from. Used by one thread only."""

    def changed(self) -> bool:
        """Whether somebody wrote since the last call; true the first time. Cheap."""

    def build(self, now: float) -> dict[str, Any]:
        """What holds at the time `now`."""

    def close(self) -> None:
        """Nobody will ask again."""


class DatabaseSource:
    """Snapshots of the event's database."""

    def __init__(self, db: Database) -> None:
        self._db, self._detector = db, db.change_detector()

    def changed(self) -> bool:
        return self._detector.changed()

    def build(self, now: float) -> dict[str, Any]:
        return queries.snapshot(self._db, now=now)

    def close(self) -> None:
        self._detector.close()


@dataclass(frozen=True)
class Snapshot:
    """One state of the evening."""

    data: dict[str, Any]  # shared by everybody: not to be changed
    body: bytes  # the same as JSON
    etag: bytes  # digest of the body, in quotes
    built_at: float  # seconds since the epoch

    @classmethod
    def of(cls, data: dict[str, Any], now: float) -> Snapshot:
        body = strictjson.dump(data)
        return cls(data, body, b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"', now)

    def stale(self, now: float) -> bool:
        """Whether a time it speaks of, such as a match's closing, has come since."""
        return any(self.built_at < moment <= now for moment in _moments(self.data))


class SnapshotKeeper:
    """Keeps the latest snapshot: rebuilt when the database changes, and when a time in it comes."""

    def __init__(self, open_source: Callable[[], SnapshotSource], clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            open_source: called in the thread that will use it.
            clock: seconds since the epoch.
        """
        self._open, self._clock = open_source, clock
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._latest: Snapshot | None = None
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)

    @property
    def latest(self) -> Snapshot:
        """The latest snapshot; there is one from `start` on."""
        if self._latest is None:
            raise RuntimeError("the keeper was not started")
        return self._latest

    def data(self) -> dict[str, Any]:
        """What the latest snapshot says."""
        return self.latest.data

    def start(self) -> None:
        """Build the first snapshot, and follow from then on.

        Raises:
            Exception: what building the first one raised.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            source = self._open()
            try:
                source.changed()
                self._build(source)
                self._ready.set()
                self._follow(source)
            finally:
                source.close()
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    def _follow(self, source: SnapshotSource) -> None:
        owed = False  # a change was seen and not yet shown
        while not self._stop.wait(LOOK_EVERY):
            try:
                owed = source.changed() or owed
                if owed or self.latest.stale(self._clock()):
                    self._build(source)
                    owed = False
            except Exception:  # the old one stays; the next look tries again
                log.exception("the snapshot could not be rebuilt")

    def _build(self, source: SnapshotSource) -> None:
        now = self._clock()
        self._latest = Snapshot.of(source.build(now), now)


def _moments(value: object) -> Iterator[float]:
    """Every time in a snapshot: the numbers whose names end in _at."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, int | float) and name.endswith("_at"):
                yield inner
            elif isinstance(inner, dict):
                yield from _moments(inner)
