"""How much space a database takes, measured again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.databases import SqliteHome

from ollamamax.store.size import MEASURING_SECONDS, SizeWatch, StoreSize

if TYPE_CHECKING:
    from store.databases import Database


def test_it_is_measured_once_a_minute(database: Database) -> None:
    """On a connection of its own; what was found first counts until then, and nothing does once it cannot be asked."""
    watch = SizeWatch(database.home.place.size, database.reader, database.reactor)
    watch.start(StoreSize(1, 2))
    database.reactor.advance(MEASURING_SECONDS - 1)
    assert watch.size == StoreSize(1, 2)
    database.reactor.advance(1)
    assert watch.size.bytes is not None
    assert watch.size.bytes > 4096
    assert (watch.size.free_bytes is None) == (database.kind == "postgresql")
    database.home.take_away()
    database.reactor.advance(MEASURING_SECONDS)
    assert watch.size == StoreSize()
    watch.stop()
    watch.stop()
    assert database.reactor.getDelayedCalls() == []


def test_a_file_that_grows(sqlite_database: Database) -> None:
    """What is written shows with the next look, while it is still in the log."""
    home = sqlite_database.home
    assert isinstance(home, SqliteHome)
    watch = SizeWatch(home.place.size, sqlite_database.reader, sqlite_database.reactor)
    watch.start(StoreSize())
    sqlite_database.reactor.advance(MEASURING_SECONDS)
    before = watch.size.bytes or 0
    home.ask("create table wide (x)")
    home.ask("insert into wide values (zeroblob(1000000))")
    sqlite_database.reactor.advance(MEASURING_SECONDS)
    assert (watch.size.bytes or 0) - before > 1_000_000
    watch.stop()
