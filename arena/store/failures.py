"""Turns failures of a database, as its driver reports them, into errors that say what to do."""

from __future__ import annotations

import sqlite3

from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import OperationalError

from arena.errors import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnreachable,
    DatabaseUnusable,
)
from trainer.verse.text import sanitize

SQLITE = {  # by primary result code
    sqlite3.SQLITE_PERM: DatabaseReadOnly,
    sqlite3.SQLITE_BUSY: DatabaseBusy,
    sqlite3.SQLITE_LOCKED: DatabaseBusy,
    sqlite3.SQLITE_READONLY: DatabaseReadOnly,
    sqlite3.SQLITE_IOERR: DatabaseUnusable,
    sqlite3.SQLITE_CORRUPT: DatabaseDamaged,
    sqlite3.SQLITE_FULL: DatabaseFull,
    sqlite3.SQLITE_CANTOPEN: DatabaseUnreachable,
    sqlite3.SQLITE_NOTADB: DatabaseDamaged,
}
POSTGRESQL = {  # by SQLSTATE
    "25P03": DatabaseUnreachable,  # idle_in_transaction_session_timeout: this process stood still
    "42501": DatabaseReadOnly,  # insufficient privilege
    "53100": DatabaseFull,
    "55P03": DatabaseBusy,  # lock_timeout
}
NO_CONNECTION = ("08", "28", "3D", "53", "57")  # classes of SQLSTATE: refused, wrong login, no such database, stopped
MAX_REASON = 200  # characters of a driver's message


def explain(address: URL, context: ExceptionContext) -> None:
    """Raise the error that a failure is; leave faults of the program to SQLAlchemy.

    Args:
        address: the database's.
        context: SQLAlchemy's description of the failure.

    Raises:
        DatabaseUnusable: The database cannot be used.
    """
    if context.is_pre_ping:  # a connection in the pool that has ended: the pool opens another one
        return
    error = context.original_exception
    if isinstance(error, sqlite3.Error):
        kind = SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    else:
        state = getattr(error, "sqlstate", None) or ""
        kind = POSTGRESQL.get(state)
        if kind is None and isinstance(context.sqlalchemy_exception, OperationalError):
            kind = DatabaseUnreachable if not state or state.startswith(NO_CONNECTION) else None
    if kind is not None:
        raise kind(name_of(address), sanitize(str(error).partition("\n")[0], MAX_REASON))


def name_of(address: URL) -> str:
    """Return how messages name a database: without user and password."""
    if address.get_backend_name() == "sqlite":
        return str(address.database)
    name, host, port, database = address.get_backend_name(), address.host, address.port, address.database
    return URL.create(name, host=host, port=port, database=database).render_as_string()
