"""How a connection ends, so that the last answer still reaches the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

if TYPE_CHECKING:
    from ollamamax.web.deadlines import Deadline
    from ollamamax.web.wire import Wire


class Closing:
    """The end of one connection.

    Closing a socket whose received bytes were not all read makes the kernel send a reset, at which the client's kernel
    drops an answer that was not read yet. So where the client may still be sending, only the sending side is closed and
    what comes is read and dropped for a while (RFC 9112, 9.6). A client that takes neither answer nor end is cut off.
    """

    LINGER_SECONDS = 5.0
    LINGER_BYTES = 256 * 1024 * 1024

    def __init__(self, wire: Wire, deadline: Deadline, patience_seconds: float) -> None:
        """Prepares the end of a connection.

        Args:
            wire: the connection's transport; its producer is unregistered.
            deadline: the connection's timer, whose expiry is to be passed on to `expired`.
            patience_seconds: how long the client may take to read what was written.
        """
        self._wire = wire
        self._deadline = deadline
        self._patience_seconds = patience_seconds
        self._lingering = False
        self._dropped_bytes = 0

    def begin(self, *, unread: bool) -> None:
        """Closes once everything is written.

        Args:
            unread: whether the client may be sending still.
        """
        self._wire.unregisterProducer()
        if unread and _half_closes(self._wire):
            self._lingering = True
            self._deadline.set(self.LINGER_SECONDS)
            self._wire.loseWriteConnection()
            self._wire.resumeProducing()
        else:
            self._deadline.set(self._patience_seconds)
            self._wire.loseConnection()

    def dropped(self, count: int) -> None:
        """Counts bytes that arrived too late."""
        self._dropped_bytes += count
        if self._dropped_bytes > self.LINGER_BYTES:
            self._wire.abortConnection()

    def expired(self) -> None:
        """The deadline that this object had set has passed."""
        if self._lingering:
            self._lingering = False
            self._deadline.set(self._patience_seconds)
            self._wire.loseConnection()
        else:
            self._wire.abortConnection()


def _half_closes(wire: object) -> bool:
    """Whether the sending side can be closed alone.

    TLS does that by itself: `loseConnection` sends its alert and reads on until the peer's.
    """
    return bool(ITCPTransport.providedBy(wire)) and not ISSLTransport.providedBy(wire)
