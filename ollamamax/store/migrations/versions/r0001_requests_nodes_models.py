"""The first schema: requests, nodes, models seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TEXT = sa.String(512)


def upgrade() -> None:
    """Makes the three tables and their indexes."""
    op.create_table(
        "requests",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("client_request_id", _TEXT),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.Column("outcome", _TEXT),
        sa.Column("status", sa.Integer()),
        sa.Column("error_code", _TEXT),
        sa.Column("operation", _TEXT),
        sa.Column("endpoint", _TEXT, nullable=False),
        sa.Column("node", _TEXT),
        sa.Column("model", _TEXT),
        sa.Column("requested_model", _TEXT),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("cached_tokens", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("client_address", _TEXT),
        sa.Column("key_id", _TEXT),
        sa.Column("owner", _TEXT),
        sa.Column("end_user", _TEXT),
        sa.Column("queue_seconds", sa.Double()),
        sa.Column("slot_wait_seconds", sa.Double()),
        sa.Column("load_seconds", sa.Double()),
        sa.Column("prompt_seconds", sa.Double()),
        sa.Column("output_seconds", sa.Double()),
        sa.Column("first_token_seconds", sa.Double()),
        sa.Column("duration_seconds", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
    op.create_index("ix_requests_started_at_id", "requests", ["started_at", "id"])
    op.create_table(
        "nodes",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("url", _TEXT, nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("version", _TEXT),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_nodes"),
    )
    op.create_table(
        "models_seen",
        sa.Column("node", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("digest", _TEXT),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("node", "model", name="pk_models_seen"),
    )
    op.create_index("ix_models_seen_last_seen", "models_seen", ["last_seen"])
