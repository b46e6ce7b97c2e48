"""The race of the trainings: whether it is shown, the runs, and the points of their curves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column and both tables."""
    op.add_column("events", sa.Column("race", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "race_runs",
        sa.Column("racer_id", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("nickname", sa.String(length=40), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.Column("heard_at", sa.Double(), nullable=False),
        sa.Column("anchor_at", sa.Double(), nullable=False),
        sa.Column("anchor_minutes", sa.Double(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Double(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("racer_id", name=op.f("pk_race_runs")),
        sa.UniqueConstraint("nickname", name=op.f("uq_race_runs_nickname")),
    )
    op.create_table(
        "race_points",
        sa.Column("racer_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Double(), nullable=False),
        sa.Column("bits", sa.Double(), nullable=False),
        sa.Column("seen_live", sa.Boolean(), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["racer_id"], ["race_runs.racer_id"], name=op.f("fk_race_points_racer_id")),
        sa.PrimaryKeyConstraint("racer_id", "step", name=op.f("pk_race_points")),
    )
