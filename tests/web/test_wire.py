"""web.wire and web.closing: what leaves, at whose pace, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http_headers import Headers
from web.memory_site import MemoryConnection, MemoryTransport, make_site, waiting

from ollamamax.web.closing import Closing
from ollamamax.web.deadlines import Deadline
from ollamamax.web.wire import Outflow


class Producer:
    """A producer that notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class RecordingWire(StringTransport):
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writeSequence(self, data: Any) -> None:
        self.writes.append(b"".join(data))


def make_outflow() -> tuple[Outflow, RecordingWire, Clock]:
    """An outflow over a recording transport."""
    wire: Any = RecordingWire()
    clock = Clock()
    return Outflow(wire, clock), wire, clock


def test_head_leaves_with_the_body() -> None:
    """A head and the first piece of its body are one write; later pieces are theirs."""
    outflow, wire, _ = make_outflow()
    outflow.hold_head(b"HTTP/1.1", b"200", b"OK", Headers({b"a": [b"1", b"2"]}))
    assert wire.writes == []
    outflow.write(b"x")
    outflow.write_sequence([b"y", b"z"])
    outflow.write(b"")
    outflow.flush_head()
    assert wire.writes == [b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\n\r\nx", b"yz"]


def test_head_without_a_body() -> None:
    """A head that nothing follows can be sent alone, once."""
    outflow, wire, _ = make_outflow()
    outflow.hold_head(b"HTTP/1.1", b"204", b"No Content", Headers())
    outflow.flush_head()
    outflow.flush_head()
    assert wire.writes == [b"HTTP/1.1 204 No Content\r\n\r\n"]


def test_push_producer() -> None:
    """A push producer is paused and resumed by the transport's buffer, and at once where that is full already."""
    outflow, _, _ = make_outflow()
    first: Any = Producer()
    outflow.register(first, streaming=True)
    with pytest.raises(RuntimeError):
        outflow.register(first, streaming=True)
    outflow.buffer_filled()
    outflow.buffer_drained()
    outflow.unregister()
    outflow.buffer_filled()
    second: Any = Producer()
    outflow.register(second, streaming=True)
    assert (first.calls, second.calls) == (["pause", "resume"], ["pause"])
    outflow.stop()
    outflow.stop()
    assert second.calls == ["pause", "stop"]


def test_pull_producer() -> None:
    """A pull producer is asked once per turn of the clock while the buffer takes more, and no longer."""
    outflow, _, clock = make_outflow()

    class Filler(Producer):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            if len(self.calls) % 2 == 0:
                outflow.buffer_filled()

    producer: Any = Filler()
    outflow.register(producer, streaming=False)
    assert producer.calls == ["resume"]
    clock.advance(0)
    clock.advance(0)
    assert producer.calls == ["resume"] * 2
    outflow.buffer_drained()
    outflow.buffer_drained()
    assert producer.calls == ["resume"] * 3
    outflow.unregister()
    assert clock.getDelayedCalls() == []


def test_pull_producer_that_ends_itself() -> None:
    """A pull producer that unregisters itself when asked is not asked again."""
    outflow, _, clock = make_outflow()

    class Once(Producer):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            outflow.unregister()

    producer: Any = Once()
    outflow.register(producer, streaming=False)
    clock.advance(0)
    assert producer.calls == ["resume"]
    assert clock.getDelayedCalls() == []


def closing_of(*, secure: bool = False) -> tuple[Closing, MemoryConnection, Clock]:
    """A connection whose end is in the test's hands."""
    clock = Clock()
    client = MemoryConnection(make_site(waiting, clock), clock, secure=secure)
    closing: Closing

    def expired() -> None:
        closing.expired()

    wire: Any = client.transport
    closing = Closing(wire, Deadline(clock, expired), 60.0)
    return closing, client, clock


def test_plain_end() -> None:
    """With nothing unread the connection closes as soon as everything is flushed."""
    closing, client, _ = closing_of()
    client.transport.write(b"bye")
    closing.begin(unread=False)
    client.turn()
    assert (bytes(client.received), client.closed, client.aborted) == (b"bye", True, False)


def test_lingering_end() -> None:
    """With something unread only the sending side closes first; the rest follows after the lingering."""
    closing, client, _ = closing_of()
    client.transport.write(b"bye")
    closing.begin(unread=True)
    client.turn()
    assert (bytes(client.received), client.ended, client.closed) == (b"bye", True, False)
    client.turn(Closing.LINGER_SECONDS)
    assert (client.closed, client.aborted) == (True, False)


def test_lingering_is_bounded() -> None:
    """A client that sends on and on is cut off."""
    closing, client, _ = closing_of()
    closing.begin(unread=True)
    closing.dropped(Closing.LINGER_BYTES)
    client.turn()
    assert not client.closed
    closing.dropped(1)
    client.turn()
    assert (client.closed, client.aborted) == (True, True)


def test_client_that_does_not_read_the_end() -> None:
    """A client that takes neither answer nor end is cut off after the patience."""
    closing, client, _ = closing_of()
    client.reading = False
    client.transport.write(b"bye")
    closing.begin(unread=True)
    client.turn(Closing.LINGER_SECONDS)
    assert not client.closed
    client.turn(60)
    assert (client.closed, client.aborted) == (True, True)


def test_tls_end() -> None:
    """TLS sends its own alert in `loseConnection`: its sending side is never closed alone."""
    closing, client, _ = closing_of(secure=True)
    client.transport.write(b"bye")
    closing.begin(unread=True)
    assert not client.transport.half_closing
    client.turn()
    assert (bytes(client.received), client.closed) == (b"bye", True)


def test_memory_transport_is_honest() -> None:
    """The fake transport pauses its producer at a full buffer, as Twisted's do."""
    clock = Clock()
    client = MemoryConnection(make_site(waiting, clock), clock, peer=IPv4Address("TCP", "192.0.2.1", 1))
    client.reading = False
    client.transport.write(b"x" * (MemoryTransport.BUFFER_BYTES + 1))
    assert client.channel._outflow.full
    client.read_on()
    assert not client.channel._outflow.full
