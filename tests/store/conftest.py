"""Fixtures of this room: migrated databases, what is logged, what a Deferred holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest
from store.databases import Database, ImmediateReactor, ImmediateThreads, PostgresqlHome, SqliteHome
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.store.pool import ConnectionPool
from ollamamax.store.revisions import bring_to_head
from ollamamax.store.statistics import PoolStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from postgresql_cluster import Cluster
    from twisted.internet.defer import Deferred

T = TypeVar("T")


@pytest.fixture(scope="session")
def shared_database(postgresql: Cluster) -> str:
    """The name of an upgraded database on PostgreSQL that tests use one after another."""
    return postgresql.create()


@pytest.fixture
def home(store_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> SqliteHome | PostgresqlHome:
    """A database of either kind, empty of rows: a test that takes it runs on both."""
    if store_kind == "sqlite":
        return SqliteHome(tmp_path)
    emptied = PostgresqlHome(request.getfixturevalue("postgresql"), request.getfixturevalue("shared_database"))
    emptied.ask(
        "with a as (delete from requests), b as (delete from nodes), c as (delete from instances), "
        "d as (delete from usage_daily) "
        "delete from models_seen"
    )
    return emptied


@pytest.fixture
def database(home: SqliteHome | PostgresqlHome) -> Iterator[Database]:
    """A migrated database of either kind, whose pools work at once; a lock is not waited for."""
    with _migrated(home) as database:
        yield database


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """A SQLite database, for what is true of no other."""
    with _migrated(SqliteHome(tmp_path)) as database:
        yield database


@pytest.fixture
def postgresql_database(postgresql: Cluster, shared_database: str) -> Iterator[Database]:
    """A PostgreSQL database, likewise."""
    with _migrated(PostgresqlHome(postgresql, shared_database)) as database:
        yield database


@contextmanager
def _migrated(home: SqliteHome | PostgresqlHome) -> Iterator[Database]:
    reactor = ImmediateReactor()
    observed: list[tuple[str, str, str, float]] = []

    class Observer:
        def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
            observed.append((operation, table, status, seconds))

    place = home.place
    statistics = PoolStatistics(place.dialect, 4, Observer())
    writing, reading = place.writing_engine(), place.reading_engine(3)
    writer_threads, reader_threads = ImmediateThreads(), ImmediateThreads()

    def pool(size: int, threads: ImmediateThreads, *, writes: bool) -> ConnectionPool:
        return ConnectionPool(
            writing if writes else reading,
            reactor=reactor,
            size=size,
            statistics=statistics,
            writes=writes,
            is_broken=place.is_broken,
            patience_seconds=place.patience_seconds,
            cut=place.cut,
            threads=threads,
            seconds=reactor.seconds,
        )

    writer, reader = pool(1, writer_threads, writes=True), pool(3, reader_threads, writes=False)
    bring_to_head(writing, "test")
    try:
        yield Database(home, reactor, writer, reader, writer_threads, reader_threads, statistics, observed)
    finally:
        reading.dispose()
        writing.dispose()
        home.give_back()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines that are logged by this project during a test, each with its level."""
    lines: list[str] = []

    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: LogEvent) -> None:
            if str(event.get("log_namespace", "")).startswith("ollamamax"):
                lines.append(f"{event['log_level'].name}: {formatEvent(event)}")

    observer = Observer()
    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def fired() -> Callable[[Deferred[T]], T]:
    """What a Deferred that has fired holds; its failure is raised."""

    def result_of(deferred: Deferred[T]) -> T:
        results: list[T | Failure] = []
        deferred.addBoth(results.append)
        assert results, "it has not fired"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    return result_of
