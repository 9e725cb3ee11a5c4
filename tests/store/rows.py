"""Rows of the ledger as tests make them, and what a database does with one unit of work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.python.failure import Failure

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.ledger_statements import write_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.databases import Database
    from twisted.internet.defer import Deferred

    from ollamamax.store.pool import ConnectionPool, Work

T = TypeVar("T")

DAY = 86400.0
TODAY = 20_000 * DAY
"""A midnight in UTC, 2024-10-04."""

FULL = LedgerRow(
    id="a",
    client_request_id="c",
    started_at=1.25,
    finished_at=1700000000.123456,
    outcome="stream_error",
    status=200,
    error_code="node_failed",
    operation="chat",
    endpoint="/api/chat",
    node="desk",
    model="llama:latest",
    requested_model="Llama",
    input_tokens=2**40,
    output_tokens=5,
    cached_tokens=0,
    attempts=2,
    client_address="192.0.2.1",
    key_id="k",
    owner="o",
    end_user="u",
    queue_seconds=0.5,
    slot_wait_seconds=0.25,
    load_seconds=1.5,
    prompt_seconds=0.125,
    output_seconds=2.5,
    first_token_seconds=3.5,
    duration_seconds=4.5,
    node_seconds=4.25,
    instance="i",
)
"""A row in which no column is left out; a new one belongs in here."""


def finished_row(identifier: str, at: float, **columns: Any) -> LedgerRow:
    """A request that was over after two seconds, on a node."""
    known: dict[str, Any] = {"operation": "chat", "node": "desk", "model": "tiny:latest", "outcome": "success"}
    known |= {"status": 200, "input_tokens": 10, "output_tokens": 5, "node_seconds": 1.5, "duration_seconds": 2.0}
    return LedgerRow(
        **{"id": identifier, "started_at": at, "finished_at": at + 2.0, "endpoint": "/api/chat", **known, **columns}
    )


def done(pool: ConnectionPool, work: Work[T]) -> T:
    """What a unit of work returns; its failure is raised."""
    results: list[T | Failure] = []
    deferred: Deferred[T] = pool.run(work)
    deferred.addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    assert not isinstance(result, Failure)
    return result


def fill(database: Database, rows: Sequence[LedgerRow]) -> None:
    """Writes rows."""
    assert done(database.writer, partial(write_rows, rows=rows)) == 0
