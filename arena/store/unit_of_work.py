"""Transactions on SQLite and PostgreSQL: one that writes takes the event's only write lock when it begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, sessionmaker

from arena.errors import ArenaError, DatabaseUnusable, NoWriteAheadLog
from arena.settings import SettingsError
from arena.store.connecting import ENCODING, ConnectionGate, check_encoding
from arena.store.failures import explain
from arena.store.schema import Version

T = TypeVar("T")

BUSY_SECONDS = 20.0  # how long a transaction waits for another process's; ours take milliseconds
IDLE_SECONDS = 15.0  # after which PostgreSQL ends the transaction of a host that has died or stands still
CONNECT_SECONDS = 5  # that a connection to PostgreSQL may take
CONNECTIONS = 64  # at most, more than the threads of a server
MAX_GROUP = 64  # jobs in one transaction, at most
WRITE_LOCK = 0x5645525345  # "VERSE": number of the advisory lock on PostgreSQL
SCHEDULER_LOCK = WRITE_LOCK + 1  # of the one host that closes what is due
WRITES = {"writes": True}  # execution options of a connection whose transactions change the database


class Database:
    """One event's database: the transactions that read it and those that change it. For any thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False, autoflush=False)
        self._writer = threading.Lock()  # held by the one thread of this process that writes
        self._mutex = threading.Lock()  # of the two below
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None  # the writer thread; the first job starts it

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

        It holds the database's write lock from its first statement, so what it reads cannot change meanwhile. Writers
        of one process wait for a lock of ours: for SQLite's own they would poll, and some far longer than others.
        """
        with self._writer, self._begin() as session:
            yield session

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Take the turn to close what is due, if no other host of the event has it; say whether it was taken.

        It ends with the block, or with the connection, so that a host that dies holds up nobody. On SQLite, where an
        event has one host, it is always free.
        """
        with self.reading() as session:
            yield self.engine.dialect.name == "sqlite" or bool(
                session.scalar(select(func.pg_try_advisory_xact_lock(SCHEDULER_LOCK)))
            )

    def time(self) -> float:
        """Return the time of PostgreSQL's host, in seconds since the epoch."""
        with self.reading() as session:
            return float(session.scalars(select(func.extract("epoch", func.clock_timestamp()))).one())

    def submit(self, job: Callable[[Session], T]) -> T:
        """Run a job as `enqueue` does, and return its result after the commit."""
        return self.enqueue(job).result()

    def enqueue(self, job: Callable[[Session], T]) -> Future[T]:
        """Queue a short job for the writer thread, which runs all waiting jobs in one transaction.

        A commit waits for the disk, milliseconds on many laptops, and a room votes within seconds. If a transaction
        fails, each of its jobs runs again in one of its own.

        Args:
            job: raises an `ArenaError` before it has written anything, or not at all.

        Returns:
            A future that has the job's result, or its error, after the commit.
        """
        future: Future[T] = Future()
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, args=[self._jobs], name="writer", daemon=True)
                self._thread.start()
            self._jobs.put(_Job(job, future))
        return future

    def change_detector(self) -> ChangeDetector:
        """Make a detector of commits; close it before the database."""
        return ChangeDetector(self)

    def dispose(self) -> None:
        """Run the jobs that wait, end the writer thread, and close every connection that is not in use."""
        with self._mutex:
            jobs, thread = self._jobs, self._thread
            self._jobs, self._thread = SimpleQueue(), None
        if thread is not None:
            jobs.put(None)
            thread.join()
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

    def _work(self, waiting: SimpleQueue[_Job[Any] | None]) -> None:
        """Run jobs until the queue holds None."""
        while (job := waiting.get()) is not None:
            with self._writer:
                jobs = [job]
                while len(jobs) < MAX_GROUP and not waiting.empty():  # while others wrote, more jobs arrived
                    if (job := waiting.get()) is None:
                        waiting.put(None)
                        break
                    jobs.append(job)
                self._run([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _run(self, jobs: list[_Job[Any]]) -> None:
        """Run jobs in one transaction. If it fails, run each in its own, so that no job fails because of another.

        A SAVEPOINT for each job would do the same, and makes every vote slower: see NOTES.md.
        """
        outcomes: list[Callable[[], None]] = []
        try:
            with self._begin() as session:
                for job in jobs:
                    try:
                        outcomes.append(partial(job.future.set_result, job.run(session)))
                    except DatabaseUnusable:
                        raise
                    except ArenaError as error:  # refused before it wrote
                        outcomes.append(partial(job.future.set_exception, error))
        except BaseException as error:  # of any kind: the callers get it, and the thread continues
            if len(jobs) > 1:
                for job in jobs:
                    self._run([job])
                return
            outcomes = [partial(job.future.set_exception, error) for job in jobs]
        for report in outcomes:
            report()


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

    Every failure of the database is then a `DatabaseUnusable`.

    Raises:
        SettingsError: It is not the address of such a database, or psycopg is not installed.
    """
    address = _parse(url)
    if address.get_backend_name() == "sqlite":
        engine = _create_engine(address, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        limits = f"-c lock_timeout={int(BUSY_SECONDS * 1000)}"
        limits += f" -c idle_in_transaction_session_timeout={int(IDLE_SECONDS * 1000)}"
        options = {"options": limits, "connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": int(IDLE_SECONDS * 1000)}
        options["client_encoding"] = ENCODING  # whatever the database's own is: SQLAlchemy could not read its answers
        try:
            engine = _create_engine(address, connect_args=options, pool_pre_ping=True)
        except ImportError:
            raise SettingsError(
                "an event in PostgreSQL needs psycopg: in a clone of the project, pip install '.[postgresql]'"
            ) from None
        event.listen(engine, "do_connect", ConnectionGate().connect)
        event.listen(engine, "connect", lambda connection, _record: check_encoding(address, connection))
        event.listen(engine, "begin", _begin_postgresql)
        event.listen(engine, "commit", _commit_postgresql)
    event.listen(engine, "handle_error", partial(explain, address))
    return engine


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = URL.create("unknown")
    backend = address.get_backend_name()
    if backend == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and address.database not in (None, "", ":memory:"):
        return address
    raise SettingsError(
        "`database_url` in settings.json must look like postgresql://user:password@host/database, "
        "or be null for a file in the event folder"
    )


@dataclass(frozen=True)
class _Job(Generic[T]):
    """A job of the writer thread."""

    run: Callable[[Session], T]
    future: Future[T]  # of its result


def _create_engine(address: URL, **options: Any) -> Engine:
    return create_engine(address, pool_size=CONNECTIONS // 4, max_overflow=CONNECTIONS, **options)


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes"))


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # Python would begin with the first write, which is too late: see `_begin_sqlite`
    cursor = connection.cursor()
    mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise NoWriteAheadLog(cursor.execute("PRAGMA database_list").fetchone()[2], f"its mode stays {mode}")
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
