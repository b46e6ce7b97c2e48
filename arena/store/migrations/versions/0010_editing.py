"""Names that the organizer masks or changes, and entries that are held back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("events", sa.Column("edits", sa.Integer(), nullable=False, server_default="0"))
    for name in ("masked", "name_set", "held"):
        op.add_column("entries", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
