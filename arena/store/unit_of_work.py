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
MAX_GROUP = 64  # jobs in one transaction, at most
WRITES = {"writes": True}  # execution options of a connection whose transactions change the database


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class Database:
    """One event's database: the transactions that read it and those that change it. For any thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False, autoflush=False)
        self._writer = threading.Lock()  # held by the one thread of this process that writes
        self._group = _Group()

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a database whose tables are those of this version: see `store.migrations.upgrade`.

        On SQLite: write-ahead log, every commit on the disk before it is answered (synchronous=FULL), foreign keys
        kept.
        """
        return cls(create_database_engine(url))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that sees one state of the database and changes nothing."""
        with self._sessions() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that may change the database; it is rolled back if the block raises.

        It holds the database's write lock from its first statement, so what it reads cannot change under it. Writers
        of one process wait for a lock of ours: with SQLite's own they poll, and some wait far longer than others.
        """
        with self._writer, self._begin() as session:
            yield session

    def submit(self, job: Callable[[Session], T]) -> T:
        """Run a short job in a writing transaction that it may share with jobs of other threads; its result.

        A commit waits for the disk, milliseconds on many a laptop, and a room votes within seconds. So one of the
        waiting threads runs the jobs of all in one transaction. No call returns before the commit.

        Args:
            job: raises an `ArenaError` before it has written anything, or not at all; the error is raised here.
        """
        mine: _Job[T] = _Job(job)
        if not self._group.join(mine):
            mine.awake.wait()  # until it is done, or until this thread is to lead
        if not mine.done:
            jobs: list[_Job[Any]] = [mine]
            try:
                with self._writer:
                    jobs = self._group.take()  # only now: while others write, more jobs arrive
                    self._run(jobs)
            finally:
                self._group.leave(mine, jobs)
        return mine.get()

    def change_detector(self) -> ChangeDetector:
        """Make a detector of commits, with a connection of its own."""
        return ChangeDetector(self.engine.raw_connection())

    def dispose(self) -> None:
        """Close every connection that is not in use."""
        self.engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Session]:
        with self._sessions() as session:
            session.connection(execution_options=WRITES)
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def _run(self, jobs: list[_Job[Any]]) -> None:
        """Run jobs in one transaction; if it fails, each in one of its own, so that none fails for another."""
        try:
            with self._begin() as session:
                for job in jobs:
                    job.error, job.results = None, []
                    try:
                        job.results = [job.run(session)]
                    except ArenaError as error:  # refused before it wrote
                        job.error = error
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._run([job])
                return
            jobs[0].error = error
        for job in jobs:
            job.done = True


class ChangeDetector:
    """Notices commits by any other connection, cheaply: SQLite's data_version. For one thread."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
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


def create_database_engine(url: str) -> Engine:
    """Make the engine alone."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_size=CONNECTIONS // 4, max_overflow=CONNECTIONS)
    engine = create_engine(
        url, pool_size=CONNECTIONS // 4, max_overflow=CONNECTIONS, connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _Job(Generic[T]):
    """A job and its result."""

    def __init__(self, run: Callable[[Session], T]) -> None:
        self.run = run
        self.awake = threading.Event()
        self.done = False
        self.results: list[T] = []
        self.error: BaseException | None = None

    def get(self) -> T:
        """Return the result, or raise the job's error."""
        if self.error is not None:
            raise self.error
        return self.results[0]


class _Group:
    """The queue of waiting jobs, whose first thread leads: it runs the jobs of all."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[_Job[Any]] = deque()
        self._led = False

    def join(self, job: _Job[Any]) -> bool:
        """Add a job; True if this thread leads."""
        with self._mutex:
            self._waiting.append(job)
            leads, self._led = not self._led, True
            return leads

    def take(self) -> list[_Job[Any]]:
        """For the leader: the jobs to run, its own first."""
        with self._mutex:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_GROUP))]

    def leave(self, leader: _Job[Any], jobs: list[_Job[Any]]) -> None:
        """Wake the threads whose jobs are done, and let the next in the queue lead."""
        for job in jobs:
            if not job.done:  # the leader was interrupted
                job.done, job.error = True, RuntimeError("the writing thread was interrupted: try again")
        with self._mutex:
            if leader in self._waiting:
                self._waiting.remove(leader)
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].awake.set()
        for job in jobs:
            job.awake.set()


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
