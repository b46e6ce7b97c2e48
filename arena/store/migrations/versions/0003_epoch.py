"""The event counts how often it was restored from a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the count."""
    op.add_column("events", sa.Column("epoch", sa.Integer(), nullable=False, server_default="0"))
