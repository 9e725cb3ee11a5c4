"""The spool's files as the reactor sees them: on a thread of their own, because a disk may take its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.spool_files import SpoolFiles

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads

    from ollamamax.store.pool import Threads

T = TypeVar("T")


class Spool:
    """Files that take groups of rows and give them back, one call after the other.

    Args:
        files: the files.
        reactor: where results arrive.
        instance: the instance of the rows that name none.
        threads: one thread; for tests, made here where it is not given.

    Attributes:
        rows: rows in the files.
        bytes: what they take.
        damaged: rows that could not be read.
    """

    def __init__(
        self,
        files: SpoolFiles,
        reactor: IReactorFromThreads,
        *,
        instance: str | None = None,
        threads: Threads | None = None,
    ) -> None:
        self.directory = files.directory
        self._files = files
        self._reactor = reactor
        self._instance = instance
        self._threads = threads if threads is not None else _thread()
        self._threads.start()
        self._is_closed = False
        self.rows = self.bytes = self.damaged = 0
        self._see()

    @property
    def thread_pool(self) -> ThreadPool:
        """Its thread, to be counted, not to be used."""
        return cast("ThreadPool", self._threads)

    def append(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        """Fires once a group is on the disk, with the number of rows refused; fails with SpoolFull."""
        return self._run(partial(self._files.append, rows, self._instance))

    def oldest(self) -> Deferred[list[LedgerRow] | None]:
        """The oldest group, which stays until `forget`; None where there is none; may fail with OSError."""
        return self._run(self._files.oldest)

    def forget(self) -> Deferred[None]:
        """Fires once the group that was read last is gone."""
        return self._run(self._files.forget)

    def inherit(self) -> Deferred[None]:
        """Takes over what dead processes have left."""
        return self._run(self._files.inherit)

    def close(self) -> Deferred[None]:
        """Fires when the files are left to whoever comes next; may be called again."""
        if self._is_closed:
            return succeed(None)
        self._is_closed = True
        return self._run(self._files.close).addBoth(self._ended)

    def _ended(self, result: object) -> None:
        self._threads.stop()

    def _run(self, work: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = deferToThreadPool(self._reactor, cast("ThreadPool", self._threads), work)
        return done.addBoth(self._seen)

    def _seen(self, result: T) -> T:
        self._see()
        return result

    def _see(self) -> None:
        self.rows, self.bytes, self.damaged = self._files.rows, self._files.bytes, self._files.damaged


def _thread() -> ThreadPool:
    """A thread that is made when it is needed, and that keeps no process alive that forgot to close the store."""
    threads = ThreadPool(minthreads=0, maxthreads=1, name="store-spool")
    threads.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]
    return threads
