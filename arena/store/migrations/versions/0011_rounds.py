"""Matches are numbered without byes, their clock can stand, and there is a practice vote."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns, number the matches that are there, and add the votes for practice."""
    op.add_column("matches", sa.Column("number", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("matches", sa.Column("paused_at", sa.Double(), nullable=True))
    op.execute(
        "UPDATE matches SET number = (SELECT count(*) FROM matches AS other WHERE other.round = matches.round "
        "AND other.slot <= matches.slot AND coalesce(other.decided_by, '') <> 'bye') "
        "WHERE coalesce(decided_by, '') <> 'bye'"
    )
    for name in ("practice_at", "practice_closes_at"):
        op.add_column("events", sa.Column(name, sa.Double(), nullable=True))
    op.create_table(
        "practice_votes",
        sa.Column("voter_id", sa.String(length=64), nullable=False),
        sa.Column("choice", sa.String(length=5), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False, server_default="0"),
        sa.CheckConstraint("choice IN ('upper', 'lower')", name=op.f("ck_practice_votes_choice")),
        sa.PrimaryKeyConstraint("voter_id", name=op.f("pk_practice_votes")),
    )
