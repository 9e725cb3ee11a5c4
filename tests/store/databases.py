"""A real database in a temporary folder, on threads that are none.

What is asked of it has happened when the call is over.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeVar

import attrs
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ollamamax.store.pool import ConnectionPool
    from ollamamax.store.statistics import PoolStatistics

T = TypeVar("T")


@implementer(IReactorFromThreads)
class ImmediateReactor(Clock):
    """A clock to which results come at once."""

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:  # noqa: A002
        """Calls it."""
        callable(*args, **kwargs)

    def callInThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:  # noqa: A002
        """Not used by the store, which has threads of its own."""
        raise AssertionError("the reactor's own threads were used")

    suggestThreadPoolSize = getThreadPool = callInThread


class ImmediateThreads:
    """Threads that do their work while it is submitted, or when they are told to."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None
        self.stopped = False

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""
        self.stopped = True

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, T | Failure], object], work: Callable[[], T], /
    ) -> None:
        """Does the work, or holds it."""

        def run() -> None:
            try:
                result = work()
            except BaseException:  # noqa: BLE001 - as Twisted's threads do
                on_result(False, Failure())
            else:
                on_result(True, result)

        if self.held is None:
            run()
        else:
            self.held.append(run)

    def hold(self) -> None:
        """From now on, work waits for `release`."""
        self.held = []

    def release(self) -> None:
        """Does what was held, and holds no more."""
        held, self.held = self.held or [], None
        for run in held:
            run()


@attrs.define
class Database:
    """A migrated file and its two pools."""

    path: Path
    reactor: ImmediateReactor
    writer: ConnectionPool
    reader: ConnectionPool
    writer_threads: ImmediateThreads
    reader_threads: ImmediateThreads
    statistics: PoolStatistics
    observed: list[tuple[str, str, str, float]]

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """What another program reads in the file."""
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def lock(self) -> sqlite3.Connection:
        """Another program's connection, which holds the write lock until it is closed."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return connection
