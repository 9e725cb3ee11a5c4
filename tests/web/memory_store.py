"""A store that keeps everything in lists, as a server in memory uses it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.threadpool import ThreadPool

from ollamamax.errors import LedgerFull
from ollamamax.store.inventory import SeenModel, SeenNode
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.queries import Selection
from ollamamax.store.size import StoreSize
from ollamamax.store.statistics import PoolStatistics
from ollamamax.store.usage import Key, Sums, Usage, UsageQuery


class MemoryLedger:
    """Rows in a list each, as they come; `fault` makes reading fail, `is_full` has requests refused.

    It keeps what was asked for; `used` is the answer to questions about usage.
    """

    def __init__(self) -> None:
        self.begun: list[LedgerRow] = []
        self.ended: list[LedgerRow] = []
        self.selected: list[Selection] = []
        self.queried: list[UsageQuery] = []
        self.used: dict[Key, Sums] = {}
        self.fault: Exception | None = None
        self.pending = self.dropped = 0
        self.kept_bytes: int | None = None
        self.is_full = False

    def started(self, row: LedgerRow) -> None:
        assert not row.is_final
        if self.is_full:
            raise LedgerFull
        self.begun.append(row)

    def finished(self, row: LedgerRow) -> None:
        assert row.is_final
        self.ended.append(row)

    def requests(self, limit: int, offset: int, selection: Selection) -> Deferred[tuple[list[LedgerRow], int]]:
        if self.fault is not None:
            return fail(self.fault)
        self.selected.append(selection)
        newest = self.ended[::-1]
        return succeed((newest[offset : offset + limit], len(newest)))

    def usage(self, query: UsageQuery, render: Callable[[Usage], bytes]) -> Deferred[bytes]:
        if self.fault is not None:
            return fail(self.fault)
        self.queried.append(query)
        return succeed(render(Usage(since=query.since, until=query.until, by=query.by, sums=self.used)))

    def request(self, identifier: str) -> Deferred[LedgerRow | None]:
        if self.fault is not None:
            return fail(self.fault)
        return succeed(next((row for row in self.ended if row.id == identifier), None))


class MemoryInventory:
    """What was recorded, and `remembered` of former days; `fault` makes reading fail."""

    def __init__(self) -> None:
        self.remembered: set[str] = set()
        self.fault: Exception | None = None
        self.nodes: list[SeenNode] = []
        self.models: list[SeenModel] = []

    def record(self, nodes: list[SeenNode], models: list[SeenModel]) -> Deferred[None]:
        self.nodes += nodes
        self.models += models
        return succeed(None)

    def models_seen_since(self, moment: float) -> Deferred[frozenset[str]]:
        if self.fault is not None:
            return fail(self.fault)
        return succeed(frozenset(self.remembered | {model.model for model in self.models if model.seen_at >= moment}))


class MemoryStore:
    """A store that keeps all in memory and takes nothing once it is closed."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.inventory = MemoryInventory()
        self.statistics = PoolStatistics("sqlite", 4)
        self.thread_pools = {"store-writer": ThreadPool(0, 1)}
        self.size = StoreSize(4096, None)
        self.closed_after: int | None = None

    def close(self) -> Deferred[None]:
        """Notes how many rows had come by then."""
        self.closed_after = len(self.ledger.ended)
        return succeed(None)
