"""The rounds of probes of one node: one after the other, at their time or sooner."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ollamamax.fleet.answers import Models, read_models
from ollamamax.fleet.nodes import Node


class Watch:
    """When a node is probed.

    Attributes:
        node: the node.

    Args:
        node: the node.
        probe: one round, which ends without an exception whatever the node does.
        clock: what keeps the time.
        pause: seconds from the end of a round to the begin of the next one.
    """

    _log = Logger()

    def __init__(
        self,
        node: Node,
        probe: Callable[[Watch], Coroutine[Deferred[object], object, None]],
        clock: IReactorTime,
        pause: Callable[[], float],
    ) -> None:
        self.node = node
        self._probe = probe
        self._clock = clock
        self._pause = pause
        self._running: Deferred[None] | None = None
        self._began_at = clock.seconds()
        self._next: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []
        self._stopped = False
        self._tags_digest = b""
        self._models: Models = {}

    def models(self, tags: bytes) -> Models:
        """Reads a list of models, unless it is the one that was read last: most rounds bring the same.

        Raises:
            BadAnswer: as `answers.read_models`.
        """
        digest = hashlib.blake2b(tags).digest()
        if digest != self._tags_digest:
            self._models = read_models(tags)
            self._tags_digest = digest
        return self._models

    def probe(self) -> Deferred[None]:
        """Asks for a round that begins now, or when the one that is running has ended.

        Returns:
            Fires when that round has ended or the watch was stopped. Cancelling it ends no round.
        """
        ended: Deferred[None] = Deferred()
        self._waiting.append(ended)
        if self._running is None:
            self._begin()
        return ended

    def hasten(self, gap_seconds: float) -> None:
        """Brings the next round forward, to so long after the last one began; one that is running will do."""
        if self._next is None:
            return
        delay = max(0.0, self._began_at + gap_seconds - self._clock.seconds())
        if self._next.getTime() > self._clock.seconds() + delay:
            self._next.reset(delay)

    def stop(self) -> None:
        """Ends the round that is running and has no other; whoever waits is released."""
        self._stopped = True
        self._unschedule()
        if self._running is not None:
            self._running.cancel()
        _release(self._waiting)

    def _begin(self) -> None:
        self._unschedule()
        self._began_at = self._clock.seconds()
        waiting, self._waiting = self._waiting, []
        self._running = Deferred.fromCoroutine(self._probe(self))
        self._running.addErrback(self._broke).addCallback(lambda _: self._ended(waiting))

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("probing node {node} failed", failure, node=self.node.name)

    def _ended(self, waiting: list[Deferred[None]]) -> None:
        self._running = None
        if not self._stopped:
            if self._waiting:
                self._begin()
            else:
                self._next = self._clock.callLater(self._pause(), self._due)
        _release(waiting)

    def _due(self) -> None:
        self._next = None
        self._begin()

    def _unschedule(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None


def _release(waiting: list[Deferred[None]]) -> None:
    released, waiting[:] = list(waiting), []
    for ended in released:
        ended.callback(None)
