"""Add how often a vote was changed, and how often an owner changed entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("votes", sa.Column("changes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("owners", sa.Column("changes", sa.Integer(), nullable=False, server_default="0"))
