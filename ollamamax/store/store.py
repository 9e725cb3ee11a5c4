"""Opens and closes all that remains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from ollamamax.store.failures import StoreError, reason_of
from ollamamax.store.inventory import Inventory
from ollamamax.store.ledger import Ledger
from ollamamax.store.lock import FileLock
from ollamamax.store.pool import ConnectionPool
from ollamamax.store.revisions import bring_to_head
from ollamamax.store.sqlite import BUSY_TIMEOUT_SECONDS, SqliteFile, default_file, file_of, is_broken
from ollamamax.store.statistics import PoolStatistics, QueryObserver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from twisted.python.threadpool import ThreadPool

_DIALECT = "sqlite"
_SMALLEST_POOL = 2


class Store:
    """An open database, made by `Store.open`.

    Attributes:
        ledger: the rows of requests.
        inventory: nodes and models seen.
        statistics: connections and queries.
        path: the database file.
    """

    def __init__(
        self,
        *,
        path: Path,
        lock: FileLock,
        writer: ConnectionPool,
        reader: ConnectionPool,
        statistics: PoolStatistics,
        clock: IReactorTime,
    ) -> None:
        self.path = path
        self.statistics = statistics
        self.ledger = Ledger(writer, reader, clock)
        self.inventory = Inventory(writer, reader)
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._is_closed = False
        self._waiting: list[Deferred[None]] = []

    @classmethod
    def open(
        cls,
        url: str,
        *,
        state_directory: Path,
        reactor: IReactorFromThreads,
        pool_size: int,
        observer: QueryObserver | None = None,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
    ) -> Store:
        """Opens the database, and brings it to the present schema.

        It blocks, so it is called before the reactor runs, and after a fork if there is one: it holds a lock and open
        files. It starts no thread.

        Args:
            url: `sqlite:////path/to/file`; empty for `ollamamax.db` in the state directory.
            state_directory: made where it is needed and not there, for this user alone.
            reactor: where results arrive; also the clock (IReactorTime).
            pool_size: connections to the database, at least 2; with SQLite, one of them writes and the others read.
            observer: hears of every query, on the store's threads.
            busy_timeout_seconds: how long SQLite waits for a lock of another program.

        Raises:
            StoreError: it cannot be opened; the text is one line for the operator.
        """
        file = SqliteFile(_path(url, state_directory), busy_timeout_seconds)
        lock = FileLock(file.path)
        lock.acquire()
        size = max(pool_size, _SMALLEST_POOL)
        statistics = PoolStatistics(_DIALECT, size, observer)
        writing = file.writing_engine()
        reading = file.reading_engine(size - 1)
        try:
            file.create()
            writer = ConnectionPool(
                writing, reactor=reactor, size=1, statistics=statistics, writes=True, is_broken=is_broken
            )
            reader = ConnectionPool(
                reading, reactor=reactor, size=size - 1, statistics=statistics, writes=False, is_broken=is_broken
            )
            _migrate(writing, file.path)
        except BaseException:
            writing.dispose()
            lock.release()
            raise
        return cls(
            path=file.path, lock=lock, writer=writer, reader=reader, statistics=statistics, clock=IReactorTime(reactor)
        )

    @property
    def thread_pools(self) -> Mapping[str, ThreadPool]:
        """The threads of its connections by name, to be counted, not to be used."""
        return {"store-writer": self._writer.thread_pool, "store-reader": self._reader.thread_pool}

    def close(self) -> Deferred[None]:
        """Writes what the ledger holds, ends connections and threads, gives the file free.

        Returns:
            Fires when all of it is done; may be called again at any time, and never fails.
        """
        if self._is_closed:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._close())
        return done

    async def _close(self) -> None:
        await self.ledger.close()
        await self._reader.close()
        await self._writer.close()  # last, because it is the one that may write the log back into the file
        self._lock.release()
        self._is_closed = True
        for done in self._waiting:
            done.callback(None)


def _path(url: str, state_directory: Path) -> Path:
    """The file to open."""
    if not url:
        return default_file(state_directory.absolute())
    try:
        parsed: URL = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("database: not a URL; expected sqlite:////path/to/file") from None
    if parsed.drivername != _DIALECT:
        backend = parsed.get_backend_name()
        known = "PostgreSQL" if backend in ("postgresql", "postgres") else backend
        raise StoreError(f"database: {known} is not supported by this version yet; expected sqlite:////path/to/file")
    return file_of(parsed)


def _migrate(engine: Engine, path: Path) -> None:
    try:
        bring_to_head(engine, str(path))
    except SQLAlchemyError as error:
        raise StoreError(f"database {path} cannot be used: {reason_of(error)}") from None
