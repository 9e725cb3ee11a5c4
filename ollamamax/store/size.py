"""How much space the database takes, measured in the background, so that whoever asks need not wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from ollamamax.store.destinations import Runner
    from ollamamax.store.transaction import Transaction

MEASURING_SECONDS = 60.0


@attrs.frozen
class StoreSize:
    """What a database takes at one moment.

    Attributes:
        bytes: what it takes on the disk; None where it is not known.
        free_bytes: what is left for it there; None where it is not known.
    """

    bytes: int | None = None
    free_bytes: int | None = None


class SizeWatch:
    """Measures again and again.

    Args:
        measure: a unit of work that measures.
        reader: runs it.
        clock: when.

    Attributes:
        size: what was found last; nothing where it could not be measured.
    """

    def __init__(self, measure: Callable[[Transaction], StoreSize], reader: Runner, clock: IReactorTime) -> None:
        self.size = StoreSize()
        self._measure = measure
        self._reader = reader
        self._measuring = LoopingCall(self._look)
        self._measuring.clock = clock

    def start(self, first: StoreSize) -> None:
        """From now on it measures by itself; `first` is what was found just now."""
        self.size = first
        self._measuring.start(MEASURING_SECONDS, now=False)

    def stop(self) -> None:
        """Measures no more."""
        if self._measuring.running:
            self._measuring.stop()

    def _look(self) -> Deferred[None]:
        return self._reader.run(self._measure).addBoth(self._measured)

    def _measured(self, found: StoreSize | Failure) -> None:
        self.size = StoreSize() if isinstance(found, Failure) else found
