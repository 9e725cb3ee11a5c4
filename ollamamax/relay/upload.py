"""A request body on its way to a node, no faster than the node takes it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.relay.messages import BodyReceiver, StreamedBody
from ollamamax.relay.wire import Wire

PIECE_BYTES = 65536


class BytesBody:
    """A body in memory as a streamed one: large bodies go out piece by piece instead of being copied whole.

    Attributes:
        length: in bytes.
    """

    length: int | None

    def __init__(self, content: bytes) -> None:
        self.length = len(content)
        self._content = memoryview(content)
        self._offset = 0
        self._paused = False
        self._sending = False
        self._receiver: BodyReceiver | None = None

    def deliver_to(self, receiver: BodyReceiver) -> None:
        """Begins the delivery."""
        self._receiver = receiver
        self._send()

    def pause(self) -> None:
        """Stops after the piece being sent."""
        self._paused = True

    def resume(self) -> None:
        """Sends on."""
        self._paused = False
        self._send()

    def abandon(self) -> None:
        """Forgets the rest."""
        self._receiver = None

    def _send(self) -> None:
        if self._sending:
            return
        self._sending = True
        while self._receiver is not None and not self._paused:
            piece = self._content[self._offset : self._offset + PIECE_BYTES]
            self._offset += len(piece)
            if piece:
                self._receiver.body_data(bytes(piece))
            else:
                receiver, self._receiver = self._receiver, None
                receiver.body_complete()
        self._sending = False


@implementer(IPushProducer)
class Upload:
    """Writes a streamed body to a transport, paused and resumed by it.

    Attributes:
        complete: whether all of it was written.
    """

    def __init__(self, body: StreamedBody, wire: Wire, failed: Callable[[Failure], None]) -> None:
        """Prepares; `start` begins.

        Args:
            body: what is sent.
            wire: the transport to the node.
            failed: called when the body fails, or is not as long as it said.
        """
        self.complete = False
        self._body = body
        self._wire = wire
        self._failed = failed
        self._open = True
        self._sent = 0

    def start(self) -> None:
        """Begins to send."""
        self._wire.registerProducer(self, True)
        self._body.deliver_to(self)

    def abandon(self) -> None:
        """Stops for good; the body hears of it unless it is over."""
        if self._open:
            self._end()
            self._body.abandon()

    def body_data(self, data: bytes) -> None:
        """Writes a piece."""
        if not self._open or not data:
            return
        self._sent += len(data)
        if self._body.length is None:
            self._wire.writeSequence([b"%x\r\n" % len(data), data, b"\r\n"])
        elif self._sent <= self._body.length:
            self._wire.write(data)
        else:
            self._break("a body longer than announced")

    def body_complete(self) -> None:
        """Writes the end."""
        if not self._open:
            return
        if self._body.length is None:
            self._wire.write(b"0\r\n\r\n")
        elif self._sent != self._body.length:
            self._end()
            self._failed(Failure(ValueError("a body shorter than announced")))
            return
        self.complete = True
        self._end()

    def body_failed(self, reason: Failure) -> None:
        """Passes the bad news on."""
        if self._open:
            self._end()
            self._failed(reason)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        if self._open:
            self._body.pause()

    def resumeProducing(self) -> None:
        """The transport's buffer has room."""
        if self._open:
            self._body.resume()

    def stopProducing(self) -> None:
        """The transport is gone; the connection tells what that means."""
        self.abandon()

    def _break(self, why: str) -> None:
        self.abandon()
        self._failed(Failure(ValueError(why)))

    def _end(self) -> None:
        self._open = False
        self._wire.unregisterProducer()
