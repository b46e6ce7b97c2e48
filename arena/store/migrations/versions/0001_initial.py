"""Create the first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table, the version row, and the triggers that keep the log append-only."""
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("draw_word", sa.Text(), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("closes_at", sa.Double(), nullable=True),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("grace_ends_at", sa.Double(), nullable=True),
        sa.Column("drawn_at", sa.Double(), nullable=True),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("characters", sa.Integer(), nullable=False),
        sa.Column("grace_seconds", sa.Double(), nullable=False),
        sa.Column("max_open", sa.Integer(), nullable=False),
        sa.Column("max_claims", sa.Integer(), nullable=False),
        sa.Column("max_entries", sa.Integer(), nullable=False),
        sa.Column("match_seconds", sa.Double(), nullable=False),
        sa.Column("revote_seconds", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'open', 'closed', 'drawn', 'champion', 'published', 'void')",
            name=op.f("ck_events_state"),
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_events_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_table(
        "log",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_log")),
    )
    op.create_table(
        "owners",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owners")),
    )
    op.create_table(
        "entries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("claim_digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("header_bytes", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("tensors_sha256", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('receiving', 'waiting', 'verifying', 'verified', 'refused', "
            "'expired', 'replaced', 'withdrawn', 'disqualified')",
            name=op.f("ck_entries_state"),
        ),
        sa.CheckConstraint("received <= size", name=op.f("ck_entries_received")),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name=op.f("fk_entries_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sa.UniqueConstraint("owner_id", "claim_digest", name=op.f("uq_entries_owner_id_claim_digest")),
    )
    op.create_index(op.f("ix_entries_claim_digest"), "entries", ["claim_digest"], unique=False)
    op.create_index(op.f("ix_entries_state_queued_at"), "entries", ["state", "queued_at"], unique=False)
    op.create_table(
        "matches",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("upper_id", sa.String(length=32), nullable=True),
        sa.Column("lower_id", sa.String(length=32), nullable=True),
        sa.Column("winner_id", sa.String(length=32), nullable=True),
        sa.Column("decided_by", sa.String(length=8), nullable=True),
        sa.Column("poll", sa.Integer(), nullable=False),
        sa.Column("poll_round", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=True),
        sa.Column("closes_at", sa.Double(), nullable=True),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("decided_poll", sa.Integer(), nullable=True),
        sa.Column("decided_upper_id", sa.String(length=32), nullable=True),
        sa.Column("decided_lower_id", sa.String(length=32), nullable=True),
        sa.Column("decided_winner_id", sa.String(length=32), nullable=True),
        sa.Column("decision", sa.String(length=8), nullable=True),
        sa.Column("tallies", sa.JSON(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'open', 'closed')", name=op.f("ck_matches_state")),
        sa.ForeignKeyConstraint(["decided_lower_id"], ["entries.id"], name=op.f("fk_matches_decided_lower_id")),
        sa.ForeignKeyConstraint(["decided_upper_id"], ["entries.id"], name=op.f("fk_matches_decided_upper_id")),
        sa.ForeignKeyConstraint(["decided_winner_id"], ["entries.id"], name=op.f("fk_matches_decided_winner_id")),
        sa.ForeignKeyConstraint(["lower_id"], ["entries.id"], name=op.f("fk_matches_lower_id")),
        sa.ForeignKeyConstraint(["upper_id"], ["entries.id"], name=op.f("fk_matches_upper_id")),
        sa.ForeignKeyConstraint(["winner_id"], ["entries.id"], name=op.f("fk_matches_winner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_matches")),
        sa.UniqueConstraint("position", name=op.f("uq_matches_position")),
    )
    op.create_table(
        "verifications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.id"], name=op.f("fk_verifications_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verifications")),
        sa.UniqueConstraint("entry_id", "attempt", name=op.f("uq_verifications_entry_id_attempt")),
    )
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("match_id", sa.String(length=12), nullable=False),
        sa.Column("poll", sa.Integer(), nullable=False),
        sa.Column("poll_round", sa.Integer(), nullable=False),
        sa.Column("voter_id", sa.String(length=64), nullable=False),
        sa.Column("choice", sa.String(length=5), nullable=False),
        sa.Column("shown_left", sa.String(length=5), nullable=False),
        sa.Column("cast_at", sa.Double(), nullable=False),
        sa.CheckConstraint("choice IN ('upper', 'lower')", name=op.f("ck_votes_choice")),
        sa.CheckConstraint("shown_left IN ('upper', 'lower')", name=op.f("ck_votes_shown_left")),
        sa.ForeignKeyConstraint(["match_id"], ["matches.id"], name=op.f("fk_votes_match_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_votes")),
        sa.UniqueConstraint(
            "match_id", "poll", "poll_round", "voter_id", name=op.f("uq_votes_match_id_poll_poll_round_voter_id")
        ),
    )
    version = op.create_table(
        "version",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_version_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
    )
    op.bulk_insert(version, [{"id": 1, "number": 0}])
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER log_no_{act.lower()} BEFORE {act} ON log "
                "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
            )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the log is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log "
            "FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()"
        )
