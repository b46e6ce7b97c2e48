"""Who may vote: tickets, a PIN, or everybody; and entries with several authors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables. An event made before is open to everybody."""
    op.add_column("events", sa.Column("admission", sa.String(length=8), nullable=False, server_default="open"))
    op.create_table(
        "tickets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("votes_from", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('valid', 'spare', 'void')", name=op.f("ck_tickets_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("number", name=op.f("uq_tickets_number")),
    )
    op.create_table(
        "issued_voters",
        sa.Column("voter_id", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("voter_id", name=op.f("pk_issued_voters")),
    )
    op.create_table(
        "pin_voters",
        sa.Column("voter_id", sa.String(length=64), nullable=False),
        sa.Column("admitted_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("voter_id", name=op.f("pk_pin_voters")),
    )
    op.create_table(
        "coauthors",
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.id"], name=op.f("fk_coauthors_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", "owner_id", name=op.f("pk_coauthors")),
    )
