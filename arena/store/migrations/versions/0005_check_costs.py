"""Add what checks cost and may cost, the queue's order, the bytes that a check was about, and when bytes arrived."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

LARGEST_BRACKET = 1_024
OLD_COST = 5.0  # seconds: of entries whose header nobody reads again
OLD_MEMORY = 2**28  # bytes, and six for each byte of the bundle


def upgrade() -> None:
    """Add the columns, and fill them for the rows that are there."""
    op.add_column("events", sa.Column("check_seconds", sa.Double(), nullable=False, server_default="60"))
    op.add_column("events", sa.Column("check_memory", sa.BigInteger(), nullable=False, server_default="1342177280"))
    op.execute(f"UPDATE events SET max_entries = {LARGEST_BRACKET} WHERE max_entries > {LARGEST_BRACKET}")
    op.drop_index(op.f("ix_entries_state_queued_at"), "entries")
    op.execute("ALTER TABLE entries RENAME COLUMN queued_at TO turn_at")
    op.add_column("entries", sa.Column("cost", sa.Double(), nullable=False, server_default=str(OLD_COST)))
    op.add_column("entries", sa.Column("memory", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("entries", sa.Column("heard_at", sa.Double(), nullable=False, server_default="0"))
    op.execute("UPDATE entries SET heard_at = claimed_at")
    op.execute(f"UPDATE entries SET memory = {OLD_MEMORY} + 6 * CAST(size AS BIGINT)")
    op.create_index(op.f("ix_entries_state_turn_at"), "entries", ["state", "turn_at"])
    op.create_index(op.f("ix_entries_bundle"), "entries", ["bundle"])
    op.add_column("verifications", sa.Column("bundle", sa.String(length=64), nullable=True))
    op.execute("UPDATE verifications SET bundle = (SELECT bundle FROM entries WHERE entries.id = entry_id)")
    op.create_index(op.f("ix_verifications_bundle"), "verifications", ["bundle"])
