"""Fixtures of this room: a migrated database, what it logs, what a Deferred holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
from store.databases import Database, ImmediateReactor, ImmediateThreads
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.store.pool import ConnectionPool
from ollamamax.store.revisions import bring_to_head
from ollamamax.store.sqlite import SqliteFile, is_broken
from ollamamax.store.statistics import PoolStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from twisted.internet.defer import Deferred

T = TypeVar("T")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated database whose pools work at once; a lock is not waited for."""
    file = SqliteFile(tmp_path / "ledger.db", busy_timeout_seconds=0.0)
    file.create()
    reactor = ImmediateReactor()
    observed: list[tuple[str, str, str, float]] = []

    class Observer:
        def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
            observed.append((operation, table, status, seconds))

    statistics = PoolStatistics("sqlite", 4, Observer())
    writing, reading = file.writing_engine(), file.reading_engine(3)
    writer_threads, reader_threads = ImmediateThreads(), ImmediateThreads()
    writer = ConnectionPool(
        writing,
        reactor=reactor,
        size=1,
        statistics=statistics,
        writes=True,
        is_broken=is_broken,
        threads=writer_threads,
        seconds=reactor.seconds,
    )
    reader = ConnectionPool(
        reading,
        reactor=reactor,
        size=3,
        statistics=statistics,
        writes=False,
        is_broken=is_broken,
        threads=reader_threads,
        seconds=reactor.seconds,
    )
    bring_to_head(writing, "test")
    yield Database(file.path, reactor, writer, reader, writer_threads, reader_threads, statistics, observed)
    reading.dispose()
    writing.dispose()


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
