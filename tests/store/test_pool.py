"""Connections on threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from sqlalchemy import delete, insert, select, text, update
from store.databases import until
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.interfaces import IReactorFromThreads

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.pool import ConnectionPool
from ollamamax.store.schema import nodes
from ollamamax.store.statistics import PoolStatistics

if TYPE_CHECKING:
    from store.databases import Database, PostgresqlHome, SqliteHome

    from ollamamax.store.transaction import Transaction

Fired = Callable[[Any], Any]
asynchronous: Callable[[Callable[..., object]], Callable[..., object]] = pytest_twisted.ensureDeferred
ROW = {"name": "n", "url": "http://n", "simulated": False, "version": None, "first_seen": 1.0, "last_seen": 2.0}


def add_node(transaction: Transaction) -> str:
    """Writes one row; its name."""
    transaction.change(insert(nodes), [ROW])
    return "n"


def read_nodes(transaction: Transaction) -> list[str]:
    """Reads the rows' names."""
    return [name for (name,) in transaction.rows(select(nodes.c.name))]


def test_a_write_is_committed_and_counted(database: Database, fired: Fired) -> None:
    """What was written can be read; begin, statement and commit count once each, a read once."""
    assert fired(database.writer.run(add_node)) == "n"
    assert fired(database.reader.run(read_nodes)) == ["n"]
    snapshot = database.statistics.snapshot()
    assert snapshot.queries == {
        ("begin", "none", "ok"): 1,
        ("insert", "nodes", "ok"): 1,
        ("commit", "none", "ok"): 1,
        ("select", "nodes", "ok"): 1,
    }
    assert (snapshot.open, snapshot.in_use, snapshot.idle, snapshot.errors_total) == (2, 0, 2, 0)
    assert [entry[:3] for entry in database.observed] == list(snapshot.queries)


def test_every_operation_has_its_name(database: Database, fired: Fired) -> None:
    """Updates and deletes are counted as what they are; a query of no table of ours is of table `none`."""
    fired(database.writer.run(add_node))
    fired(database.writer.run(lambda transaction: transaction.change(update(nodes).values(version="1"))))
    fired(database.writer.run(lambda transaction: transaction.change(delete(nodes))))
    fired(database.reader.run(lambda transaction: transaction.rows(select(text("1")))))
    counted = database.statistics.snapshot().queries
    assert {key for key in counted if key[0] not in ("begin", "commit")} == {
        ("insert", "nodes", "ok"),
        ("update", "nodes", "ok"),
        ("delete", "nodes", "ok"),
        ("select", "none", "ok"),
    }


def test_work_that_raises_has_not_happened(database: Database, fired: Fired) -> None:
    """Its own exception comes back, and nothing was committed."""

    def work(transaction: Transaction) -> None:
        add_node(transaction)
        raise KeyError("defect")

    with pytest.raises(KeyError):
        fired(database.writer.run(work))
    assert fired(database.reader.run(read_nodes)) == []
    snapshot = database.statistics.snapshot()
    assert ("commit", "none", "ok") not in snapshot.queries
    assert (snapshot.in_use, snapshot.errors_total) == (0, 0)


def test_a_failed_statement_says_why_and_nothing_more(database: Database, fired: Fired) -> None:
    """The failure holds the driver's words, no statement and no value; it is counted as a query and as an error."""
    fired(database.writer.run(add_node))
    with pytest.raises(StoreUnavailable) as caught:
        fired(database.writer.run(add_node))
    assert (
        caught.value.detail
        == {
            "sqlite": "UNIQUE constraint failed: nodes.name",
            "postgresql": "UniqueViolation, SQLSTATE 23505",
        }[database.kind]
    )
    assert (caught.value.status, caught.value.code) == (503, "store_unavailable")
    snapshot = database.statistics.snapshot()
    assert snapshot.queries["insert", "nodes", "error"] == 1
    assert (snapshot.errors_total, snapshot.closed["error"]) == (1, 0)


def test_a_locked_file_is_an_error_of_begin(sqlite_database: Database, fired: Fired) -> None:
    """While another program writes, SQLite's `begin` fails; the connection is kept."""
    database = sqlite_database
    other = database.lock()
    with pytest.raises(StoreUnavailable) as caught:
        fired(database.writer.run(add_node))
    assert caught.value.detail == "database is locked"
    assert fired(database.reader.run(read_nodes)) == []
    other.close()
    fired(database.writer.run(add_node))
    snapshot = database.statistics.snapshot()
    assert snapshot.queries["begin", "none", "error"] == 1
    assert (snapshot.errors_total, snapshot.closed["error"]) == (1, 0)


def test_readers_cannot_write(database: Database, fired: Fired) -> None:
    """A reading connection refuses to write, and is replaced after it was asked to."""
    with pytest.raises(StoreUnavailable) as caught:
        fired(database.reader.run(add_node))
    assert (
        caught.value.detail
        == {
            "sqlite": "attempt to write a readonly database",
            "postgresql": "cannot execute INSERT in a read-only transaction",
        }[database.kind]
    )
    snapshot = database.statistics.snapshot()
    assert (snapshot.closed["error"], snapshot.open) == (1, 1)
    assert fired(database.reader.run(read_nodes)) == []
    assert database.statistics.snapshot().open == 2


def test_a_file_that_is_gone_is_not_made_again(sqlite_database: Database, fired: Fired) -> None:
    """A new connection to a removed database fails, is counted, and leaves no empty file behind."""
    database = sqlite_database
    database.path.unlink()
    with pytest.raises(StoreUnavailable) as caught:
        fired(database.reader.run(read_nodes))
    assert caught.value.detail == "unable to open database file"
    assert not database.path.exists()
    snapshot = database.statistics.snapshot()
    assert (snapshot.errors_total, snapshot.in_use) == (1, 0)


def test_who_finds_no_connection_free_waits_and_is_counted(database: Database, fired: Fired) -> None:
    """Three connections, five that want one: two wait, each for as long as the clock says."""
    database.reader_threads.hold()
    asked = [database.reader.run(read_nodes) for _ in range(5)]
    database.reactor.advance(0.25)
    database.reader_threads.release()
    assert fired(gatherResults(asked)) == [[]] * 5
    snapshot = database.statistics.snapshot()
    assert (snapshot.wait_count, snapshot.wait_duration_seconds) == (2, 0.5)
    fired(database.reader.run(read_nodes))
    assert database.statistics.snapshot().wait_count == 2


def test_a_result_that_nobody_wants_any_more(database: Database, fired: Fired) -> None:
    """Cancelling gives the result up; the work is done, and nothing is left hanging."""
    database.writer_threads.hold()
    given_up = database.writer.run(add_node)
    given_up.cancel()
    with pytest.raises(CancelledError):
        fired(given_up)
    database.writer_threads.release()
    assert fired(database.reader.run(read_nodes)) == ["n"]
    assert fired(database.writer.close()) is None


def test_closing_waits_for_the_work_at_hand(database: Database, fired: Fired) -> None:
    """Work that was taken is done, work that comes later is refused, and every call of close fires at the end."""
    database.writer_threads.hold()
    last = database.writer.run(add_node)
    closings = [database.writer.close(), database.writer.close()]
    assert not closings[0].called
    with pytest.raises(StoreUnavailable):
        fired(database.writer.run(add_node))
    database.writer_threads.release()
    assert fired(last) == "n"
    assert fired(gatherResults([*closings, database.writer.close()])) == [None] * 3
    assert database.writer_threads.stopped
    assert database.statistics.snapshot().closed == {"error": 0, "shutdown": 1}


def impatient(
    home: SqliteHome | PostgresqlHome, cut: Callable[[object], None], statistics: PoolStatistics | None = None
) -> ConnectionPool:
    """A pool of one real thread, on which nothing may take longer than a moment."""
    return ConnectionPool(
        home.place.reading_engine(1),
        reactor=IReactorFromThreads(reactor),
        size=1,
        statistics=statistics or PoolStatistics(home.place.dialect, 1),
        writes=False,
        is_broken=home.place.is_broken,
        patience_seconds=1.0,
        cut=cut,
    )


@asynchronous
async def test_work_that_takes_too_long_is_given_up(database: Database) -> None:
    """Its caller is told in time, what waits behind it too and is never begun."""
    go_on = threading.Event()
    begun: list[str] = []
    cut: list[object] = []
    pool = impatient(database.home, cut.append)

    def stuck(transaction: Transaction) -> None:
        begun.append("stuck")
        assert go_on.wait(10)

    def behind(transaction: Transaction) -> None:
        begun.append("behind")

    asked = [pool.run(stuck), pool.run(behind)]
    for each in asked:
        with pytest.raises(StoreUnavailable) as caught:
            await each
        assert caught.value.detail == "no answer within 1 s"
    assert len(cut) == 1, "the one connection that was in use"
    go_on.set()
    await pool.close()
    assert begun == ["stuck"]


@asynchronous
async def test_a_thread_that_does_not_come_back_in_time(database: Database, logged: list[str]) -> None:
    """Closing does not wait for it longer than a moment; once it is back, its connection and itself are ended too."""
    go_on = threading.Event()
    statistics = PoolStatistics(database.kind, 1)
    pool = impatient(database.home, lambda _: None, statistics)
    asked = pool.run(lambda _: go_on.wait(30))
    closing = pool.close()
    with pytest.raises(StoreUnavailable):
        await asked
    await closing
    left = "warn: 1 connections to the database do not end, and are left"
    assert logged == [left]
    assert statistics.snapshot().open == 1
    go_on.set()
    await until(lambda: not any(thread.is_alive() for thread in pool.thread_pool.threads))
    snapshot = statistics.snapshot()
    assert (snapshot.open, snapshot.closed) == (0, {"error": 0, "shutdown": 1})
    await pool.close()
    assert logged == [left]


@asynchronous
async def test_real_threads(database: Database) -> None:
    """Truth on real threads: two work at once, a third asker waits; results come on the reactor's thread."""
    place = database.home.place
    statistics = PoolStatistics(place.dialect, 2)
    before = threading.active_count()
    pool = ConnectionPool(
        place.reading_engine(2),
        reactor=IReactorFromThreads(reactor),
        size=2,
        statistics=statistics,
        writes=False,
        is_broken=place.is_broken,
        patience_seconds=60.0,
    )
    assert threading.active_count() == before, "threads are made when they are needed"
    arrived = threading.Semaphore(0)
    go_on = threading.Event()

    def work(transaction: Transaction) -> str:
        transaction.rows(select(nodes.c.name))
        arrived.release()
        go_on.wait(10)
        return threading.current_thread().name

    asked = [pool.run(work) for _ in range(3)]
    delivered_on: list[threading.Thread] = []

    def delivered(name: str) -> str:
        delivered_on.append(threading.current_thread())
        return name

    asked[2].addCallback(delivered)
    assert arrived.acquire(timeout=10)
    assert arrived.acquire(timeout=10)
    busy = statistics.snapshot()
    assert (busy.open, busy.in_use, busy.idle, busy.wait_count) == (2, 2, 0, 0)
    go_on.set()
    names = await gatherResults(asked)
    assert {name.rsplit("-", 1)[0] for name in names} == {"PoolThread-store-reader"}
    assert delivered_on == [threading.current_thread()]
    rested = statistics.snapshot()
    assert (rested.open, rested.in_use, rested.idle, rested.wait_count) == (2, 0, 2, 1)
    assert rested.wait_duration_seconds > 0
    assert rested.queries == {("select", "nodes", "ok"): 3}
    await pool.close()
    assert statistics.snapshot().closed == {"error": 0, "shutdown": 2}
    assert threading.active_count() == before
