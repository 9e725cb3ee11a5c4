"""State of other rooms, read at scrape: the database's pool, the ledger, attempts, the build.

Nothing is mirrored into gauges, so nothing can drift. Each function copies what it is given, on the reactor's thread,
and gives a callable that makes families of the copy. The other rooms are known as Protocols only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from ollamamax.metrics.catalogue import (
    BUILD_INFO,
    DB_CLOSED,
    DB_IDLE,
    DB_IN_USE,
    DB_MAX_OPEN,
    DB_OPEN,
    DB_QUERIES,
    DB_WAIT_DURATION,
    DB_WAITS,
    LEDGER_DROPPED,
    LEDGER_PENDING,
    LEDGER_SPOOL_BYTES,
    NODE_REQUESTS,
    RETRIES,
    STORE_FREE,
    STORE_SIZE,
    Metric,
)
from ollamamax.metrics.families import Families, Family, value, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATABASE_METRICS = (
    DB_MAX_OPEN,
    DB_OPEN,
    DB_IN_USE,
    DB_IDLE,
    DB_WAITS,
    DB_WAIT_DURATION,
    DB_CLOSED,
    DB_QUERIES,
)
LEDGER_METRICS = (LEDGER_PENDING, LEDGER_SPOOL_BYTES, LEDGER_DROPPED)
SIZE_METRICS = (STORE_SIZE, STORE_FREE)
ATTEMPT_METRICS = (NODE_REQUESTS, RETRIES)
BUILD_METRICS = (BUILD_INFO,)


class DatabaseState(Protocol):
    """The statistics of the database's pool at one moment; the object that `/metrics.json` shows too."""

    @property
    def max_open(self) -> int:
        """How many connections may be open."""

    @property
    def open(self) -> int:
        """How many are."""

    @property
    def in_use(self) -> int:
        """How many of them somebody has."""

    @property
    def idle(self) -> int:
        """How many of them nobody has."""

    @property
    def wait_count(self) -> int:
        """Checkouts that had to wait."""

    @property
    def wait_duration_seconds(self) -> float:
        """For how long, together."""

    @property
    def closed(self) -> Mapping[str, int]:
        """Connections closed, by reason."""

    @property
    def queries(self) -> Mapping[tuple[str, str, str], int]:
        """Queries by operation, table and status."""


class LedgerState(Protocol):
    """What the ledger has still to write, and what it could not."""

    @property
    def pending(self) -> int:
        """Rows that wait."""

    @property
    def kept_bytes(self) -> int | None:
        """What the spool takes on the disk; None where there is none."""

    @property
    def dropped(self) -> int:
        """Rows that were given up."""


class SizeState(Protocol):
    """How much space the database takes."""

    @property
    def bytes(self) -> int | None:
        """What it takes; None where that is not known."""

    @property
    def free_bytes(self) -> int | None:
        """What is left for it; None where that is not known."""


class AttemptState(Protocol):
    """What became of the attempts of inference requests since the start."""

    @property
    def attempts(self) -> Mapping[tuple[str, str], int]:
        """Attempts that ended, by node and outcome."""

    @property
    def retries(self) -> Mapping[str, int]:
        """Retries by reason."""


def database(state: DatabaseState) -> Families:
    """The families of the database's pool."""
    return partial(_database, state, tuple(state.closed.items()), tuple(state.queries.items()))


def ledger(state: LedgerState) -> Families:
    """The families of the ledger."""
    return partial(_ledger, state.pending, state.kept_bytes, state.dropped)


def size(state: SizeState) -> Families:
    """The families of the database's size."""
    return partial(_known, ((STORE_SIZE, state.bytes), (STORE_FREE, state.free_bytes)))


def attempts(state: AttemptState) -> Families:
    """The families of attempts and retries."""
    return partial(_attempts, tuple(state.attempts.items()), tuple(state.retries.items()))


def build(version: str) -> Families:
    """The family that tells the server's version."""
    return lambda: [values(BUILD_INFO, [((version,), 1)])]


def _database(
    state: DatabaseState,
    closed: tuple[tuple[str, int], ...],
    queries: tuple[tuple[tuple[str, str, str], int], ...],
) -> Iterable[Family]:
    yield value(DB_MAX_OPEN, state.max_open)
    yield value(DB_OPEN, state.open)
    yield value(DB_IN_USE, state.in_use)
    yield value(DB_IDLE, state.idle)
    yield value(DB_WAITS, state.wait_count)
    yield value(DB_WAIT_DURATION, state.wait_duration_seconds)
    # Those that the server's end closes are closed after its last scrape.
    yield values(DB_CLOSED, (((reason,), count) for reason, count in closed if reason != "shutdown"))
    yield values(DB_QUERIES, queries)


def _ledger(pending: int, kept_bytes: int | None, dropped: int) -> Iterable[Family]:
    yield value(LEDGER_PENDING, pending)
    yield from _known(((LEDGER_SPOOL_BYTES, kept_bytes),))
    yield value(LEDGER_DROPPED, dropped)


def _known(figures: Iterable[tuple[Metric, float | None]]) -> Iterable[Family]:
    """Those figures that are known; of the others there is no sample."""
    for metric, figure in figures:
        yield values(metric, () if figure is None else (((), figure),))


def _attempts(ended: tuple[tuple[tuple[str, str], int], ...], retries: tuple[tuple[str, int], ...]) -> Iterable[Family]:
    yield values(NODE_REQUESTS, ended)
    yield values(RETRIES, (((reason,), count) for reason, count in retries))
