"""A match is read before its vote begins, and an event limits the prompts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the rules, and the moment at which votes begin. An event made before has no reading time."""
    op.add_column("events", sa.Column("prompt_characters", sa.Integer(), nullable=False, server_default="65536"))
    op.add_column("events", sa.Column("reading_seconds", sa.Double(), nullable=False, server_default="0"))
    op.add_column("matches", sa.Column("votes_from", sa.Double(), nullable=True))
