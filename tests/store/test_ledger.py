"""The ledger on a real database and a fake clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from full_disk import no_file_longer_than
from sqlalchemy.exc import OperationalError
from store.rows import FULL
from twisted.internet.defer import CancelledError, Deferred, fail

from ollamamax.errors import LedgerFull
from ollamamax.store.ledger import Ledger, LedgerRow
from ollamamax.store.ledger_statements import write_rows

if TYPE_CHECKING:
    from store.databases import Database

    from ollamamax.store.pool import Work

Fired = Callable[[Any], Any]


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """A ledger on the database."""
    return Ledger(database.writer, database.reader, database.reactor)


def started(identifier: str, at: float = 1.0) -> LedgerRow:
    """A row of a request that runs."""
    return LedgerRow(id=identifier, started_at=at, endpoint="/api/chat", requested_model="Llama")


def finished(identifier: str, at: float = 1.0, tokens: int = 7) -> LedgerRow:
    """A row of a request that is over."""
    return attrs.evolve(
        started(identifier, at), finished_at=at + 1, outcome="success", status=200, output_tokens=tokens
    )


def locked(database: Database) -> str:
    """What is logged when the database is found locked."""
    reason = database.home.locked
    return f"error: ledger: the database cannot be written ({reason}); rows are kept in memory and tried again"


def inserts(database: Database) -> int:
    """How many inserts were sent so far."""
    return sum(count for key, count in database.statistics.snapshot().queries.items() if key[0] == "insert")


def test_rows_are_written_in_groups(database: Database, ledger: Ledger) -> None:
    """All rows of 50 ms are one transaction; nothing is written before."""
    for number in range(10):
        ledger.started(started(str(number)))
        database.reactor.advance(0.004)
    assert (inserts(database), ledger.pending) == (0, 10)
    database.reactor.advance(0.011)
    assert (inserts(database), ledger.pending) == (1, 0)
    assert database.statistics.snapshot().queries["commit", "none", "ok"] == 1
    assert database.ask("select count(*) from requests") == [(10,)]
    assert database.reactor.getDelayedCalls() == []


def test_a_full_batch_is_written_at_once(database: Database, ledger: Ledger) -> None:
    """The 500th row does not wait for the clock."""
    for number in range(499):
        ledger.started(started(str(number)))
    assert ledger.pending == 499
    ledger.started(started("last"))
    assert ledger.pending == 0
    assert database.reactor.getDelayedCalls() == []


def test_rows_that_come_during_a_write_are_the_next_group(database: Database, ledger: Ledger) -> None:
    """One write at a time; what came meanwhile follows 50 ms after it, or at once if it is a full batch."""
    database.writer_threads.hold()
    ledger.started(started("a"))
    database.reactor.advance(0.05)
    for number in range(3):
        ledger.finished(finished(str(number)))
    database.reactor.advance(1)
    database.writer_threads.release()
    assert (inserts(database), ledger.pending) == (1, 3)
    database.reactor.advance(0.05)
    assert (inserts(database), ledger.pending) == (2, 0)

    database.writer_threads.hold()
    for number in range(1100):
        ledger.finished(finished(f"more {number}"))
    database.writer_threads.release()
    assert ledger.pending == 100
    database.reactor.advance(0.05)
    assert ledger.pending == 0


def test_a_quick_request_is_one_insert(database: Database, ledger: Ledger, fired: Fired) -> None:
    """Started and finished within one group are one row of one insert."""
    ledger.started(started("a"))
    ledger.finished(finished("a"))
    fired(ledger.flush())
    assert inserts(database) == 1
    assert fired(ledger.request("a")) == finished("a")


def test_a_finished_row_replaces_its_started_one(database: Database, ledger: Ledger, fired: Fired) -> None:
    """Each value of the final row is in the database; a later repetition of either changes nothing."""
    final = FULL
    for take, row in [
        (ledger.started, started("a")),
        (ledger.finished, final),
        (ledger.finished, finished("a")),
        (ledger.started, started("a")),
    ]:
        take(row)
        fired(ledger.flush())
    assert fired(ledger.request("a")) == final
    assert None not in attrs.astuple(final)


def test_unknown_values_are_null(database: Database, ledger: Ledger, fired: Fired) -> None:
    """What is not known is NULL, not 0."""
    ledger.started(started("a"))
    fired(ledger.flush())
    assert database.ask("select input_tokens, load_seconds, finished_at, outcome from requests") == [(None,) * 4]


def test_a_finished_row_without_its_time_gets_one(ledger: Ledger, fired: Fired) -> None:
    """A row said to be finished is final even where its maker forgot when."""
    ledger.finished(attrs.evolve(started("a"), duration_seconds=2.5))
    fired(ledger.flush())
    assert fired(ledger.request("a")).finished_at == 3.5


def test_pages_are_newest_first(ledger: Ledger, fired: Fired) -> None:
    """Rows come by the time they started, the latest first, with the number of all; what was just taken is there."""
    for number in (3, 1, 4, 0, 2):
        ledger.started(started(str(number), at=float(number)))
    rows, total = fired(ledger.requests(2, 1))
    assert [row.id for row in rows] == ["3", "2"]
    assert total == 5
    assert fired(ledger.requests(10, 5)) == ([], 5)
    assert fired(ledger.request("nobody")) is None


def test_flush_waits_for_what_was_taken_before_it(database: Database, ledger: Ledger, fired: Fired) -> None:
    """It fires when the rows before it are committed, even while later ones wait; with none it fires at once."""
    assert fired(ledger.flush()) is None
    database.writer_threads.hold()
    ledger.started(started("a"))
    first = ledger.flush()
    ledger.started(started("b"))
    assert not first.called
    second = ledger.flush()
    database.writer_threads.release()
    assert fired(first) is fired(second) is None
    assert ledger.pending == 0


def test_a_locked_database_costs_no_row(database: Database, ledger: Ledger, fired: Fired, logged: list[str]) -> None:
    """Rows stay in memory while another program holds the file, are tried again, and are written once it has gone."""
    other = database.lock()
    ledger.started(started("a"))
    flushed = ledger.flush()
    ledger.finished(finished("a"))
    ledger.finished(finished("b"))
    for _ in range(5):
        database.reactor.advance(5)
    assert (ledger.pending, ledger.dropped) == (2, 0)
    assert not flushed.called
    assert fired(ledger.requests(10, 0)) == ([], 0), "reading does not wait for the outage's end"
    other.close()
    database.reactor.advance(5)
    assert flushed.called
    assert ledger.pending == 0
    assert database.ask("select id, outcome from requests order by id") == [("a", "success"), ("b", "success")]
    assert logged == [locked(database), "warn: ledger: the database can be written again; 0 rows were dropped"]
    assert database.reactor.getDelayedCalls() == []


def test_retries_come_at_growing_intervals(database: Database, ledger: Ledger) -> None:
    """The first retry after 0.1 s, then twice as long each time, never longer than 5 s."""
    other = database.lock()
    ledger.started(started("a"))
    database.reactor.advance(0.05)
    waits = []
    for _ in range(8):
        (call,) = database.reactor.getDelayedCalls()
        waits.append(round(call.getTime() - database.reactor.seconds(), 3))
        database.reactor.advance(waits[-1])
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    other.close()
    database.reactor.advance(5)


def test_what_memory_cannot_hold_is_dropped_and_counted(database: Database, fired: Fired, logged: list[str]) -> None:
    """Beyond the capacity rows are lost, counted, and told of when the outage ends; the rest is written."""
    ledger = Ledger(database.writer, database.reader, database.reactor, capacity=1500)
    other = database.lock()
    for number in range(2000):
        ledger.finished(finished(str(number)))
    assert (ledger.pending, ledger.dropped) == (1500, 500)
    other.close()
    database.reactor.advance(0.1)
    assert (ledger.pending, ledger.dropped) == (0, 500)
    assert fired(ledger.requests(1, 0))[1] == 1500
    assert logged == [locked(database), "warn: ledger: the database can be written again; 500 rows were dropped"]


def test_requests_may_be_refused_while_there_is_no_room(database: Database, fired: Fired) -> None:
    """Then whatever was begun has an account in the end, and as soon as there is room new requests are taken."""
    ledger = Ledger(database.writer, database.reader, database.reactor, capacity=3, refuses=True)
    other = database.lock()
    for name in "abc":
        ledger.started(started(name))
    with pytest.raises(LedgerFull):
        ledger.started(started("d"))
    ledger.finished(finished("d"))
    ledger.finished(finished("a"))
    assert (ledger.pending, ledger.dropped) == (3, 1)
    other.close()
    database.reactor.advance(0.1)
    for name in "bce":
        ledger.finished(finished(name))
    fired(ledger.flush())
    assert database.ask("select count(*), count(finished_at) from requests") == [(4, 4)]


def test_groups_are_timed(database: Database, fired: Fired) -> None:
    """Each that was committed, from when it was given to the writer; not one that failed."""
    seconds: list[float] = []
    ledger = Ledger(database.writer, database.reader, database.reactor, observe=seconds.append)
    database.writer_threads.hold()
    ledger.started(started("a"))
    database.reactor.advance(0.05)
    database.reactor.advance(0.25)
    database.writer_threads.release()
    assert seconds == pytest.approx([0.25])
    other = database.lock()
    ledger.finished(finished("a"))
    database.reactor.advance(0.05)
    other.close()
    assert len(seconds) == 1
    database.reactor.advance(0.1)
    assert len(seconds) == 2


def test_a_full_disk_costs_no_row(sqlite_database: Database, fired: Fired, logged: list[str]) -> None:
    """A file that the kernel lets grow no more is an outage like a lock: rows wait until there is room."""
    database = sqlite_database
    ledger = Ledger(database.writer, database.reader, database.reactor)
    with no_file_longer_than(database.path.with_name("ledger.db-wal").stat().st_size):
        for number in range(400):
            ledger.finished(finished(f"{number:0>400}"))
        database.reactor.advance(0.05)
        assert (ledger.pending, ledger.dropped) == (400, 0)
    database.reactor.advance(0.1)
    assert fired(ledger.requests(1, 0))[1] == 400
    assert database.ask("pragma integrity_check") == [("ok",)]
    assert [line.rpartition("; ")[0] for line in logged] == [
        "error: ledger: the database cannot be written (disk I/O error)",
        "warn: ledger: the database can be written again",
    ]


def test_a_refused_row_costs_only_itself(database: Database, ledger: Ledger, fired: Fired, logged: list[str]) -> None:
    """A row with a value that the database cannot take is dropped and counted; its neighbours are written."""
    poison = started("poison")
    object.__setattr__(poison, "node", object())
    for row in (started("a"), poison, started("b")):
        ledger.started(row)
    fired(ledger.flush())
    assert [row.id for row in fired(ledger.requests(10, 0))[0]] == ["b", "a"]
    assert (ledger.pending, ledger.dropped) == (0, 1)
    assert logged == ["error: ledger: the database refused 1 rows, they are dropped"]


def test_closing_writes_everything(database: Database, ledger: Ledger, fired: Fired) -> None:
    """Close writes what is there, batch after batch; what comes later is counted as dropped."""
    database.writer_threads.hold()
    for number in range(1200):
        ledger.finished(finished(str(number)))
    closed = ledger.close()
    database.writer_threads.release()
    fired(closed)
    assert database.ask("select count(*) from requests") == [(1200,)]
    ledger.started(started("late"))
    assert (ledger.pending, ledger.dropped) == (0, 1)
    fired(ledger.close())
    assert database.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("known", [True, False], ids=["an outage goes on", "an outage begins"])
def test_closing_does_not_wait_for_an_outage(
    database: Database, ledger: Ledger, fired: Fired, logged: list[str], known: bool
) -> None:
    """Close tries once, then gives the rows up, counted and logged."""
    other = database.lock()
    ledger.started(started("a"))
    if known:
        database.reactor.advance(0.05)
    flushed = ledger.flush()
    fired(ledger.close())
    assert fired(flushed) is None
    assert (ledger.pending, ledger.dropped) == (0, 1)
    assert logged == [locked(database), "error: ledger: 1 rows could not be written and are dropped"]
    assert database.reactor.getDelayedCalls() == []
    other.close()


def test_a_reader_who_leaves(database: Database, ledger: Ledger, fired: Fired) -> None:
    """Cancelling a page that waits for a write does no harm to the write."""
    database.writer_threads.hold()
    ledger.started(started("a"))
    page = ledger.requests(10, 0)
    page.cancel()
    with pytest.raises(CancelledError):
        fired(page)
    database.writer_threads.release()
    assert database.ask("select id from requests") == [("a",)]


def test_a_defect_of_the_writer_is_an_outage(database: Database, fired: Fired, logged: list[str]) -> None:
    """Whatever the writer fails with, the ledger raises nothing and keeps its rows."""

    class Broken:
        def run(self, work: Work[Any]) -> Deferred[Any]:
            return fail(ZeroDivisionError("secret"))

    ledger = Ledger(Broken(), database.reader, database.reactor)
    ledger.started(started("a"))
    database.reactor.advance(0.05)
    assert ledger.pending == 1
    assert "(ZeroDivisionError)" in logged[0]
    fired(ledger.close())


def test_an_outage_between_rows_that_are_tried_alone() -> None:
    """An outage while refused rows are sorted out is an outage, not a refusal."""
    poison = started("poison")
    object.__setattr__(poison, "node", object())

    class Failing:
        """A transaction that breaks at the second row that is tried alone."""

        dialect = "sqlite"

        def __init__(self) -> None:
            self.calls = 0

        def savepoint(self) -> Failing:
            return self

        def __enter__(self) -> None:
            """Nothing to begin."""

        def __exit__(self, *details: object) -> None:
            """Nothing to undo."""

        def insert_rows(self, *arguments: object) -> None:
            self.calls += 1
            if self.calls == 1:
                raise OverflowError
            if self.calls == 3:
                raise outage

    outage = OperationalError("insert", None, sqlite3.OperationalError("database or disk is full"))
    with pytest.raises(OperationalError):
        write_rows(Failing(), [started("a"), poison])  # type: ignore[arg-type]
