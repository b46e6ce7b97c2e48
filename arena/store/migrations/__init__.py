"""The Alembic environment, and `upgrade`, which brings a database to the schema of this version."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from arena.errors import DatabaseTooNew
from arena.store.unit_of_work import WRITES, create_database_engine

NEWEST = "0013"  # revision of the schema of this version: the last script in `versions`


def upgrade(url: str) -> None:
    """Create or change the tables in one transaction; do nothing if they are up to date.

    Raises:
        DatabaseTooNew: A later version of the arena wrote the database.
        DatabaseUnusable: The database cannot be opened.
    """
    engine = create_database_engine(url)
    try:
        with engine.connect() as connection:
            if _is_newest(connection):
                return
        with engine.execution_options(**WRITES).begin() as connection:  # processes that start at once take turns
            _migrate(connection)
    finally:
        engine.dispose()


def _is_newest(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    return connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [NEWEST]


def _migrate(connection: Connection) -> None:
    # Alembic takes a fifth of a process's start, and nearly every process finds its tables up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "arena.store:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise DatabaseTooNew(", ".join(sorted(unknown)))
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
