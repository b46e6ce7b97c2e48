"""Brings a database to the tables of this version, whichever version made it. One file in `versions` a change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from arena.errors import DatabaseTooNew
from arena.store.schema import Base
from arena.store.unit_of_work import create_database_engine

FOLDER = Path(__file__).parent


def upgrade(url: str) -> None:
    """Make or change the tables, all or nothing. Does nothing to a database that has them.

    Raises:
        DatabaseTooNew: a later version of the arena wrote it.
    """
    script = ScriptDirectory(str(FOLDER), file_template="%%(slug)s")

    def steps(revision: Any, _context: MigrationContext) -> Iterable[Any]:
        try:
            return script._upgrade_revs("head", revision)
        except CommandError:
            raise DatabaseTooNew(", ".join(revision) if isinstance(revision, tuple) else str(revision)) from None

    engine = create_database_engine(url)
    try:
        with EnvironmentContext(Config(), script, fn=steps) as environment, engine.connect() as connection:
            connection = connection.execution_options(writes=True)  # two processes that start at once take turns
            with connection.begin():
                environment.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
                environment.run_migrations()
    finally:
        engine.dispose()
