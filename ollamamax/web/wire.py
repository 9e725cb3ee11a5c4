"""The way out of a connection: response heads, and the backpressure of a client that reads slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import (
        IAddress,
        IDelayedCall,
        IProducer,
        IPullProducer,
        IPushProducer,
        IReactorTime,
    )
    from twisted.web.http_headers import Headers


class Wire(Protocol):
    """What the door asks of a transport; Twisted's TCP, TLS and UNIX transports have it."""

    def write(self, data: bytes) -> object:
        """ITransport."""

    def writeSequence(self, iovec: Iterable[bytes]) -> object:
        """ITransport."""

    def loseConnection(self) -> object:
        """ITransport."""

    def getPeer(self) -> IAddress:
        """ITransport."""

    def getHost(self) -> IAddress:
        """ITransport."""

    def loseWriteConnection(self) -> object:
        """ITCPTransport."""

    def abortConnection(self) -> object:
        """ITCPTransport."""

    def setTcpNoDelay(self, enabled: bool) -> object:
        """ITCPTransport."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> object:
        """IConsumer."""

    def unregisterProducer(self) -> object:
        """IConsumer."""

    def pauseProducing(self) -> object:
        """IPushProducer."""

    def resumeProducing(self) -> object:
        """IPushProducer."""


class Outflow:
    """What is written, and who writes it.

    A response head waits for the first bytes of its body, so that both leave in one write. The producer of a response
    is paused while the transport's buffer is full.

    Attributes:
        full: whether the transport's buffer is full.
    """

    def __init__(self, wire: Wire, clock: IReactorTime) -> None:
        self.full = False
        self._wire = wire
        self._clock = clock
        self._head = b""
        self._producer: IProducer | None = None
        self._streaming = False
        self._pull_call: IDelayedCall | None = None

    # Writing.

    def hold_head(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Formats a response head, to be written with what follows."""
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        for name, values in headers.getAllRawHeaders():
            lines.extend(b"%b: %b\r\n" % (name, value) for value in values)
        lines.append(b"\r\n")
        self._head = b"".join(lines)

    def flush_head(self) -> None:
        """Writes a head that nothing followed."""
        if self._head:
            self.write(b"")

    def write(self, data: bytes) -> None:
        """Writes, after the head that waits."""
        if self._head:
            self.write_sequence((data,))
        elif data:
            self._wire.write(data)

    def write_sequence(self, pieces: Iterable[bytes]) -> None:
        """Writes several pieces at once, after the head that waits."""
        head, self._head = self._head, b""
        self._wire.writeSequence((head, *pieces) if head else tuple(pieces))

    # Backpressure.

    def register(self, producer: IProducer, streaming: bool) -> None:
        """Lets the transport's buffer govern a producer.

        Args:
            producer: what writes the response.
            streaming: True for a push producer, which is paused and resumed; False for a pull producer, which is asked
                for every piece.

        Raises:
            RuntimeError: there is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"producer {self._producer} was not unregistered")
        self._producer = producer
        self._streaming = streaming
        if not streaming:
            self._pull()
        elif self.full:
            self._push_producer().pauseProducing()

    def unregister(self) -> None:
        """Ends what `register` began; nothing where nothing is registered."""
        self._producer = None
        if self._pull_call is not None:
            self._pull_call.cancel()
            self._pull_call = None

    def buffer_filled(self) -> None:
        """The transport asks for a pause."""
        self.full = True
        if self._producer is not None and self._streaming:
            self._push_producer().pauseProducing()

    def buffer_drained(self) -> None:
        """The transport takes more."""
        self.full = False
        if self._producer is None:
            return
        if self._streaming:
            self._push_producer().resumeProducing()
        elif self._pull_call is None:
            self._pull()

    def stop(self) -> None:
        """The transport is gone: its producer is told, and forgotten."""
        producer = self._producer
        self.unregister()
        if producer is not None:
            producer.stopProducing()

    def _push_producer(self) -> IPushProducer:
        return self._producer  # type: ignore[return-value]  # `streaming` says that it is one

    def _pull(self) -> None:
        self._pull_call = None
        producer: IPullProducer | None = self._producer  # type: ignore[assignment]  # `streaming` says that it is one
        if producer is None or self.full:
            return
        producer.resumeProducing()
        if self._producer is not None and self._pull_call is None:
            self._pull_call = self._clock.callLater(0, self._pull)
