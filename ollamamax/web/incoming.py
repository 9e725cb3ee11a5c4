"""Bodies being received: how much of one is allowed, where it waits, who takes it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from twisted.python.failure import Failure


@attrs.frozen
class BodyPolicy:
    """What is done with the body of a request.

    Attributes:
        max_bytes: its largest size; None for no limit.
        streamed: whether the request is rendered as soon as its head is complete and takes its body from
            `request.incoming`, instead of being rendered with the whole body in memory.
    """

    max_bytes: int | None
    streamed: bool = False


class BodyReceiver(Protocol):
    """What takes a streamed body; after `body_complete` or `body_failed` it hears nothing."""

    def body_data(self, data: bytes) -> None:
        """The next bytes of the body."""

    def body_complete(self) -> None:
        """The body is complete."""

    def body_failed(self, reason: Failure) -> None:
        """The body will not be complete.

        The reason is that of the lost connection, or a `GatewayError` (too slow, too large, malformed) that should be
        the answer.
        """


class BodyFlow(Protocol):
    """The connection that a streamed body comes from."""

    def body_wanted(self) -> None:
        """Somebody takes the body now: the client may be told to go on."""

    def body_flow_changed(self) -> None:
        """`IncomingBody.full` may have changed."""


class BodyMemory:
    """The memory that all buffered bodies share.

    It is counted as bytes arrive, not as lengths are announced: announcing costs a client nothing.

    Attributes:
        limit_bytes: how much there is.
        used_bytes: how much of it is in use.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, count: int) -> bool:
        """Takes bytes; False where they do not fit, and then none are taken."""
        if self.used_bytes + count > self.limit_bytes:
            return False
        self.used_bytes += count
        return True

    def give_back(self, count: int) -> None:
        """Gives back bytes that were taken."""
        self.used_bytes -= count


class IncomingBody:
    """The body of a streamed request, on its way to one receiver.

    What arrives before there is a receiver, or while it is paused, waits here; when that is `HIGH_WATER_BYTES`, the
    connection is no longer read. A connection delivers up to 64 KiB at once, so at most twice the mark waits.

    Attributes:
        length: the announced length in bytes; None for a chunked body.
        waiting_bytes: how much waits here.
        peak_bytes: the most that ever waited here.
    """

    HIGH_WATER_BYTES = 65536

    def __init__(self, length: int | None, flow: BodyFlow) -> None:
        self.length = length
        self.waiting_bytes = 0
        self.peak_bytes = 0
        self._flow: BodyFlow | None = flow
        self._waiting: deque[bytes] = deque()
        self._receiver: BodyReceiver | None = None
        self._paused = False
        self._delivering = False
        self._complete = False
        self._failure: Failure | None = None
        self._abandoned = False

    # For whoever takes the body.

    def deliver_to(self, receiver: BodyReceiver) -> None:
        """Begins to deliver: what waits at once, the rest as it arrives.

        Raises:
            RuntimeError: the body has a receiver already, or was abandoned.
        """
        if self._receiver is not None or self._abandoned:
            raise RuntimeError("a body is delivered once")
        self._receiver = receiver
        if self._flow is not None:
            self._flow.body_wanted()
        self._deliver()

    def pause(self) -> None:
        """Delivers nothing until `resume`; soon the client is no longer read."""
        self._paused = True

    def resume(self) -> None:
        """Delivers again."""
        self._paused = False
        self._deliver()

    def abandon(self) -> None:
        """Drops the rest of the body; its receiver hears nothing any more.

        The response may still be written. Where the body is not complete the connection closes after it.
        """
        self._abandoned = True
        self._receiver = None
        self._drop()
        self._tell_flow()

    # For the connection.

    @property
    def full(self) -> bool:
        """Whether the connection should not be read now."""
        return self.waiting_bytes >= self.HIGH_WATER_BYTES

    def arrived(self, data: bytes) -> None:
        """Takes bytes from the connection."""
        if self._abandoned:
            return
        self._waiting.append(data)
        self.waiting_bytes += len(data)
        self.peak_bytes = max(self.peak_bytes, self.waiting_bytes)
        self._deliver()

    def ended(self) -> None:
        """The body has arrived completely."""
        self._complete = True
        self._flow = None
        self._deliver()

    def failed(self, reason: Failure) -> None:
        """The body will not be complete; what waits of it is of no use. Nothing happens once it is complete."""
        if self._complete or self._failure is not None:
            return
        self._failure = reason
        self._flow = None
        self._drop()
        self._deliver()

    def _deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._waiting and self._receiver is not None and not self._paused:
                data = self._waiting.popleft()
                self.waiting_bytes -= len(data)
                self._receiver.body_data(data)
        finally:
            self._delivering = False
        if self._waiting or self._receiver is None:
            self._tell_flow()
            return
        if self._failure is not None:
            receiver, self._receiver = self._receiver, None
            self._abandoned = True
            receiver.body_failed(self._failure)
        elif self._complete and not self._paused:
            receiver, self._receiver = self._receiver, None
            self._abandoned = True
            receiver.body_complete()
        self._tell_flow()

    def _drop(self) -> None:
        self._waiting.clear()
        self.waiting_bytes = 0

    def _tell_flow(self) -> None:
        if self._flow is not None:
            self._flow.body_flow_changed()
