"""The draw is decided by a salt and a word that are fixed one after the other, and by the ids of the entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the salt and the digest of the draw. A bracket drawn before goes on by the word alone."""
    for name in ("draw_salt", "draw_digest"):
        op.add_column("events", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE events SET draw_digest = draw_word WHERE drawn_at IS NOT NULL")
    op.execute("UPDATE events SET draw_word = '' WHERE drawn_at IS NULL")
