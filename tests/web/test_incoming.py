"""web.incoming: bodies on their way, and the memory that they share."""

from __future__ import annotations

import pytest
from twisted.python.failure import Failure

from ollamamax.errors import RequestTimedOut
from ollamamax.web.incoming import BodyMemory, IncomingBody


class Flow:
    """The connection's side of a body."""

    def __init__(self) -> None:
        self.wanted = 0
        self.changes = 0

    def body_wanted(self) -> None:
        self.wanted += 1

    def body_flow_changed(self) -> None:
        self.changes += 1


class Receiver:
    """Keeps what it is given; pauses after each piece if asked to."""

    def __init__(self, body: IncomingBody | None = None) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[object] = []
        self._body = body

    def body_data(self, data: bytes) -> None:
        assert not self.ends
        self.pieces.append(data)
        if self._body is not None:
            self._body.pause()

    def body_complete(self) -> None:
        self.ends.append("complete")

    def body_failed(self, reason: Failure) -> None:
        self.ends.append(reason.value)


def test_waits_for_a_receiver() -> None:
    """What arrives before there is a receiver waits, and comes in order when there is one."""
    flow, receiver = Flow(), Receiver()
    body = IncomingBody(6, flow)
    body.arrived(b"ab")
    body.arrived(b"cd")
    assert (body.waiting_bytes, flow.wanted) == (4, 0)
    body.deliver_to(receiver)
    assert (receiver.pieces, body.waiting_bytes, flow.wanted) == ([b"ab", b"cd"], 0, 1)
    body.arrived(b"ef")
    body.ended()
    assert (receiver.pieces, receiver.ends) == ([b"ab", b"cd", b"ef"], ["complete"])


def test_complete_before_it_is_taken() -> None:
    """A body that is complete before anybody takes it is delivered all the same."""
    body, receiver = IncomingBody(2, Flow()), Receiver()
    body.arrived(b"ab")
    body.ended()
    body.deliver_to(receiver)
    assert (receiver.pieces, receiver.ends) == ([b"ab"], ["complete"])


def test_pausing() -> None:
    """A paused receiver gets nothing, not even the end; each `resume` goes on where it stopped."""
    body = IncomingBody(None, Flow())
    receiver = Receiver(body)
    body.deliver_to(receiver)
    for piece in (b"a", b"b", b"c"):
        body.arrived(piece)
    body.ended()
    assert receiver.pieces == [b"a"]
    body.resume()
    assert receiver.pieces == [b"a", b"b"]
    body.resume()
    assert (receiver.pieces, receiver.ends) == ([b"a", b"b", b"c"], [])
    body.resume()
    assert receiver.ends == ["complete"]


def test_full_at_the_mark() -> None:
    """From the mark on the connection is not to be read, until enough was delivered."""
    flow = Flow()
    body = IncomingBody(None, flow)
    body.arrived(b"x" * (IncomingBody.HIGH_WATER_BYTES - 1))
    assert not body.full
    body.arrived(b"x")
    assert body.full
    changes = flow.changes
    body.deliver_to(Receiver())
    assert not body.full
    assert flow.changes > changes


def test_failure() -> None:
    """A failed body reports its reason once, at once, and what waited is dropped."""
    body = IncomingBody(None, Flow())
    receiver = Receiver(body)
    body.deliver_to(receiver)
    body.arrived(b"a")
    body.arrived(b"b")
    error = RequestTimedOut()
    body.failed(Failure(error))
    body.failed(Failure(RequestTimedOut()))
    body.resume()
    assert (receiver.pieces, receiver.ends, body.waiting_bytes) == ([b"a"], [error], 0)


def test_failure_before_it_is_taken() -> None:
    """Whoever takes a body that has failed already is told so."""
    body, receiver = IncomingBody(5, Flow()), Receiver()
    error = RequestTimedOut()
    body.failed(Failure(error))
    body.deliver_to(receiver)
    assert (receiver.pieces, receiver.ends) == ([], [error])


def test_no_failure_after_the_end() -> None:
    """A connection that is lost after the body was complete takes nothing from it."""
    body, receiver = IncomingBody(1, Flow()), Receiver()
    body.arrived(b"a")
    body.ended()
    body.failed(Failure(RequestTimedOut()))
    body.deliver_to(receiver)
    assert (receiver.pieces, receiver.ends) == ([b"a"], ["complete"])


def test_abandoned() -> None:
    """An abandoned body holds nothing, takes nothing and says nothing."""
    body, receiver = IncomingBody(None, Flow()), Receiver()
    body.arrived(b"waits")
    body.pause()
    body.deliver_to(receiver)
    body.abandon()
    body.arrived(b"more")
    body.ended()
    body.resume()
    assert (receiver.pieces, receiver.ends, body.waiting_bytes) == ([], [], 0)
    with pytest.raises(RuntimeError):
        body.deliver_to(Receiver())


def test_one_receiver() -> None:
    """A body is delivered to one receiver."""
    body = IncomingBody(None, Flow())
    body.deliver_to(Receiver())
    with pytest.raises(RuntimeError):
        body.deliver_to(Receiver())


def test_abandoned_while_delivering() -> None:
    """A receiver may abandon the body within `body_data`."""

    class Quitter(Receiver):
        def body_data(self, data: bytes) -> None:
            super().body_data(data)
            body.abandon()

    body, receiver = IncomingBody(None, Flow()), Quitter()
    body.arrived(b"a")
    body.arrived(b"b")
    body.deliver_to(receiver)
    assert (receiver.pieces, body.waiting_bytes) == ([b"a"], 0)


def test_memory() -> None:
    """Bytes are taken up to the limit, exactly, and can be taken again when they were given back."""
    memory = BodyMemory(10)
    assert memory.take(7)
    assert not memory.take(4)
    assert memory.take(3)
    assert memory.used_bytes == 10
    memory.give_back(7)
    assert memory.take(7)
