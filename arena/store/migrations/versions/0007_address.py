"""Add the address at which phones reach the event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    op.add_column("events", sa.Column("address", sa.Text(), nullable=False, server_default=""))
