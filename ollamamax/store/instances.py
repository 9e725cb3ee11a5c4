"""This process among those that use the same database: its heartbeat, and the end of those that have gone.

A heartbeat is due every ten seconds. It goes along with what the ledger writes where that comes first, in the same
transaction, so that requests that were kept in memory through an outage arrive together with the sign that their
process is alive.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.instance_statements import Beat, Clock, Instance, beat, database_clock, leave
from ollamamax.store.watch import HEARTBEAT_SECONDS, Watch

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from ollamamax.store.destinations import Runner
    from ollamamax.store.pool import Work
    from ollamamax.store.transaction import Transaction

T = TypeVar("T")


class Presence:
    """Keeps an instance alive in the eyes of the others, and ends what those left behind that fell silent.

    Args:
        instance: this process, whose first heartbeat is written.
        first: that heartbeat.
        writer: runs what writes.
        reactor: the clock of the heartbeats, and where they come from.
        clock: the database's.
    """

    _log = Logger()

    def __init__(
        self,
        instance: Instance,
        first: Beat,
        writer: Runner,
        reactor: IReactorTime,
        *,
        clock: Clock = database_clock,
    ) -> None:
        self.instance = instance
        self._writer = writer
        self._reactor = reactor
        self._clock = clock
        self._watch = Watch(first.at, first.at)
        self._beaten_at = reactor.seconds()
        self._is_failing = False
        self._beating = LoopingCall(self._beat)
        self._beating.clock = reactor
        self._note(first)

    def start(self) -> None:
        """From now on the heart beats by itself."""
        self._beating.start(HEARTBEAT_SECONDS, now=False)

    def run(self, work: Work[T]) -> Deferred[T]:
        """Runs a unit of work of the ledger's, with a heartbeat where one is due: a `Runner` as the writer is."""
        if self._reactor.seconds() - self._beaten_at < HEARTBEAT_SECONDS:
            return self._writer.run(work)

        def with_a_beat(transaction: Transaction) -> tuple[Beat, T]:
            return beat(transaction, self.instance, self._clock, None), work(transaction)

        def beaten(found: tuple[Beat, T]) -> T:
            self._beaten(found[0])
            return found[1]

        return self._writer.run(with_a_beat).addCallback(beaten)

    def stop(self) -> Deferred[None]:
        """Takes leave, after the ledger has written its last row.

        Returns:
            Fires when it is written, or cannot be: then the others find out by the silence. It never fails.
        """
        if self._beating.running:
            self._beating.stop()
        left = self._writer.run(partial(leave, instance=self.instance, clock=self._clock))
        return left.addCallbacks(lambda _: None, lambda _: None)

    def _beat(self) -> Deferred[None]:
        work = partial(beat, instance=self.instance, clock=self._clock, watch=self._watch)
        return self._writer.run(work).addCallbacks(self._beaten, self._failed)

    def _beaten(self, found: Beat) -> None:
        if self._is_failing:
            self._log.warn("instances: the heartbeat is back")
        self._is_failing = False
        self._watch = self._watch.beaten(found.at)
        self._beaten_at = self._reactor.seconds()
        self._note(found)

    def _note(self, found: Beat) -> None:
        if found.gone or found.interrupted:
            self._log.warn(
                "instances: {gone} gone without a word; unfinished requests marked as interrupted: {count}",
                gone=", ".join(found.gone) or "somebody",
                count=found.interrupted,
            )

    def _failed(self, failure: Failure) -> None:
        if not self._is_failing:
            error = failure.value
            reason = error.detail if isinstance(error, StoreUnavailable) else type(error).__name__
            self._log.error("instances: the heartbeat cannot be written ({reason})", reason=reason)
        self._is_failing = True
