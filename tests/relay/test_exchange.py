"""One exchange: aborted, paused, with a body that is streamed; and the end of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from ollamamax.address import NodeAddress
from ollamamax.errors import (
    NodeClosedEarly,
    ShuttingDown,
)
from ollamamax.relay.client import Exchange, NodeClient, RequestHead

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = RequestHead(b"GET", b"/api/tags?x=1", ((b"Accept", b"*/*"),))
POST = RequestHead(b"POST", b"/api/chat", ())


@pytest.fixture
def send(client: NodeClient, address: NodeAddress, listener: Any) -> Callable[..., Exchange]:
    """Sends a request to the node."""

    def send_it(head: RequestHead = GET, body: Any = b"", receiver: Any = listener) -> Exchange:
        return client.send(address, head, body, receiver, connect_timeout=2.0)

    return send_it


# Abort, in every stage: the connection is closed in the same turn, and the receiver hears nothing more.


def test_abort_while_connecting(send: Any, nodes: Any, listener: Any, clock: Clock) -> None:
    """The connect is given up."""
    nodes.accepting = False
    exchange = send()
    exchange.abort()
    assert nodes.attempts[0].cancelled
    assert not clock.getDelayedCalls()
    exchange.abort()
    assert listener.failures == []


@pytest.mark.parametrize("stage", ["sent", "head", "streaming", "kept"])
def test_abort(send: Any, nodes: Any, listener: Any, stage: str) -> None:
    """The connection is aborted, whatever had come by then; bytes that come still are not heard."""
    if stage == "kept":
        send()
        nodes.wires[0].deliver(OK)
    exchange = send()
    wire = nodes.wires[0]
    if stage in ("head", "streaming"):
        wire.deliver(CHUNKED)
    if stage == "streaming":
        wire.deliver(b"1\r\na\r\n")
    heard = list(listener.pieces)
    exchange.abort()
    assert wire.aborted
    wire.deliver(b"1\r\nb\r\n")
    wire.lose()
    assert (listener.pieces, listener.failures) == (heard, [])
    assert len(nodes.wires) == 1


def test_abort_in_the_middle_of_a_read(send: Any, nodes: Any, listener: Any) -> None:
    """A receiver that aborts on a piece does not hear the rest of the same read."""
    exchange = send()
    listener.on_data = exchange.abort
    nodes.wires[0].deliver(CHUNKED + b"1\r\na\r\n1\r\nb\r\nzz\r\n")
    assert listener.pieces == [b"a"]
    assert nodes.wires[0].aborted
    assert (listener.finished, listener.failures) == (0, [])


def test_abort_after_the_end(send: Any, nodes: Any, client: NodeClient) -> None:
    """Aborting what is over does not touch the connection, which may be another's by then."""
    exchange = send()
    nodes.wires[0].deliver(OK)
    exchange.abort()
    exchange.pause()
    assert not nodes.wires[0].closed
    assert len(client.pool) == 1


# Backpressure of responses.


def test_pause_and_resume(send: Any, nodes: Any) -> None:
    """Pausing stops the reading from the node, resuming begins it again."""
    exchange = send()
    exchange.pause()
    exchange.pause()
    assert nodes.wires[0].paused
    exchange.resume()
    assert not nodes.wires[0].paused


def test_pause_before_there_is_a_connection(send: Any, nodes: Any) -> None:
    """A pause holds for the connection that comes."""
    nodes.accepting = False
    exchange = send()
    exchange.pause()
    assert nodes.accept().paused
    exchange.resume()
    assert not nodes.wires[0].paused


def test_a_paused_connection_is_kept_reading(send: Any, nodes: Any, listener: Any, client: NodeClient) -> None:
    """A connection that was paused in its last read is not paused for its next request."""
    exchange = send()
    listener.on_data = exchange.pause
    nodes.wires[0].deliver(OK)
    assert len(client.pool) == 1
    assert not nodes.wires[0].paused


# Bodies that are streamed.


@pytest.mark.parametrize("length", [5, None])
def test_a_streamed_body(send: Any, nodes: Any, listener: Any, arriving_body: Any, length: int | None) -> None:
    """Pieces are passed on as they come, by length or in chunks; the connection is clean afterwards."""
    body = arriving_body(length)
    send(POST, body)
    wire = nodes.wires[0]
    head = b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:11434\r\n"
    framing = b"Content-Length: 5\r\n\r\n" if length else b"Transfer-Encoding: chunked\r\n\r\n"
    assert wire.value() == head + framing
    wire.clear()
    body.receiver.body_data(b"abc")
    assert wire.value() == (b"abc" if length else b"3\r\nabc\r\n")
    body.receiver.body_data(b"")
    body.receiver.body_data(b"de")
    body.receiver.body_complete()
    assert wire.value() == (b"abcde" if length else b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    wire.deliver(OK)
    assert (listener.finished, wire.closed, body.abandoned) == (1, False, 0)


def test_a_streamed_body_gets_a_fresh_connection(send: Any, nodes: Any, listener: Any, arriving_body: Any) -> None:
    """A body that can be sent once only is not risked on a connection that may be stale."""
    send()
    nodes.wires[0].deliver(OK)
    body = arriving_body(3)
    send(POST, body)
    assert len(nodes.wires) == 2
    nodes.wires[1].lose()
    assert [type(error) for error in listener.failures] == [NodeClosedEarly]
    assert body.abandoned == 1
    body.receiver.body_data(b"abc")
    body.receiver.body_complete()
    body.receiver.body_failed(None)
    assert len(listener.failures) == 1


def test_a_streamed_body_is_paced_by_the_node(send: Any, nodes: Any, arriving_body: Any) -> None:
    """The node's transport pauses and resumes the client's body."""
    body = arriving_body(None)
    send(POST, body)
    nodes.wires[0].producer.pauseProducing()
    assert body.paused
    nodes.wires[0].producer.resumeProducing()
    assert not body.paused


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"ab"]])
def test_a_streamed_body_of_another_length(
    send: Any, nodes: Any, listener: Any, arriving_body: Any, pieces: list[bytes]
) -> None:
    """A body that is not as long as it said breaks the exchange, never the framing."""
    body = arriving_body(3)
    send(POST, body)
    for piece in pieces:
        body.receiver.body_data(piece)
    body.receiver.body_complete()
    assert nodes.wires[0].aborted
    assert [type(error) for error in listener.failures] == [ValueError]


def test_a_streamed_body_that_fails(send: Any, nodes: Any, listener: Any, arriving_body: Any) -> None:
    """The receiver hears why the body failed, and the node's connection is aborted."""
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    body = arriving_body(3)
    send(POST, body)
    body.receiver.body_failed(Failure(ConnectionLost()))
    assert nodes.wires[0].aborted
    assert [type(error) for error in listener.failures] == [ConnectionLost]
    assert body.abandoned == 0


def test_an_answer_before_the_body_is_complete(send: Any, nodes: Any, listener: Any, arriving_body: Any) -> None:
    """The answer counts, the rest of the body is abandoned, the connection is not used again."""
    body = arriving_body(None)
    send(POST, body)
    body.receiver.body_data(b"abc")
    nodes.wires[0].deliver(OK)
    assert (listener.finished, listener.failures, body.abandoned) == (1, [], 1)
    assert nodes.wires[0].aborted


def test_abort_abandons_the_body(send: Any, nodes: Any, arriving_body: Any) -> None:
    """Nobody wants the rest of an aborted upload."""
    body = arriving_body(None)
    exchange = send(POST, body)
    exchange.abort()
    assert body.abandoned == 1
    assert nodes.wires[0].aborted


def test_a_large_body_in_memory(send: Any, nodes: Any, listener: Any) -> None:
    """A large body goes out whole, and the connection is clean afterwards."""
    body = bytes(range(256)) * 4000
    send(POST, body)
    assert nodes.wires[0].value().partition(b"\r\n\r\n")[2] == body
    nodes.wires[0].deliver(OK)
    assert (listener.finished, nodes.wires[0].closed) == (1, False)


def test_a_large_body_waits_for_the_transport(send: Any, nodes: Any, listener: Any) -> None:
    """A transport whose buffer is full gets no more until it has room; an early answer ends the sending."""
    nodes.high_water = 100_000
    send(POST, bytes(1_000_000))
    wire = nodes.wires[0]
    assert len(wire.value()) < 300_000
    wire.clear()
    wire.producer.resumeProducing()
    assert 0 < len(wire.value()) < 300_000
    wire.deliver(OK)
    assert listener.finished == 1
    assert wire.aborted
    assert wire.producer is None


# The end.


def test_close(send: Any, nodes: Any, listener: Any, client: NodeClient, make_listener: Any) -> None:
    """Closing ends what is under way, closes what is idle, refuses what comes, and tells when all is gone."""
    idle, busy, connecting, late = make_listener(), listener, make_listener(), make_listener()
    send(receiver=idle)
    send(receiver=busy)
    nodes.wires[0].deliver(OK)
    nodes.accepting = False
    send(POST, b"{}", receiver=make_listener())
    send(receiver=connecting)
    closed: list[object] = []
    client.close().addCallback(closed.append)
    for each in (busy, connecting):
        assert [type(error) for error in each.failures] == [ShuttingDown]
    assert all(wire.aborted for wire in nodes.wires)
    assert closed == []
    for wire in nodes.wires:
        wire.lose()
    assert closed == [None]
    send(receiver=late)
    assert [type(error) for error in late.failures] == [ShuttingDown]
    assert client.close().called


def test_an_exchange_ended_by_the_close_of_the_client_is_not_kept(send: Any, nodes: Any, client: NodeClient) -> None:
    """A connection that becomes free after the close is not kept."""
    send()
    wire = nodes.wires[0]
    client.close()
    client.connection_idle(wire.protocol)
    assert wire.aborted
    assert len(client.pool) == 0
