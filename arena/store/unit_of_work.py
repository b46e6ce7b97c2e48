"""Transactions on SQLite and PostgreSQL: one that writes takes the event's only write lock when it begins."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session, sessionmaker

from arena.errors import ArenaError
from arena.store.schema import Version

T = TypeVar("T")

BUSY_SECONDS = 20.0  # how long a transaction waits for another process's; ours take milliseconds
CONNECTIONS = 64  # at most, more than the threads of a server
MAX_GROUP = 64  # jobs in one transaction, at most
WRITE_LOCK = 0x5645525345  # "VERSE": number of the advisory lock on PostgreSQL
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
        """Open a database whose tables are those of this version: see `store.migrations.upgrade`."""
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
        """Make a detector of commits; close it before the database."""
        return ChangeDetector(self)

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
    """Notices commits to a database, by this process or another, with one cheap query; for one thread.

    SQLite numbers the commits that one connection sees of others, so the detector keeps a connection of its own.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sqlite = db.engine.raw_connection() if db.engine.dialect.name == "sqlite" else None
        self._seen: int | None = None

    def changed(self) -> bool:
        """Return whether something was committed since the last call; True the first time."""
        seen, self._seen = self._seen, self._version()
        return seen != self._seen

    def close(self) -> None:
        """Return the connection to the pool."""
        if self._sqlite is not None:
            self._sqlite.close()

    def _version(self) -> int:
        if self._sqlite is None:
            with self._db.reading() as session:
                return session.scalars(select(Version.number)).one()
        cursor = self._sqlite.cursor()
        cursor.execute("PRAGMA data_version")
        row = cursor.fetchone()
        cursor.close()
        return int(row[0]) if row else 0


def create_database_engine(url: str) -> Engine:
    """Create an engine whose transactions are those that `Database` promises.

    SQLite: write-ahead log, every commit on the disk before it returns (synchronous=FULL), foreign keys enforced.
    PostgreSQL, with psycopg: a lock that all writing transactions share, since each record of the log continues the
    one before it; transactions that read see one snapshot of the database.
    """
    address = make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() == "sqlite":
        engine = _create_engine(address, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        lock_timeout = f"-c lock_timeout={int(BUSY_SECONDS * 1000)}"
        engine = _create_engine(address, connect_args={"options": lock_timeout}, pool_pre_ping=True)
        event.listen(engine, "begin", _begin_postgresql)
        event.listen(engine, "commit", _commit_postgresql)
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


def _create_engine(address: URL, **options: Any) -> Engine:
    return create_engine(address, pool_size=CONNECTIONS // 4, max_overflow=CONNECTIONS, **options)


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes"))


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # Python's own BEGIN comes too late, before the first write: `_begin_sqlite`
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if _writes(connection):  # READ COMMITTED: statements after the lock see what its last holder committed
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _commit_postgresql(connection: Connection) -> None:
    if _writes(connection):  # a transaction that changed nothing has no id, and leaves the version alone
        connection.exec_driver_sql(
            "UPDATE version SET number = number + 1 WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
        )
