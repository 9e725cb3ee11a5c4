"""Where groups of ledger rows go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.ledger_statements import write_rows

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from ollamamax.store.pool import Work

T = TypeVar("T")


class Runner(Protocol):
    """Runs units of work; `pool.ConnectionPool` is one."""

    def run(self, work: Work[T]) -> Deferred[T]:
        """Fires with what `work` returned."""


class Destination(Protocol):
    """Takes groups of rows, one at a time."""

    @property
    def pending(self) -> int:
        """Rows that it keeps, not known to be in the database."""

    @property
    def dropped(self) -> int:
        """Rows that it took and lost."""

    @property
    def kept_bytes(self) -> int | None:
        """What it keeps, in bytes on the disk; None where it keeps nothing there."""

    def start(self) -> None:
        """Begins what it does by itself."""

    def write(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        """Fires once the group would outlive this process, with the number of rows refused; fails where it does not."""

    def close(self) -> Deferred[None]:
        """Fires when it is at rest; never fails."""


class DatabaseRows:
    """The database.

    Args:
        writer: runs what writes, one unit at a time.
        clock: times it.
        instance: the instance of the rows that name none.
        observe: hears of each group that was written, how many seconds it took.
    """

    pending = dropped = 0
    kept_bytes = None

    def __init__(
        self, writer: Runner, clock: IReactorTime, *, instance: str | None, observe: Callable[[float], object]
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._instance = instance
        self._observe = observe

    def start(self) -> None:
        """Nothing to begin."""

    def write(self, rows: Sequence[LedgerRow]) -> Deferred[int]:
        """Fires once the group is committed."""
        began = self._clock.seconds()

        def written(refused: int) -> int:
            self._observe(self._clock.seconds() - began)
            return refused

        return self._writer.run(partial(write_rows, rows=rows, instance=self._instance)).addCallback(written)

    def close(self) -> Deferred[None]:
        """Nothing to end."""
        return succeed(None)


def reason_of(failure: Failure) -> str:
    """Why a group was not written, in a few words without any value of a row."""
    error = failure.value
    return error.detail if isinstance(error, StoreUnavailable) else type(error).__name__
