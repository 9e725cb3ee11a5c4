"""Real databases, each of both kinds, on threads that are none.

What is asked of one has happened when the call is over.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.store.postgresql import PostgresqlServer
from ollamamax.store.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from postgresql_cluster import Cluster
    from psycopg import Connection

    from ollamamax.store.place import Place
    from ollamamax.store.pool import ConnectionPool
    from ollamamax.store.statistics import PoolStatistics

T = TypeVar("T")


async def until(condition: Callable[[], object]) -> None:
    """Lets the real reactor run until something has come about."""
    from twisted.internet import reactor

    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await deferLater(reactor, 0.02)


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


class Closable(Protocol):
    """What ends by being closed."""

    def close(self) -> object: ...


class Held:
    """A lock in PostgreSQL, which a closed connection would keep for a moment."""

    def __init__(self, connection: Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def close(self) -> None:
        """Gives it back, and then ends the connection."""
        self._connection.execute("rollback")
        self._connection.close()


class SqliteHome:
    """A file in a folder of its own.

    Attributes:
        place: as the store knows it; a lock is not waited for.
        locked: what it says while another program holds the write lock.
        gone: what it says once it was taken away.
    """

    locked = "database is locked"
    gone = "unable to open database file"

    def __init__(self, directory: Path, busy_timeout_seconds: float = 0.0) -> None:
        self.file = SqliteFile(directory / "ledger.db", busy_timeout_seconds=busy_timeout_seconds)
        self.file.create()
        self.place: Place = self.file
        self.url = f"sqlite:///{self.file.path}"

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program reads there, or does."""
        connection = sqlite3.connect(self.file.path)
        try:
            with connection:
                return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def lock(self) -> Closable:
        """Another program's connection, which holds the write lock until it is closed."""
        connection = sqlite3.connect(self.file.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def take_away(self) -> None:
        """It is there no more, for whoever connects."""
        self.file.path.unlink()

    def give_back(self) -> None:
        """A file is not shared between tests."""


class PostgresqlHome:
    """A database on the tests' own server; attributes and methods as those of `SqliteHome`."""

    locked = "canceling statement due to lock timeout"
    gone = "is not currently accepting connections"

    def __init__(self, cluster: Cluster, name: str, options: str = "?options=-clock_timeout%3D1") -> None:
        self.cluster = cluster
        self.name = name
        self.url = cluster.url(name)
        self.place: Place = PostgresqlServer(self.url + options)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program reads there, or does."""
        return list(self.cluster.run(sql, self.name))

    def lock(self) -> Closable:
        """Another program's connection, which keeps writers from every table until it is closed."""
        connection = self.cluster.connect(self.name)
        connection.execute("begin")
        connection.execute("lock table requests, nodes, models_seen, instances, usage_daily in exclusive mode")
        return Held(connection)

    def take_away(self) -> None:
        """It takes nobody in, and has thrown out who was there."""
        self.cluster.run(f"alter database {self.name} with allow_connections false")
        self.cluster.terminate(self.name)

    def give_back(self) -> None:
        """It takes connections again."""
        self.cluster.run(f"alter database {self.name} with allow_connections true")


@attrs.define
class Database:
    """A migrated database and its two pools."""

    home: SqliteHome | PostgresqlHome
    reactor: ImmediateReactor
    writer: ConnectionPool
    reader: ConnectionPool
    writer_threads: ImmediateThreads
    reader_threads: ImmediateThreads
    statistics: PoolStatistics
    observed: list[tuple[str, str, str, float]]

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.home.place.dialect

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        assert isinstance(self.home, SqliteHome)
        return self.home.file.path

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program reads there, or does."""
        return self.home.ask(sql)

    def lock(self) -> Closable:
        """Another program's connection, which keeps writers out until it is closed."""
        return self.home.lock()
