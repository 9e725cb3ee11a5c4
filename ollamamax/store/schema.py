"""The tables, once for every dialect.

Times are unix seconds (UTC) in double precision: exact to the microsecond, the same order and the same range queries on
SQLite and PostgreSQL, and equal after a round trip. Whoever shows one to a person converts it there. Durations are
seconds, NULL where they are unknown, never 0. Text is bounded here, because model names come from clients and nodes.

The metadata is what the migrations arrive at: a change here needs a new file in `migrations/versions`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Double, Index, Integer, MetaData, String, Table

from ollamamax.store.text import TEXT_LIMIT

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, String(TEXT_LIMIT))


def _seconds(name: str) -> Column[float]:
    return Column(name, Double())


requests = Table(
    "requests",
    metadata,
    Column("id", String(TEXT_LIMIT), primary_key=True),
    _text("client_request_id"),
    Column("started_at", Double(), nullable=False),
    Column("finished_at", Double()),
    _text("outcome"),
    Column("status", Integer()),
    _text("error_code"),
    _text("operation"),
    Column("endpoint", String(TEXT_LIMIT), nullable=False),
    _text("node"),
    _text("model"),
    _text("requested_model"),
    Column("input_tokens", BigInteger()),
    Column("output_tokens", BigInteger()),
    Column("cached_tokens", BigInteger()),
    Column("attempts", Integer(), nullable=False),
    _text("client_address"),
    _text("key_id"),
    _text("owner"),
    _text("end_user"),
    _seconds("queue_seconds"),
    _seconds("slot_wait_seconds"),
    _seconds("load_seconds"),
    _seconds("prompt_seconds"),
    _seconds("output_seconds"),
    _seconds("first_token_seconds"),
    _seconds("duration_seconds"),
    _seconds("node_seconds"),
    _text("instance"),
)
"""One row per inference request: `started` when it is sent to a node, final once `finished_at` is there."""

Index(None, requests.c.started_at, requests.c.id)
Index(None, requests.c.finished_at, requests.c.id)
# Of unfinished rows alone on PostgreSQL too, as its migration says; to say so here would load that dialect everywhere.
Index("ix_requests_unfinished", requests.c.instance, sqlite_where=requests.c.finished_at.is_(None))

usage_daily = Table(
    "usage_daily",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("day", Date(), nullable=False),
    _text("model"),
    _text("node"),
    _text("owner"),
    _text("end_user"),
    _text("operation"),
    _text("outcome"),
    Column("requests", BigInteger(), nullable=False),
    Column("input_tokens", BigInteger(), nullable=False),
    Column("output_tokens", BigInteger(), nullable=False),
    Column("cached_tokens", BigInteger(), nullable=False),
    Column("node_seconds", Double(), nullable=False),
)
"""What was used by requests whose rows are gone: sums of a day in UTC, a row for all that are equal but for numbers.

The id is a digest of the day and the six texts, because together they are too long for an index of PostgreSQL's.
"""

Index(None, usage_daily.c.day)

instances = Table(
    "instances",
    metadata,
    Column("id", String(TEXT_LIMIT), primary_key=True),
    Column("hostname", String(TEXT_LIMIT), nullable=False),
    Column("pid", BigInteger(), nullable=False),
    Column("version", String(TEXT_LIMIT), nullable=False),
    Column("started_at", Double(), nullable=False),
    Column("heartbeat_at", Double(), nullable=False),
)
"""The processes that use this database now; both times are the database's own clock."""

nodes = Table(
    "nodes",
    metadata,
    Column("name", String(TEXT_LIMIT), primary_key=True),
    Column("url", String(TEXT_LIMIT), nullable=False),
    Column("simulated", Boolean(), nullable=False),
    _text("version"),
    Column("first_seen", Double(), nullable=False),
    Column("last_seen", Double(), nullable=False),
)
"""Every node that was ever in the fleet, by its configured name."""

models_seen = Table(
    "models_seen",
    metadata,
    Column("node", String(TEXT_LIMIT), primary_key=True),
    Column("model", String(TEXT_LIMIT), primary_key=True),
    _text("digest"),
    Column("first_seen", Double(), nullable=False),
    Column("last_seen", Double(), nullable=False),
)
"""Which node had which model (normalised name), and when it was last seen there."""

Index(None, models_seen.c.last_seen)
