"""What the connections and queries of the store amount to: one object, read by `/metrics` and `/metrics.json` alike.

**What counts as a query.** One statement sent for the program's own tables, whatever the number of rows it carries
(`select`, `insert`, `update`, `delete` of a table), and the `begin` and `commit` of a write, whose table is `none`:
there the disk is waited for, and there a locked or full database shows. So is the question for PostgreSQL's size, a
`select` from `none`. Not counted: PRAGMAs, savepoints, rollbacks,
the `begin` and `commit` of a read, and the migrations, which run before anybody can ask. So both labels come from
closed sets.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import attrs
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CLOSED_BY_ERROR = "error"
CLOSED_BY_SHUTDOWN = "shutdown"
NO_TABLE = "none"

QueryKey = tuple[str, str, str]
"""(operation, table, status), status being `ok` or `error`."""


class QueryObserver(Protocol):
    """Hears of every query. Called on the store's own threads, so it is quick and safe under concurrency."""

    def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
        """One query has ended, `seconds` after it was sent, with all its rows."""


@attrs.frozen(kw_only=True)
class DatabaseSnapshot:
    """The store's connections and queries at one moment.

    Attributes:
        max_open: connections that there may be.
        open: connections that there are: `in_use` and `idle` together.
        in_use: connections that work for somebody now.
        idle: connections that are open and do nothing.
        wait_count: how often somebody found all connections in use and waited for one.
        wait_duration_seconds: how long they waited, summed when they got theirs.
        closed: connections closed, by reason: `error` (it broke), `shutdown`.
        errors_total: queries and connection attempts that failed.
        dialect: `sqlite` or `postgresql`.
        queries: queries by (operation, table, status).
    """

    max_open: int
    open: int
    in_use: int
    idle: int
    wait_count: int
    wait_duration_seconds: float
    closed: Mapping[str, int]
    errors_total: int
    dialect: str
    queries: Mapping[QueryKey, int]

    @property
    def queries_total(self) -> int:
        """Queries of every operation, table and status."""
        return sum(self.queries.values())

    def as_json(self) -> dict[str, int | float | str | dict[str, int]]:
        """The `database` member of `/metrics.json`; `connections` is `open`, under the name it always had there."""
        return {
            "connections": self.open,
            "queries_total": self.queries_total,
            "max_open": self.max_open,
            "open": self.open,
            "in_use": self.in_use,
            "idle": self.idle,
            "wait_count": self.wait_count,
            "wait_duration_seconds": self.wait_duration_seconds,
            "closed": dict(self.closed),
            "errors_total": self.errors_total,
            "dialect": self.dialect,
        }


class PoolStatistics:
    """Counts, under one lock, what the pools of one store report; several pools are summed.

    Args:
        dialect: `sqlite` or `postgresql`.
        max_open: connections that the pools may open together.
        observer: hears of every query besides.
        seconds: a monotonic clock.
    """

    _log = Logger()

    def __init__(
        self,
        dialect: str,
        max_open: int,
        observer: QueryObserver | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dialect = dialect
        self._max_open = max_open
        self._observer = observer
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open = 0
        self._in_use = 0
        self._wait_count = 0
        self._wait_duration_seconds = 0.0
        self._closed = {CLOSED_BY_ERROR: 0, CLOSED_BY_SHUTDOWN: 0}
        self._errors_total = 0
        self._queries: dict[QueryKey, int] = {}

    def snapshot(self) -> DatabaseSnapshot:
        """All numbers at one moment; may be called on any thread, and waits for no query."""
        with self._lock:
            return DatabaseSnapshot(
                max_open=self._max_open,
                open=self._open,
                in_use=self._in_use,
                idle=self._open - self._in_use,
                wait_count=self._wait_count,
                wait_duration_seconds=self._wait_duration_seconds,
                closed=MappingProxyType(dict(self._closed)),
                errors_total=self._errors_total,
                dialect=self._dialect,
                queries=MappingProxyType(dict(self._queries)),
            )

    def as_json(self) -> dict[str, int | float | str | dict[str, int]]:
        """The present snapshot's `as_json()`."""
        return self.snapshot().as_json()

    def opened(self) -> None:
        """A connection to the database was made."""
        with self._lock:
            self._open += 1

    def closed(self, reason: str) -> None:
        """A connection was closed, for one of the two reasons."""
        with self._lock:
            self._open -= 1
            self._closed[reason] += 1

    def checked_out(self, waited_seconds: float | None) -> None:
        """Somebody got a connection; `waited_seconds` is None where one was free at once."""
        with self._lock:
            self._in_use += 1
            if waited_seconds is not None:
                self._wait_count += 1
                self._wait_duration_seconds += waited_seconds

    def checked_in(self) -> None:
        """He gave it back."""
        with self._lock:
            self._in_use -= 1

    def connect_failed(self) -> None:
        """No connection could be made."""
        with self._lock:
            self._errors_total += 1

    @contextmanager
    def query(self, operation: str, table: str) -> Iterator[None]:
        """Counts and times one query: what runs inside the `with`."""
        began = self._seconds()
        try:
            yield
        except BaseException:
            self._count(operation, table, "error", self._seconds() - began)
            raise
        self._count(operation, table, "ok", self._seconds() - began)

    def _count(self, operation: str, table: str, status: str, seconds: float) -> None:
        key = (operation, table, status)
        with self._lock:
            self._queries[key] = self._queries.get(key, 0) + 1
            if status == "error":
                self._errors_total += 1
        if self._observer is None:
            return
        try:
            self._observer.observe_query(operation, table, status, seconds)
        except Exception:  # noqa: BLE001 - an observer's defect costs its own sample only, never the query
            self._log.failure("an observer of queries failed")
