"""Instances: which process took a request, and which processes are alive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = sa.String(512)


def upgrade() -> None:
    """Adds the table, the column, and an index of the rows that are not finished, which are few."""
    op.create_table(
        "instances",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("hostname", _TEXT, nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
    )
    op.add_column("requests", sa.Column("instance", _TEXT))
    unfinished = sa.text("finished_at IS NULL")
    op.create_index(
        "ix_requests_unfinished", "requests", ["instance"], sqlite_where=unfinished, postgresql_where=unfinished
    )
