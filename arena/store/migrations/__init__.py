"""The Alembic environment, and `upgrade`, which brings a database to the schema of this version."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from arena.errors import DatabaseTooNew
from arena.store.unit_of_work import WRITES, create_database_engine


def upgrade(url: str) -> None:
    """Create or change the tables in one transaction; do nothing if they are up to date.

    Raises:
        DatabaseTooNew: A later version of the arena wrote the database.
        DatabaseUnusable: The database cannot be opened.
    """
    config = Config()
    config.set_main_option("script_location", "arena.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    engine = create_database_engine(url)
    try:
        with engine.connect() as connection:
            if MigrationContext.configure(connection).get_current_heads() == tuple(scripts.get_heads()):
                return
        with engine.execution_options(**WRITES).begin() as connection:  # processes that start at once take turns
            known = {script.revision for script in scripts.walk_revisions()}
            unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
            if unknown:
                raise DatabaseTooNew(", ".join(sorted(unknown)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
