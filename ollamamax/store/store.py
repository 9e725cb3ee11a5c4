"""Opens and closes all that remains."""

from __future__ import annotations

import os
import socket
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from ollamamax import __version__
from ollamamax.settings import LedgerSettings
from ollamamax.store.instance_statements import Beat, Instance, begin, database_clock
from ollamamax.store.instances import Presence
from ollamamax.store.inventory import Inventory
from ollamamax.store.ledger import Ledger
from ollamamax.store.place import Place, place_of
from ollamamax.store.pool import ConnectionPool
from ollamamax.store.retention import Pruning, Retention
from ollamamax.store.revisions import bring_to_head, require_head
from ollamamax.store.size import SizeWatch, StoreSize
from ollamamax.store.spool import Spool
from ollamamax.store.spool_files import SpoolFiles
from ollamamax.store.sqlite import make_private
from ollamamax.store.statistics import PoolStatistics, QueryObserver
from ollamamax.store.text import storable_text
from ollamamax.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.python.threadpool import ThreadPool

_SMALLEST_POOL = 2
_SPOOL = "spool"


class StoreObserver(QueryObserver, Protocol):
    """Hears of what the store does."""

    def observe_flush(self, seconds: float) -> None:
        """A group of ledger rows was committed, `seconds` after it was given to the writer; on the reactor's thread."""


class Store:
    """An open database, made by `Store.open`.

    Attributes:
        ledger: the rows of requests.
        inventory: nodes and models seen.
        statistics: connections and queries.
        name: the database, as it may be shown.
        instance: this process, as the database knows it.
    """

    def __init__(
        self,
        *,
        place: Place,
        presence: Presence,
        ledger: Ledger,
        pruning: Pruning,
        writer: ConnectionPool,
        reader: ConnectionPool,
        spool: Spool | None,
        statistics: PoolStatistics,
        size_watch: SizeWatch,
    ) -> None:
        self.name = place.name
        self.statistics = statistics
        self.instance = presence.instance
        self.ledger = ledger
        self.inventory = Inventory(writer, reader)
        self._spool = spool
        self._size_watch = size_watch
        self._place = place
        self._presence = presence
        self._pruning = pruning
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
        ledger: LedgerSettings | None = None,
        observer: StoreObserver | None = None,
    ) -> Store:
        """Opens the database that a URL names, as `at` does, and a spool beside it where others may use it too.

        Args:
            url: `sqlite:////path/to/file` or a PostgreSQL URL; empty for `ollamamax.db` in the state directory.
            state_directory: made where it is needed and not there, for this user alone.
            reactor: as for `at`, and so are the others.
            pool_size: connections.
            ledger: how long rows stay, and what happens to them while the database is away; by default, as in the
                settings.
            observer: hears of queries and groups of rows.

        Raises:
            StoreError: one of them cannot be opened; the text is one line for the operator.
        """
        place = place_of(url, state_directory)
        ledger = ledger or LedgerSettings()
        directory = Path(ledger.spool_directory) if ledger.spool_directory else state_directory / _SPOOL
        if not place.is_exclusive and not ledger.spool_directory:
            make_private(state_directory)
        return cls.at(
            place,
            reactor=reactor,
            pool_size=pool_size,
            ledger=ledger,
            spool_directory=None if place.is_exclusive else directory,
            observer=observer,
        )

    @classmethod
    def at(
        cls,
        place: Place,
        *,
        reactor: IReactorFromThreads,
        pool_size: int,
        ledger: LedgerSettings | None = None,
        spool_directory: Path | None = None,
        observer: StoreObserver | None = None,
    ) -> Store:
        """Opens a database; one that belongs to this process alone is brought to the present schema.

        It blocks, so it is called before the reactor runs, and after a fork if there is one: it holds a lock, open
        files and sockets. It starts no thread.

        Args:
            place: where it is.
            reactor: where results arrive; also the clock (IReactorTime).
            pool_size: connections to the database, at least 2: one of them writes and the others read.
            ledger: how long rows stay, and what happens to them while the database is away; by default, as in the
                settings.
            spool_directory: where rows are kept then; None to keep them in memory.
            observer: hears of every query, mostly on the store's threads, and of every group of rows.

        Raises:
            StoreError: it cannot be opened; the text is one line for the operator.
        """
        ledger = ledger or LedgerSettings()
        place.acquire()
        size = max(pool_size, _SMALLEST_POOL)
        statistics = PoolStatistics(place.dialect, size, observer)
        clock = IReactorTime(reactor)
        writing, reading = place.writing_engine(), place.reading_engine(size - 1)

        def pool(engine: Engine, connections: int, *, writes: bool) -> ConnectionPool:
            return ConnectionPool(
                engine,
                reactor=reactor,
                size=connections,
                statistics=statistics,
                writes=writes,
                is_broken=place.is_broken,
                patience_seconds=place.patience_seconds,
                cut=place.cut,
            )

        files: SpoolFiles | None = None
        try:
            writer, reader = pool(writing, 1, writes=True), pool(reading, size - 1, writes=False)
            (bring_to_head if place.is_exclusive else require_head)(writing, place.name)
            files = None if spool_directory is None else SpoolFiles.open(spool_directory, ledger.spool_bytes)
            instance = _this_process()
            first = _begin(writing, statistics, instance, is_alone=place.is_exclusive)
            first_size = _size(writing, statistics, place)
        except BaseException as error:
            writing.dispose()
            place.release()
            if files is not None:
                files.close()
            if isinstance(error, SQLAlchemyError):
                raise place.unusable(error) from None
            raise
        presence = Presence(instance, first, writer, clock)
        spool = None if files is None else Spool(files, reactor, instance=instance.id)
        size_watch = SizeWatch(place.size, reader, clock)
        kept = Ledger(
            presence,
            reader,
            clock,
            instance=instance.id,
            capacity=ledger.memory_rows,
            refuses=ledger.full == "refuse",
            spool=spool,
            observe=(lambda _: None) if observer is None else observer.observe_flush,
        )
        pruning = Pruning(Retention(ledger.retention_days, ledger.retention_bytes), writer, clock, time.time)
        presence.start()
        pruning.start()
        kept.start()
        size_watch.start(first_size)
        return cls(
            place=place,
            presence=presence,
            ledger=kept,
            pruning=pruning,
            writer=writer,
            reader=reader,
            spool=spool,
            statistics=statistics,
            size_watch=size_watch,
        )

    @property
    def thread_pools(self) -> Mapping[str, ThreadPool]:
        """The threads of its connections by name, to be counted, not to be used."""
        pools = {"store-writer": self._writer.thread_pool, "store-reader": self._reader.thread_pool}
        return pools if self._spool is None else pools | {"store-spool": self._spool.thread_pool}

    @property
    def size(self) -> StoreSize:
        """What the database takes on the disk, as it was found within the last minute."""
        return self._size_watch.size

    def close(self) -> Deferred[None]:
        """Writes what the ledger holds, ends connections and threads, gives the database free.

        Returns:
            Fires when all of it is done, or has been given up after seconds; may be called again at any time, and never
            fails.
        """
        if self._is_closed:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._close())
        return done

    async def _close(self) -> None:
        self._size_watch.stop()
        self._pruning.stop()
        await self.ledger.close()
        await self._presence.stop()
        await self._reader.close()
        await self._writer.close()  # last, because it is the one that may write SQLite's log back into the file
        self._place.release()
        self._is_closed = True
        for done in self._waiting:
            done.callback(None)


def _this_process() -> Instance:
    return Instance(
        id=str(uuid.uuid4()), hostname=storable_text(socket.gethostname()), pid=os.getpid(), version=__version__
    )


def _begin(engine: Engine, statistics: PoolStatistics, instance: Instance, *, is_alone: bool) -> Beat:
    with engine.begin() as connection:
        return begin(Transaction(connection, statistics), instance, database_clock, is_alone=is_alone)


def _size(engine: Engine, statistics: PoolStatistics, place: Place) -> StoreSize:
    try:
        with engine.connect() as connection:
            return place.size(Transaction(connection, statistics))
    except SQLAlchemyError:  # a role that may not ask
        return StoreSize()
