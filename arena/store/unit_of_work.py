"""Opens the database, and says what a transaction is: one that writes takes the lock when it begins."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session, sessionmaker

from arena.errors import ArenaError

T = TypeVar("T")

BUSY_SECONDS = 20.0  # how long a transaction waits for another process's; ours take milliseconds
CONNECTIONS = 64  # at most, more than the threads of a server
WRITER = "writer"  # in `Session.info`: the lock of this process's writers
GROUP = "group"  # in `Session.info`: threads that wait to share a transaction
MAX_GROUP = 64  # pieces of work in one transaction, at most


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def open_database(url: str) -> sessionmaker[Session]:
    """A factory of sessions. Every table must be there: see `store.migrations.upgrade`.

    On SQLite: write-ahead log, every commit on the disk before it is answered (synchronous=FULL), foreign keys kept.
    """
    engine = create_database_engine(url)
    return sessionmaker(
        engine, expire_on_commit=False, autoflush=False, info={WRITER: threading.Lock(), GROUP: _Group()}
    )


def create_database_engine(url: str) -> Engine:
    """The engine alone."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_size=CONNECTIONS // 4, max_overflow=CONNECTIONS)
    engine = create_engine(
        url, pool_size=CONNECTIONS // 4, max_overflow=CONNECTIONS, connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(db: sessionmaker[Session]) -> Iterator[Session]:
    """A transaction that sees one state of the database and changes nothing."""
    with db() as session:
        yield session


@contextmanager
def writing(db: sessionmaker[Session]) -> Iterator[Session]:
    """A transaction that may change the database, committed at the end, or not at all if the block raises.

    It holds the database's write lock from its first statement, so what it reads cannot change under it. Writers of
    one process queue for a lock of ours: SQLite's own makes them poll, and some starve.
    """
    with db() as session, session.info[WRITER]:
        session.connection(execution_options={"writes": True})
        try:
            yield session
            session.commit()
        except BaseException:
            session.rollback()
            raise


def grouped(db: sessionmaker[Session], work: Callable[[Session], T]) -> T:
    """Do a small piece of writing in a transaction that it may share with those of other threads.

    A commit waits for the disk, milliseconds on many a laptop, and a room votes within seconds. So one of the threads
    that wait does the work of all in one transaction, then wakes them. Nobody is answered before the commit.

    Args:
        work: raises an `ArenaError` before it has written anything, or not at all; it is raised here.
    """
    group: _Group = db.kw["info"][GROUP]
    mine: _Work[T] = _Work(work)
    if not group.join(mine):
        mine.awake.wait()  # until it is done, or until this thread is to lead
    if not mine.done:
        together = [mine]
        try:
            with db.kw["info"][WRITER]:
                together = group.take()  # only now: while others write, more come together
                _do(db, together)
        finally:
            group.leave(mine, together)
    return mine.answer()


class _Work(Generic[T]):
    """A piece of work, and what came of it."""

    def __init__(self, work: Callable[[Session], T]) -> None:
        self.work = work
        self.awake = threading.Event()
        self.done = False
        self.results: list[T] = []
        self.error: BaseException | None = None

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return self.results[0]


class _Group:
    """Who waits, the one that leads first. Somebody leads whenever somebody waits."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[_Work[Any]] = deque()
        self._led = False

    def join(self, work: _Work[Any]) -> bool:
        """Wait in line; True if this thread leads."""
        with self._mutex:
            self._waiting.append(work)
            leads, self._led = not self._led, True
            return leads

    def take(self) -> list[_Work[Any]]:
        """For the leader: the work to do, its own first."""
        with self._mutex:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_GROUP))]

    def leave(self, leader: _Work[Any], together: list[_Work[Any]]) -> None:
        """Wake those whose work is done, and let the next in line lead."""
        for one in together:
            if not one.done:  # the leader was interrupted
                one.done, one.error = True, RuntimeError("the writing thread was interrupted: try again")
        with self._mutex:
            if leader in self._waiting:
                self._waiting.remove(leader)
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].awake.set()
        for one in together:
            one.awake.set()


def _do(db: sessionmaker[Session], together: list[_Work[Any]]) -> None:
    """One transaction for all; if it fails, one for each, so that nobody fails for another's sake."""
    try:
        with db() as session:
            session.connection(execution_options={"writes": True})
            for one in together:
                one.error, one.results = None, []
                try:
                    one.results = [one.work(session)]
                except ArenaError as error:  # refused before it wrote
                    one.error = error
            session.commit()
    except Exception as error:
        if len(together) > 1:
            for one in together:
                _do(db, [one])
            return
        together[0].error = error
    for one in together:
        one.done = True


class Watch:
    """Notices writes by anybody else, cheaply: SQLite's data_version on a connection of its own. One thread only."""

    def __init__(self, db: sessionmaker[Session]) -> None:
        engine: Any = db.kw["bind"]
        self._connection = engine.raw_connection()
        self._seen: int | None = None

    def changed(self) -> bool:
        """Whether something was committed since the last call; True the first time."""
        cursor = self._connection.cursor()
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        cursor.close()
        seen, self._seen = self._seen, version
        return bool(seen != version)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # Python's own BEGIN comes too late, before the first write: `_begin_sqlite`
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")
