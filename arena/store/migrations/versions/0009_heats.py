"""Voters judge pairs of verses before the draw, and the verses are ranked."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the heats, the judgements, and what ranks an entry."""
    for name, default in (("heats", "none"), ("seeding", "lot")):
        op.add_column("events", sa.Column(name, sa.String(length=8), nullable=False, server_default=default))
    op.add_column("entries", sa.Column("dealt", sa.Integer(), nullable=False, server_default="0"))
    for name in ("heat_place", "heat_judgements"):
        op.add_column("entries", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("heat_strength", "heat_low", "heat_high"):
        op.add_column("entries", sa.Column(name, sa.Double(), nullable=True))
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("voter_id", sa.String(length=64), nullable=False),
        sa.Column("upper_id", sa.String(length=32), nullable=False),
        sa.Column("lower_id", sa.String(length=32), nullable=False),
        sa.Column("choice", sa.String(length=5), nullable=True),
        sa.Column("dealt_at", sa.Double(), nullable=False),
        sa.Column("judged_at", sa.Double(), nullable=True),
        sa.CheckConstraint("choice IN ('upper', 'lower')", name=op.f("ck_judgements_choice")),
        sa.CheckConstraint("upper_id < lower_id", name=op.f("ck_judgements_order")),
        sa.ForeignKeyConstraint(["upper_id"], ["entries.id"], name=op.f("fk_judgements_upper_id")),
        sa.ForeignKeyConstraint(["lower_id"], ["entries.id"], name=op.f("fk_judgements_lower_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.UniqueConstraint("voter_id", "upper_id", "lower_id", name=op.f("uq_judgements_voter_id_upper_id_lower_id")),
    )
    op.create_index(op.f("ix_judgements_upper_id"), "judgements", ["upper_id"])
    op.create_index(op.f("ix_judgements_lower_id"), "judgements", ["lower_id"])
    dealt: dict[str, Any] = {f"{dialect}_where": sa.text("choice IS NULL") for dialect in ("sqlite", "postgresql")}
    op.create_index("ix_judgements_dealt", "judgements", ["voter_id"], unique=True, **dealt)
