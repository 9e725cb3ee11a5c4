"""Rows that are too old, or too many, become sums in the background, and the room that they had is free again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from store.databases import PostgresqlHome
from store.rows import DAY, TODAY, done, fill, finished_row

import ollamamax.store.retention_statements
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.retention import FIRST_ROUND_SECONDS, PAUSE_SECONDS, ROUND_SECONDS, Pruning, Retention
from ollamamax.store.retention_statements import ROWS, prune, used_bytes

if TYPE_CHECKING:
    from store.databases import Database

NOW = TODAY + 3600
UNLIMITED = Retention(days=None, bytes=None)


def pruning(database: Database, retention: Retention) -> Pruning:
    """It, about to begin."""
    found = Pruning(retention, database.writer, database.reactor, lambda: NOW)
    found.start()
    return found


def kept(database: Database) -> list[str]:
    """The ids of the rows that are there."""
    return [identifier for (identifier,) in database.ask("select id from requests order by started_at, id")]


def summed(database: Database) -> int:
    """How many requests are in the daily sums."""
    ((count,),) = database.ask("select coalesce(sum(requests), 0) from usage_daily")
    return int(count)


def test_what_is_too_old() -> None:
    """Whole days in UTC before today; nothing is too old for a ledger without a limit."""
    assert Retention(days=1, bytes=None).oldest(NOW) == TODAY - DAY
    assert Retention(days=90, bytes=None).oldest(TODAY) == TODAY - 90 * DAY
    assert UNLIMITED.oldest(NOW) is None


def test_old_rows_become_sums(database: Database, logged: list[str]) -> None:
    """Half a minute after the start, a hundred at a time, with pauses; what runs stays, and one line tells of it."""
    old = [finished_row(f"old {number}", TODAY - 2 * DAY + number) for number in range(ROWS + 1)]
    running = LedgerRow(id="runs", started_at=1.0, endpoint="/api/chat")
    fill(database, [*old, running, finished_row("young", TODAY - DAY)])
    background = pruning(database, Retention(days=1, bytes=None))
    assert summed(database) == 0
    database.reactor.advance(FIRST_ROUND_SECONDS)
    assert summed(database) == ROWS
    database.reactor.pump([PAUSE_SECONDS] * 20)
    assert (kept(database), summed(database)) == (["runs", "young"], ROWS + 1)
    assert logged == [f"info: ledger: {ROWS + 1} old accounts summed up and removed"]
    fill(database, [finished_row("late", TODAY - 5 * DAY)])
    database.reactor.advance(ROUND_SECONDS)
    assert summed(database) == ROWS + 2
    background.stop()
    assert database.reactor.getDelayedCalls() == []


def test_a_long_round_tells_how_far_it_is(database: Database, logged: list[str]) -> None:
    """A line a minute, so that an operator sees why the disk is busy."""
    fill(database, [finished_row(str(number), 1.0 + number) for number in range(2 * ROWS)])
    background = pruning(database, Retention(days=1, bytes=None))
    database.reactor.advance(FIRST_ROUND_SECONDS)
    database.reactor.advance(60.0)
    assert logged == [f"info: ledger: {2 * ROWS} old accounts summed up and removed so far"]
    background.stop()


def test_it_stops_at_any_moment(database: Database, logged: list[str]) -> None:
    """Before its first round, within one and between two; what was done stays done, and nothing goes on ticking."""
    fill(database, [finished_row(str(number), 1.0 + number) for number in range(2 * ROWS)])
    pruning(database, Retention(days=1, bytes=None)).stop()
    within = pruning(database, Retention(days=1, bytes=None))
    database.reactor.advance(FIRST_ROUND_SECONDS)
    within.stop()
    database.reactor.advance(2 * ROUND_SECONDS)
    assert summed(database) == ROWS
    database.writer_threads.hold()
    working = pruning(database, Retention(days=1, bytes=None))
    database.reactor.advance(FIRST_ROUND_SECONDS)
    working.stop()
    database.writer_threads.release()
    database.reactor.advance(2 * ROUND_SECONDS)
    assert (summed(database), logged) == (2 * ROWS, [])
    assert database.reactor.getDelayedCalls() == []


def test_a_database_that_is_away_is_waited_for(database: Database, logged: list[str]) -> None:
    """One line for an outage; the next round does it."""
    fill(database, [finished_row("a", 1.0)])
    background = pruning(database, Retention(days=1, bytes=None))
    lock = database.lock()
    database.reactor.advance(FIRST_ROUND_SECONDS)
    database.reactor.advance(ROUND_SECONDS)
    lock.close()
    assert logged == [f"warn: ledger: old accounts cannot be removed now ({database.home.locked})"]
    database.reactor.advance(ROUND_SECONDS)
    assert (kept(database), summed(database)) == ([], 1)
    background.stop()


def test_rows_that_take_too_much_room(database: Database) -> None:
    """The oldest go, however young they are, until the rest has room; a running one stays."""
    fill(database, [LedgerRow(id="runs", started_at=1.0, endpoint="/api/chat")])
    fill(database, [finished_row(f"{number:04}", TODAY + number, end_user="u" * 400) for number in range(1500)])
    analyse(database)
    room = done(database.reader, partial(used_bytes, enough=0)) * 2 // 3
    retention = Retention(days=None, bytes=room)
    rounds = 0
    while done(database.writer, partial(prune, retention=retention, now=NOW)):
        rounds += 1
        analyse(database)
    assert done(database.reader, partial(used_bytes, enough=0)) <= room
    assert rounds >= 3
    left = kept(database)
    assert left[0] == "runs"
    assert left[1:] == [f"{number:04}" for number in range(1501 - len(left), 1500)], "the oldest ones went"
    assert 600 < len(left) < 1300
    assert summed(database) == 1501 - len(left)


def analyse(database: Database) -> None:
    """PostgreSQL counts its rows some time later, or when it is asked to.

    A session tells of its changes up to a second late: what the count holds already would be added to it once more.
    """
    if database.kind == "postgresql":
        done(database.writer, lambda transaction: transaction.rows(select(func.pg_stat_force_next_flush())))
        database.ask("analyze requests")


def test_the_estimate_of_a_table_is_near_its_size(postgresql_database: Database) -> None:
    """While no row has gone, what the rows take is what the table takes."""
    postgresql_database.ask("vacuum full requests")
    fill(postgresql_database, [finished_row(f"{number:036}", TODAY + number) for number in range(5000)])
    analyse(postgresql_database)
    ((size,),) = postgresql_database.ask("select pg_total_relation_size('requests')")
    estimate = done(postgresql_database.reader, partial(used_bytes, enough=0))
    assert 0.7 * size < estimate <= size
    assert done(postgresql_database.reader, partial(used_bytes, enough=size)) == size


def test_only_one_server_prunes_at_a_time(postgresql_database: Database) -> None:
    """While somebody else is at it, there is nothing to do."""
    fill(postgresql_database, [finished_row("a", 1.0)])
    assert isinstance(postgresql_database.home, PostgresqlHome)
    other = postgresql_database.home.cluster.connect(postgresql_database.home.name)
    other.execute("begin")
    lock = ollamamax.store.retention_statements._PRUNING_LOCK
    other.execute("select pg_advisory_xact_lock(%s)", (lock,))
    retention = Retention(days=1, bytes=None)
    assert done(postgresql_database.writer, partial(prune, retention=retention, now=NOW)) == 0
    other.execute("rollback")
    other.close()
    assert done(postgresql_database.writer, partial(prune, retention=retention, now=NOW)) == 1


def test_a_file_shrinks(sqlite_database: Database) -> None:
    """What rows have left is given back to the file system, a hundred pages at a time."""
    fill(sqlite_database, [finished_row(f"{number:04}", 1.0 + number, end_user="u" * 400) for number in range(3000)])
    sqlite_database.ask("pragma wal_checkpoint(truncate)")
    before = sqlite_database.path.stat().st_size
    background = pruning(sqlite_database, Retention(days=1, bytes=None))
    sqlite_database.reactor.pump([FIRST_ROUND_SECONDS, *([PAUSE_SECONDS] * 60)])
    background.stop()
    assert sqlite_database.ask("pragma freelist_count") == [(0,)]
    sqlite_database.ask("pragma wal_checkpoint(truncate)")
    assert sqlite_database.path.stat().st_size < before / 5
