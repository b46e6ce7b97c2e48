"""The snapshot in memory: one thread watches the database, and every poll is answered from here."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Protocol

from arena.bootstrap import Database
from arena.errors import ArenaError
from arena.services import queries
from arena.services.schemas import Snapshot, to_json

POLL_SECONDS = 0.1  # between two checks of the database; a check takes some 20 microseconds
log = logging.getLogger(__name__)


class SnapshotSource(Protocol):
    """Where snapshots come from. Used by one thread only."""

    def changed(self) -> bool:
        """Return whether anybody wrote since the last call; true the first time. Cheap."""

    def build(self, now: float) -> Snapshot:
        """Return the snapshot at the time `now`."""

    def close(self) -> None:
        """Release what the source holds."""


class DatabaseSource:
    """Snapshots of the event's database."""

    def __init__(self, db: Database) -> None:
        self._db, self._detector = db, db.change_detector()

    def changed(self) -> bool:
        """Return whether anybody wrote since the last call."""
        return self._detector.changed()

    def build(self, now: float) -> Snapshot:
        """Return the snapshot at the time `now`."""
        return queries.snapshot(self._db, now=now)

    def close(self) -> None:
        """Close the detector's connection."""
        self._detector.close()


@dataclass(frozen=True)
class EncodedSnapshot:
    """A snapshot and the bytes that polls are answered with."""

    snapshot: Snapshot
    body: bytes  # JSON
    etag: bytes  # digest of the body, in quotes
    times: tuple[float, ...]  # seconds since the epoch: every time in the snapshot that was still to come

    @classmethod
    def of(cls, snapshot: Snapshot, now: float) -> EncodedSnapshot:
        """Encode a snapshot that was built at the time `now`."""
        body = to_json(snapshot)
        etag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
        return cls(snapshot, body, etag, tuple(moment for moment in _times(snapshot) if moment > now))

    def stale(self, now: float) -> bool:
        """Return whether a time in it, such as a match's closing, has come since it was built."""
        return any(moment <= now for moment in self.times)


class SnapshotKeeper:
    """Keeps the latest snapshot: rebuilt when the database changes, and when a time in it comes."""

    def __init__(self, open_source: Callable[[], SnapshotSource], clock: Callable[[], float] = time.time) -> None:
        """Make a keeper that is not started.

        Args:
            open_source: called in the thread that will use the source.
            clock: seconds since the epoch.
        """
        self._open, self._clock = open_source, clock
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._latest: EncodedSnapshot | None = None
        self._looked_at = 0.0  # when the source last answered, on the monotonic clock
        self._followers: list[Callable[[EncodedSnapshot], None]] = []
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)

    @property
    def latest(self) -> EncodedSnapshot:
        """The latest snapshot; there is one from `start` on."""
        if self._latest is None:
            raise RuntimeError("the keeper was not started")
        return self._latest

    def snapshot(self) -> Snapshot:
        """Return the latest snapshot."""
        return self.latest.snapshot

    def silence(self) -> float:
        """Return the seconds since the source last answered."""
        return time.monotonic() - self._looked_at

    def follow(self, follower: Callable[[EncodedSnapshot], None]) -> None:
        """Call `follower` with every snapshot, in the thread that builds them; before `start`."""
        self._followers.append(follower)

    def start(self) -> None:
        """Build the first snapshot, and start the thread that rebuilds it.

        Raises:
            Exception: The first snapshot could not be built.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread."""
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
        outdated = False  # a change was seen, and the snapshot does not show it yet
        problem = ""  # that was logged last
        while not self._stop.wait(POLL_SECONDS):
            try:
                outdated = source.changed() or outdated
                self._looked_at = time.monotonic()
                if outdated or self.latest.stale(self._clock()):
                    self._build(source)
                    outdated = False
                if problem:
                    log.warning("the snapshot is rebuilt again")
                problem = ""
            except Exception as error:  # the old snapshot stays; the next round tries again
                if str(error) != problem:  # ten times a second would fill the disk
                    is_known = isinstance(error, ArenaError)
                    log.error("the snapshot could not be rebuilt: %s", error, exc_info=not is_known)
                problem = str(error) or type(error).__name__

    def _build(self, source: SnapshotSource) -> None:
        now = self._clock()
        before, self._latest = self._latest, EncodedSnapshot.of(source.build(now), now)
        self._looked_at = time.monotonic()
        if before is None or before.etag != self._latest.etag:
            for follower in self._followers:
                follower(self._latest)


def _times(value: object) -> Iterator[float]:
    """Find every time in a snapshot: the numbers whose names end in _at."""
    if is_dataclass(value):
        for field in fields(value):
            inner = getattr(value, field.name)
            if field.name.endswith("_at") and inner is not None:
                yield inner
            yield from _times(inner)
