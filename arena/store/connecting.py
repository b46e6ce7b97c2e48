"""Connections to PostgreSQL: attempts that cost a page no time while it is away, and what a database must be."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.engine import URL

from arena.errors import DatabaseEncoding
from arena.store.failures import name_of

ENCODING = "UTF8"


class ConnectionGate:
    """Lets one thread at a time try to reach a server that did not answer; the others fail at once, as that one did.

    An attempt takes many seconds where a computer is away or its name is not found. A page makes several, and a room
    hundreds, of which each would hold a thread of the server.
    """

    def __init__(self) -> None:
        self._failure: Exception | None = None  # of the last attempt
        self._trying = threading.Lock()  # held by the thread that tries again

    def connect(self, dialect: Dialect, _record: object, arguments: list[Any], parameters: dict[str, Any]) -> Any:
        """Connect, in place of SQLAlchemy (its event `do_connect`).

        Raises:
            dialect.dbapi.Error: The server does not answer, or has not just now.
        """
        failure = self._failure
        if failure is None:
            return self._attempt(dialect, arguments, parameters)
        if not self._trying.acquire(blocking=False):
            raise type(failure)(*failure.args)
        try:
            return self._attempt(dialect, arguments, parameters)
        finally:
            self._trying.release()

    def _attempt(self, dialect: Dialect, arguments: list[Any], parameters: dict[str, Any]) -> Any:
        try:
            connection = dialect.connect(*arguments, **parameters)
        except Exception as failure:
            self._failure = failure
            raise
        self._failure = None
        return connection


def check_encoding(address: URL, connection: Any) -> None:
    """Check that a database can store every character.

    Raises:
        DatabaseEncoding: It stores text in another encoding than UTF-8.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise DatabaseEncoding(name_of(address), str(encoding))
