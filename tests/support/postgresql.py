"""A PostgreSQL server in a temporary folder, reached by a Unix socket only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text


def _folder_of_programs() -> Path | None:
    """Find `initdb`, which Debian keeps out of the PATH."""
    named = shutil.which("initdb")
    candidates = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return candidates[-1].parent if candidates else None


PROGRAMS = _folder_of_programs()
NEEDS_POSTGRESQL = [
    pytest.mark.skipif(os.name != "posix", reason="needs Unix sockets"),
    pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed: apt-get install postgresql"),
]


class PostgresServer:
    """A server that tests start, stop and kill.

    Args:
        durable: whether each commit waits for the disk, as by default anywhere else.
    """

    def __init__(self, *, durable: bool = False) -> None:
        import pwd

        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket has at most 107 bytes
        self._user = None
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            known = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in known else "nobody"
            shutil.chown(self.folder, self._user)
        self._run("initdb", "--username=arena", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        fsync = "on" if self.durable else "off"
        options = f"-k {self.folder} -c listen_addresses='' -c max_connections=200 -c fsync={fsync}"
        self._run("pg_ctl", "start", "--wait", "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "fast" as an operator does, "immediate" as a crash does."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    def end(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgresql://arena@/{database}?host={self.folder}"

    def new_database(self, encoding: str = "UTF8") -> str:
        """Make an empty database, and return its URL."""
        name = f"event_{uuid.uuid4().hex}"
        address = self.url("postgres").replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(address, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'"))
        engine.dispose()
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        assert PROGRAMS is not None
        line, log = [PROGRAMS / program, "-D", self.folder / "data", *arguments], self.folder / "output"
        with log.open("a") as output:
            completed = subprocess.run(line, cwd=self.folder, user=self._user, stdout=output, stderr=output)
        assert completed.returncode == 0, log.read_text()
