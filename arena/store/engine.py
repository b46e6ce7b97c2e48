"""Opens the database, and says what a transaction is: one that writes takes the lock when it begins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session, sessionmaker

BUSY_SECONDS = 20.0  # how long a transaction waits for another process's; ours take milliseconds
CONNECTIONS = 64  # at most, more than the threads of a server
WRITER = "writer"  # in `Session.info`: the lock of this process's writers


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def open_database(url: str) -> sessionmaker[Session]:
    """A factory of sessions. Every table must be there: see `store.migrations.upgrade`.

    On SQLite: write-ahead log, every commit on the disk before it is answered (synchronous=FULL), foreign keys kept.
    """
    engine = create_database_engine(url)
    return sessionmaker(engine, expire_on_commit=False, autoflush=False, info={WRITER: threading.Lock()})


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
