"""How long rows stay: what is too old, or takes too much room, becomes daily sums, and its room is given back.

That happens on the writer's thread in units of work of a hundred rows, with a pause after each, so that the groups
of the ledger hardly wait for it. Wherever it is broken off, it goes on with the next round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.retention_statements import PAGES, give_back, prune

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from ollamamax.store.destinations import Runner
    from ollamamax.store.pool import Work

ROUND_SECONDS = 600.0
FIRST_ROUND_SECONDS = 10.0
PAUSE_SECONDS = 0.05
TELLING_SECONDS = 60.0


@attrs.frozen
class Retention:
    """Which rows stay.

    Attributes:
        days: those of so many whole days in UTC, today not counted; None for any age.
        bytes: as many as have room in so much; None for any number.
    """

    days: int | None
    bytes: int | None

    def oldest(self, now: float) -> float | None:
        """The moment in unix seconds before which a request must have started for its row to be too old."""
        return None if self.days is None else (now // 86400 - self.days) * 86400


class Pruning:
    """Goes through the ledger every ten minutes.

    Args:
        retention: which rows stay.
        writer: runs what writes, one unit at a time.
        clock: the clock of rounds and pauses.
        now: the present moment in unix seconds.
    """

    _log = Logger()

    def __init__(self, retention: Retention, writer: Runner, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._retention = retention
        self._writer = writer
        self._clock = clock
        self._now = now
        self._rounds = LoopingCall(self._round)
        self._rounds.clock = clock
        self._first: IDelayedCall | None = None
        self._pause: Deferred[None] | None = None
        self._is_stopped = False
        self._is_failing = False

    def start(self) -> None:
        """Begins a moment from now, when there is less to do than at the start."""
        self._first = self._clock.callLater(FIRST_ROUND_SECONDS, self._rounds.start, ROUND_SECONDS)

    def stop(self) -> None:
        """Begins nothing more; what is under way on the writer's thread is finished there."""
        if self._first is not None and self._first.active():
            self._first.cancel()
        if self._rounds.running:
            self._rounds.stop()
        self._is_stopped = True
        if self._pause is not None:
            self._pause.cancel()

    def _round(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._prune()).addErrback(_stopped)

    async def _prune(self) -> None:
        removed, told = 0, self._clock.seconds()
        try:
            while found := await self._run(partial(prune, retention=self._retention, now=self._now())):
                removed += found
                if self._clock.seconds() - told >= TELLING_SECONDS:
                    told = self._clock.seconds()
                    self._log.info("ledger: {count} old accounts summed up and removed so far", count=removed)
                await self._rest()
            while await self._run(partial(give_back, pages=PAGES)):
                await self._rest()
        except StoreUnavailable as error:
            if not self._is_failing:
                self._log.warn("ledger: old accounts cannot be removed now ({reason})", reason=error.detail)
            self._is_failing = True
            return
        self._is_failing = False
        if removed:
            self._log.info("ledger: {count} old accounts summed up and removed", count=removed)

    async def _run(self, work: Work[int]) -> int:
        if self._is_stopped:
            raise CancelledError
        return await self._writer.run(work)

    async def _rest(self) -> None:
        if self._is_stopped:
            raise CancelledError
        self._pause = deferLater(self._clock, PAUSE_SECONDS)
        await self._pause


def _stopped(failure: Failure) -> None:
    failure.trap(CancelledError)
