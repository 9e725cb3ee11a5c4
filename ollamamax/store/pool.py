"""Connections on threads of their own.

A unit of work is a function of a `Transaction`. It waits, where it must, for one of the pool's connections, runs on one
of the pool's threads, and its result arrives on the reactor's thread. There are as many threads as connections, so to
wait for a thread is to wait for a connection: that is the wait that is counted. The reactor's own thread pool is left
alone, because look-ups of names need it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import attrs
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from ollamamax.store.failures import StoreUnavailable, reason_of
from ollamamax.store.statistics import CLOSED_BY_ERROR, CLOSED_BY_SHUTDOWN, NO_TABLE, PoolStatistics
from ollamamax.store.transaction import Transaction

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry
    from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads

_GOING_SECONDS = 1.0

T = TypeVar("T")
Work = Callable[[Transaction], T]


@attrs.define(eq=False)
class _Unit:
    """A unit of work that was taken.

    Attributes:
        result: what its caller has.
        timer: gives it up; None where it may take any time.
        is_given_up: its caller was told that it failed. Read and written under the pool's lock, as is `connection`.
        connection: the driver's connection while the work is using it.
    """

    result: Deferred[Any]
    timer: IDelayedCall | None = None
    is_given_up: bool = False
    connection: DBAPIConnection | None = None


class Threads(Protocol):
    """What is used of Twisted's ThreadPool."""

    def start(self) -> None:
        """Allows threads to be made."""

    def stop(self) -> None:
        """Waits for the threads and ends them."""

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, T | Failure], object], work: Callable[[], T], /
    ) -> None:
        """Runs `work` on a thread, and there `on_result` with its success and its result."""


class ConnectionPool:
    """A bounded number of connections of one engine.

    Args:
        engine: makes the connections; its own pool holds at least `size`.
        reactor: where results arrive; also the clock (IReactorTime).
        size: how many connections, and threads.
        statistics: told of everything.
        writes: whether units of work write: then their `begin` and `commit` are counted as queries.
        is_broken: whether a connection that failed like this is to be thrown away.
        patience_seconds: how long a unit of work may take, from `run` to its result; None for any time.
        cut: ends a connection, on the reactor's thread, while another one waits for it.
        threads: for tests; made here where it is not given, and idle until the first unit of work.
        seconds: a monotonic clock.
    """

    _log = Logger()

    def __init__(
        self,
        engine: Engine,
        *,
        reactor: IReactorFromThreads,
        size: int,
        statistics: PoolStatistics,
        writes: bool,
        is_broken: Callable[[DBAPIError], bool],
        patience_seconds: float | None = None,
        cut: Callable[[DBAPIConnection], object] = lambda _: None,
        threads: Threads | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._reactor = reactor
        self._size = size
        self._statistics = statistics
        self._writes = writes
        self._is_broken = is_broken
        self._patience_seconds = patience_seconds
        self._cut = cut
        self._clock = IReactorTime(reactor)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._unfinished = 0
        self._undelivered = 0
        self._abandoned = 0  # given up, with a thread that has not come back yet
        self._closing: list[Deferred[None]] = []
        self._going: IDelayedCall | None = None
        self._is_ending = False
        self._is_closed = False
        self._threads = threads if threads is not None else _threads(size, "store-writer" if writes else "store-reader")
        self._threads.start()
        watch(engine, statistics, lambda: self._is_ending)

    @property
    def thread_pool(self) -> ThreadPool:
        """Its threads, to be counted, not to be used (what tests give in their place cannot be counted)."""
        return cast("ThreadPool", self._threads)

    def run(self, work: Work[T]) -> Deferred[T]:
        """Runs a unit of work in one transaction, and commits it.

        Args:
            work: called once, on a thread; what it returns must not need the connection any more.

        Returns:
            Fires with what `work` returned, once it is committed; fails with StoreUnavailable where the database
            failed, and with `work`'s own exception where it raised one. Nothing of it has happened then, unless the
            database fell silent in the middle of its commit: so work that writes is work that can be done twice.
            Cancelling it gives the result up; the work itself is done all the same.
        """
        if self._closing:
            return fail(StoreUnavailable(detail="the store is closed"))
        with self._lock:
            waits = self._unfinished >= self._size
            self._unfinished += 1
        self._undelivered += 1
        result: Deferred[T] = Deferred()
        unit = _Unit(result)
        if self._patience_seconds is not None:
            unit.timer = self._clock.callLater(self._patience_seconds, self._give_up, unit)
        submitted = self._seconds() if waits else None
        self._threads.callInThreadWithCallback(
            partial(self._reactor.callFromThread, self._deliver, unit), partial(self._work, work, unit, submitted)
        )
        return result

    def close(self) -> Deferred[None]:
        """Ends connections and threads once the work at hand is done.

        Returns:
            Fires when they have gone, or when those that were given up have been waited for long enough: they end when
            they come back. May be called again at any time.
        """
        if self._is_closed:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._closing.append(done)
        self._close_when_idle()
        return done

    def _deliver(self, unit: _Unit, _succeeded: bool, value: object) -> None:
        if unit.is_given_up:
            self._abandoned -= 1
        else:
            self._undelivered -= 1
            if unit.timer is not None:
                unit.timer.cancel()
            unit.result.callback(value)  # a Failure makes it fail
        self._close_when_idle()

    def _give_up(self, unit: _Unit) -> None:
        with self._lock:
            unit.is_given_up = True
            if unit.connection is not None:
                self._cut(unit.connection)
        self._undelivered -= 1
        self._abandoned += 1
        unit.result.errback(StoreUnavailable(detail=f"no answer within {self._patience_seconds:g} s"))
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if not self._closing or self._undelivered or self._is_ending:
            return
        if self._abandoned:
            # Their connections were cut, so they are about to come back; whoever closes does not wait long for that.
            if self._going is None:
                self._going = self._clock.callLater(_GOING_SECONDS, self._leave)
            return
        if self._going is not None and self._going.active():
            self._going.cancel()
        self._is_ending = True
        # On a thread, because the last connection to a SQLite file writes its log back into the file.
        self._threads.callInThreadWithCallback(partial(self._reactor.callFromThread, self._ended), self._engine.dispose)

    def _ended(self, _succeeded: bool, value: object) -> None:
        if isinstance(value, Failure):
            self._log.failure("connections were not closed cleanly", failure=value)
        self._threads.stop()
        self._closed()

    def _leave(self) -> None:
        # Connections and threads end when the last one is back, unless the process has ended before.
        self._log.warn("{count} connections to the database do not end, and are left", count=self._abandoned)
        self._closed()

    def _closed(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for done in self._closing:
            done.callback(None)

    # What follows runs on the pool's threads.

    def _work(self, work: Work[T], unit: _Unit, submitted: float | None) -> T:
        try:
            with self._lock:
                self._refuse_if_given_up(unit)
            try:
                connection = self._engine.connect()
            except SQLAlchemyError as error:
                self._statistics.connect_failed()
                raise StoreUnavailable(detail=reason_of(error)) from None
            return self._use(connection, work, unit, None if submitted is None else self._seconds() - submitted)
        finally:
            with self._lock:
                self._unfinished -= 1

    def _use(self, connection: Connection, work: Work[T], unit: _Unit, waited: float | None) -> T:
        self._statistics.checked_out(waited)
        broken = False
        try:
            with self._lock:
                self._refuse_if_given_up(unit)
                unit.connection = connection.connection.driver_connection
            return self._transact(connection, work)
        except SQLAlchemyError as error:
            broken = isinstance(error, DBAPIError) and (error.connection_invalidated or self._is_broken(error))
            raise StoreUnavailable(detail=reason_of(error)) from None
        finally:
            with self._lock:
                unit.connection = None
            self._statistics.checked_in()
            if broken:
                connection.invalidate()
            connection.close()

    def _refuse_if_given_up(self, unit: _Unit) -> None:
        if unit.is_given_up:
            raise StoreUnavailable(detail="nobody waits for it any more")

    def _transact(self, connection: Connection, work: Work[T]) -> T:
        if not self._writes:
            with connection.begin():
                return work(Transaction(connection, self._statistics))
        with self._statistics.query("begin", NO_TABLE):
            transaction = connection.begin()
        try:
            value = work(Transaction(connection, self._statistics))
            with self._statistics.query("commit", NO_TABLE):
                transaction.commit()
        except BaseException:
            transaction.close()
            raise
        return value


def watch(engine: Engine, statistics: PoolStatistics, is_ending: Callable[[], bool]) -> None:
    """Tells `statistics` of every connection that the engine opens and closes.

    A connection that is closed before the end is one that broke: the pool keeps all others.
    """

    def connected(_: DBAPIConnection, __: ConnectionPoolEntry) -> None:
        statistics.opened()

    def closed(_: DBAPIConnection, __: ConnectionPoolEntry) -> None:
        statistics.closed(CLOSED_BY_SHUTDOWN if is_ending() else CLOSED_BY_ERROR)

    event.listen(engine, "connect", connected)
    event.listen(engine, "close", closed)


def _threads(size: int, name: str) -> ThreadPool:
    """Threads that are made when they are needed, and that keep no process alive that forgot to close the store."""
    threads = ThreadPool(minthreads=0, maxthreads=size, name=name)
    threads.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]
    return threads
