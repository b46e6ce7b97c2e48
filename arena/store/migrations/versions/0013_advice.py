"""What the checks of an entry found, for the organizer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column."""
    op.add_column("entries", sa.Column("advice", sa.JSON(), nullable=True))
