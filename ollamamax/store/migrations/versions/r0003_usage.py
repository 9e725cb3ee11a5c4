"""Usage: what the ledger sums for ever, how long a node had a request, and the order in which requests ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXT = sa.String(512)


def upgrade() -> None:
    """Adds a table, a column and an index."""
    op.create_table(
        "usage_daily",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model", _TEXT),
        sa.Column("node", _TEXT),
        sa.Column("owner", _TEXT),
        sa.Column("end_user", _TEXT),
        sa.Column("operation", _TEXT),
        sa.Column("outcome", _TEXT),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("node_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_daily"),
    )
    op.create_index("ix_usage_daily_day", "usage_daily", ["day"])
    op.add_column("requests", sa.Column("node_seconds", sa.Double()))
    op.create_index("ix_requests_finished_at_id", "requests", ["finished_at", "id"])
