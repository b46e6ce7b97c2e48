"""Runs the migrations on the connection of `upgrade`, in its transaction. Alembic executes this file."""

from __future__ import annotations

from alembic import context

from arena.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
