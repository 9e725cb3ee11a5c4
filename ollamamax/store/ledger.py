"""The account of every inference request.

Rows are buffered and written in groups by one writer, because a group costs the disk one flush where each row alone
would cost it one each. A row is on its way to the disk at most 50 ms after it was taken, or after the write before it
was done; a killed process loses no more than that. Groups that can be written nowhere stay in memory, up to a number of
rows, and are tried again at growing intervals; beyond, rows are dropped and counted, or no request is begun any more.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ollamamax.errors import LedgerFull
from ollamamax.store.backlog import Backlog
from ollamamax.store.destinations import DatabaseRows, Destination, Runner, reason_of
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.queries import ALL, Selection, read_row, read_rows
from ollamamax.store.spooled_rows import SpooledRows
from ollamamax.store.usage import Usage, UsageQuery, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from ollamamax.store.pool import Work
    from ollamamax.store.spool import Spool

__all__ = ["Ledger", "LedgerRow"]

GROUP_SECONDS = 0.05
BATCH_ROWS = 500
CAPACITY_ROWS = 10_000
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0

T = TypeVar("T")


class Ledger:
    """Takes rows at any time, and answers from the database.

    Args:
        writer: runs what writes, one unit at a time.
        reader: runs what reads.
        clock: the clock of the groups and of the retries.
        instance: whose rows these are.
        capacity: how many rows may wait in memory.
        refuses: whether no request is begun whose row would have no room; else such a row is dropped.
        spool: where rows go that the database does not take; None to keep them in memory.
        observe: hears of each group that was written to the database, how many seconds it took.
    """

    _log = Logger()

    def __init__(
        self,
        writer: Runner,
        reader: Runner,
        clock: IReactorTime,
        *,
        instance: str | None = None,
        capacity: int = CAPACITY_ROWS,
        refuses: bool = False,
        spool: Spool | None = None,
        observe: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._destination: Destination = DatabaseRows(writer, clock, instance=instance, observe=observe)
        if spool is not None:
            self._destination = SpooledRows(self._destination, spool, clock)
        self._reader = reader
        self._clock = clock
        self._backlog = Backlog(capacity)
        self._refuses = refuses
        self._timer: IDelayedCall | None = None
        self._is_writing = False
        self._is_closed = False
        self._retry_seconds: float | None = None  # None while writing works
        self._dropped_before_outage = 0
        self._flushes: list[tuple[int, Deferred[None]]] = []
        self._attempts: list[tuple[int, Deferred[None]]] = []

    @property
    def pending(self) -> int:
        """Rows in memory and in the spool, not known to be in the database."""
        return len(self._backlog) + self._destination.pending

    @property
    def dropped(self) -> int:
        """Rows lost since the start: no room while the database was away, refused by it, or not to be read again."""
        return self._backlog.dropped + self._destination.dropped

    @property
    def kept_bytes(self) -> int | None:
        """What the spool takes on the disk; None where there is none."""
        return self._destination.kept_bytes

    def start(self) -> None:
        """Begins to write what dead processes have left in the spool."""
        self._destination.start()

    def started(self, row: LedgerRow) -> None:
        """A request is about to be sent to a node.

        Raises:
            LedgerFull: it must not be, because its account could not be kept.
        """
        if self._refuses and not self._backlog.has_room:
            raise LedgerFull
        self._take(row)

    def finished(self, row: LedgerRow) -> None:
        """A request is over; its row is complete, and replaces the started one whichever comes first."""
        if not row.is_final:
            row = attrs.evolve(row, finished_at=row.started_at + (row.duration_seconds or 0.0))
        self._take(row)

    def flush(self) -> Deferred[None]:
        """Fires once every row taken so far is committed, in the spool, or dropped: after an outage if need be."""
        return self._wait(self._flushes)

    def close(self) -> Deferred[None]:
        """Writes what is there; what cannot be written at once is dropped and counted, as is all that comes later.

        Returns:
            Fires when nothing is left, but for what is in the spool.
        """
        self._is_closed = True
        flushed = self.flush()
        if not self._is_writing and self._backlog.waiting:
            self._write()
        return flushed.addCallback(lambda _: self._destination.close())

    def requests(
        self, limit: int, offset: int, selection: Selection = ALL
    ) -> Deferred[tuple[list[LedgerRow], int | None]]:
        """A page of rows, the newest first, and how many there are in all, as `read_rows` gives them.

        It holds what was taken before the call, unless the database cannot be written just now.

        Returns:
            Fails with StoreUnavailable where the database cannot be read.
        """
        return self._read(partial(read_rows, limit=limit, offset=offset, selection=selection))

    def request(self, identifier: str) -> Deferred[LedgerRow | None]:
        """The row of one request, None where there is none; as fresh as `requests`, and it fails alike."""
        return self._read(partial(read_row, identifier=identifier))

    def usage(self, query: UsageQuery, render: Callable[[Usage], T]) -> Deferred[T]:
        """What was used, as fresh as `requests`, and it fails alike.

        Args:
            query: of what.
            render: makes of it what is wanted; called on one of the store's threads, because it may be long.
        """
        return self._read(lambda transaction: render(read_usage(transaction, query)))

    def _read(self, work: Work[T]) -> Deferred[T]:
        tried: Deferred[None] = succeed(None) if self._retry_seconds is not None else self._wait(self._attempts)
        return tried.addCallback(lambda _: self._reader.run(work))

    def _wait(self, waiters: list[tuple[int, Deferred[None]]]) -> Deferred[None]:
        """A Deferred for `waiters`, to fire once all that was taken so far has left (or was tried)."""
        if not len(self._backlog):
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        waiters.append((self._backlog.accepted, waiter))
        if not self._is_writing and self._retry_seconds is None:
            self._write()
        return waiter

    def _take(self, row: LedgerRow) -> None:
        self._backlog.add(row)
        if self._is_closed:
            self._backlog.drop_all()
        elif self._is_writing or self._retry_seconds is not None:
            return  # the end of the write, or the retry, sees to it
        elif self._backlog.waiting >= BATCH_ROWS:
            self._write()
        elif self._timer is None and self._backlog.waiting:
            self._timer = self._clock.callLater(GROUP_SECONDS, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        self._is_writing = True
        self._destination.write(self._backlog.take(BATCH_ROWS)).addCallbacks(self._written, self._failed)

    def _written(self, refused: int) -> None:
        self._is_writing = False
        self._backlog.written(refused)
        if refused:
            self._log.error("ledger: the database refused {count} rows, they are dropped", count=refused)
        recovered = self._retry_seconds is not None
        if recovered:
            self._retry_seconds = None
            lost = self._backlog.dropped - self._dropped_before_outage
            self._log.warn("ledger: the database can be written again; {lost} rows were dropped", lost=lost)
        self._fire(self._flushes)
        self._fire(self._attempts)
        self._go_on(at_once=recovered)

    def _go_on(self, *, at_once: bool) -> None:
        if self._is_writing or not self._backlog.waiting:  # a waiter just fired may have begun the next write
            return
        if at_once or self._is_closed or self._flushes or self._attempts or self._backlog.waiting >= BATCH_ROWS:
            self._write()
        elif self._timer is None:
            self._timer = self._clock.callLater(GROUP_SECONDS, self._write)

    def _failed(self, failure: Failure) -> None:
        self._is_writing = False
        self._backlog.returned()
        if self._retry_seconds is None:
            self._dropped_before_outage = self._backlog.dropped
            self._retry_seconds = FIRST_RETRY_SECONDS
            self._log.error(
                "ledger: the database cannot be written ({reason}); rows are kept in memory and tried again",
                reason=reason_of(failure),
            )
        else:
            self._retry_seconds = min(self._retry_seconds * 2, LAST_RETRY_SECONDS)
        if self._is_closed:
            lost = self._backlog.waiting
            self._backlog.drop_all()
            self._log.error("ledger: {lost} rows could not be written and are dropped", lost=lost)
        else:
            self._timer = self._clock.callLater(self._retry_seconds, self._write)
        self._fire(self._flushes)
        self._fire(self._attempts, all_of_them=True)

    def _fire(self, waiters: list[tuple[int, Deferred[None]]], *, all_of_them: bool = False) -> None:
        oldest = self._backlog.oldest
        due = [entry for entry in waiters if all_of_them or oldest is None or entry[0] < oldest]
        for entry in due:
            waiters.remove(entry)
        for _, waiter in due:
            waiter.callback(None)
