"""Requests to a node, over transports in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from ollamamax.address import NodeAddress
from ollamamax.errors import (
    InternalError,
    NodeClosedEarly,
    NodeConnectFailed,
    NodeProtocolError,
    NodeTimedOut,
    NodeTruncated,
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


def test_head_and_body_go_out_together(send: Any, nodes: Any, listener: Any) -> None:
    """A small request is one write: the request line, the node's own Host, the headers, the length, the body."""
    send(POST, b'{"model":"x"}')
    wire = nodes.wires[0]
    assert wire.writes == [
        b'POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:11434\r\nContent-Length: 13\r\n\r\n{"model":"x"}'
    ]
    wire.deliver(OK)
    assert (listener.head.status, listener.body, listener.finished) == (200, b"ok", 1)


def test_a_get_has_no_framing(send: Any, nodes: Any) -> None:
    """A request without a body announces none; a POST without one says so."""
    send()
    assert nodes.wires[-1].value() == b"GET /api/tags?x=1 HTTP/1.1\r\nHost: 127.0.0.1:11434\r\nAccept: */*\r\n\r\n"
    send(POST)
    assert b"\r\nContent-Length: 0\r\n" in nodes.wires[-1].value()


def test_the_addresss_prefix_is_put_in_front(client: NodeClient, nodes: Any, listener: Any) -> None:
    """A node behind a path prefix is asked under it; an IPv6 literal is written in brackets."""
    client.send(NodeAddress("http", "::1", 80, "/ollama"), GET, b"", listener, connect_timeout=1)
    assert nodes.wires[-1].value().startswith(b"GET /ollama/api/tags?x=1 HTTP/1.1\r\nHost: [::1]:80\r\n")


@pytest.mark.parametrize(
    "head",
    [
        RequestHead(b"GET", b"/a b"),
        RequestHead(b"GET", b"/\r\nX: 1"),
        RequestHead(b"GET", b"/", ((b"A", b"1\r\nB: 2"),)),
        RequestHead(b"GET", b"/", ((b"A", b"1\n"),)),
    ],
)
def test_no_line_breaks_inside_of_a_head(send: Any, nodes: Any, head: RequestHead) -> None:
    """What would be read as another request than the one meant is not written at all."""
    with pytest.raises(ValueError, match="line breaks"):
        send(head)
    assert not nodes.wires


def test_a_clean_connection_is_used_again(send: Any, nodes: Any, listener: Any, client: NodeClient) -> None:
    """The next request goes over the same connection."""
    send()
    nodes.wires[0].deliver(OK)
    assert len(client.pool) == 1
    send()
    assert len(client.pool) == 0
    nodes.wires[0].deliver(OK)
    assert (len(nodes.wires), listener.finished) == (1, 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK + b"x",
    ],
)
def test_an_unclean_connection_is_closed(send: Any, nodes: Any, listener: Any, raw: bytes) -> None:
    """What the node closes, or says more on than it was asked, carries no second request."""
    send()
    nodes.wires[0].deliver(raw)
    assert (listener.body, listener.finished) == (b"ok", 1)
    assert nodes.wires[0].closed
    send()
    assert len(nodes.wires) == 2


def test_unasked_bytes_close_an_idle_connection(send: Any, nodes: Any, client: NodeClient) -> None:
    """A node that speaks while nothing was asked loses the connection, and the next request gets another one."""
    send()
    nodes.wires[0].deliver(OK)
    nodes.wires[0].deliver(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert nodes.wires[0].aborted
    send()
    assert len(nodes.wires) == 2
    nodes.wires[0].lose()
    assert len(client.pool) == 0


def test_idle_connections_grow_old(send: Any, nodes: Any, clock: Clock, client: NodeClient, make_listener: Any) -> None:
    """An idle connection is closed after its time, on one timer for all."""
    send()
    send(receiver=make_listener())
    nodes.wires[0].deliver(OK)
    clock.advance(30)
    nodes.wires[1].deliver(OK)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(30)
    assert (nodes.wires[0].closed, nodes.wires[1].closed, len(client.pool)) == (True, False, 1)
    clock.advance(30)
    assert (nodes.wires[1].closed, len(client.pool)) == (True, 0)
    assert not clock.getDelayedCalls()


def test_only_so_many_idle_connections(send: Any, nodes: Any, client: NodeClient, make_listener: Any) -> None:
    """Connections beyond the limit are closed after use; the one used last is used first."""
    for _ in range(3):
        send(receiver=make_listener())
    for wire in nodes.wires:
        wire.deliver(OK)
    assert [wire.closed for wire in nodes.wires] == [False, False, True]
    assert len(client.pool) == 2
    nodes.wires[1].clear()
    send()
    assert nodes.wires[1].value()
    nodes.wires[0].lose()
    assert len(client.pool) == 0


def test_a_stale_connection_is_replaced_once(send: Any, nodes: Any, listener: Any) -> None:
    """A kept connection that closes without a byte is no failure yet; the fresh one that does so is."""
    send()
    nodes.wires[0].deliver(OK)
    send(POST, b"{}")
    nodes.wires[0].lose(reset=True)
    assert len(nodes.wires) == 2
    assert nodes.wires[1].value().endswith(b"\r\n\r\n{}")
    assert listener.failures == []
    nodes.wires[1].lose()
    assert [type(error) for error in listener.failures] == [NodeClosedEarly]
    assert len(nodes.wires) == 2


def test_a_stale_connection_with_a_large_body(send: Any, nodes: Any, listener: Any) -> None:
    """A large body is sent again whole."""
    send()
    nodes.wires[0].deliver(OK)
    body = bytes(range(256)) * 1000
    send(POST, body)
    nodes.wires[0].lose()
    assert nodes.wires[1].value().partition(b"\r\n\r\n")[2] == body
    nodes.wires[1].deliver(OK)
    assert listener.finished == 2


def test_an_answer_begun_is_not_asked_for_again(send: Any, nodes: Any, listener: Any) -> None:
    """Once a byte came back, a closed connection is a failure, kept or not."""
    send()
    nodes.wires[0].deliver(OK)
    send()
    nodes.wires[0].deliver(b"H")
    nodes.wires[0].lose()
    assert [type(error) for error in listener.failures] == [NodeClosedEarly]
    assert len(nodes.wires) == 1


def test_refused(send: Any, nodes: Any, listener: Any, clock: Clock) -> None:
    """A refused connect is told as such, with the reason for the log only."""
    nodes.accepting = False
    send()
    nodes.refuse()
    (error,) = listener.failures
    assert isinstance(error, NodeConnectFailed)
    assert "Refused" in error.detail
    assert not clock.getDelayedCalls()


def test_no_endpoint(clock: Clock, address: NodeAddress, listener: Any) -> None:
    """An address that no endpoint can be made of is a failed connect, told before `send` returns."""

    def bad(_: NodeAddress) -> Any:
        raise ValueError("no such thing")

    NodeClient(clock, endpoint_for=bad).send(address, GET, b"", listener, connect_timeout=1)
    assert [type(error) for error in listener.failures] == [NodeConnectFailed]
    assert not clock.getDelayedCalls()


def test_connect_takes_too_long(send: Any, nodes: Any, listener: Any, clock: Clock) -> None:
    """A connect that does not come about in time is given up."""
    nodes.accepting = False
    send()
    clock.advance(1.9)
    assert not listener.failures
    clock.advance(0.1)
    (error,) = listener.failures
    assert isinstance(error, NodeTimedOut)
    assert (error.phase, error.seconds) == ("connect", 2.0)
    assert nodes.attempts[0].cancelled


@pytest.mark.parametrize("peer", ["169.254.169.254", "fe80::1", "::ffff:169.254.1.1", "0.0.0.0"])
def test_link_local_peers_are_refused(send: Any, nodes: Any, listener: Any, peer: str) -> None:
    """A name that resolved to a metadata address gets nothing sent."""
    nodes.peer = peer
    send(POST, b"secret")
    assert nodes.wires[0].value() == b""
    assert nodes.wires[0].aborted
    assert [type(error) for error in listener.failures] == [NodeConnectFailed]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", NodeClosedEarly),
        (b"HTTP/1.1 200 OK\r\nContent-", NodeClosedEarly),
        (b"HTTP/1.1 100 Continue\r\n\r\n", NodeClosedEarly),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", NodeTruncated),
        (CHUNKED + b"2\r\nab\r\n", NodeTruncated),
        (CHUNKED, NodeTruncated),
    ],
)
def test_broken_off(send: Any, nodes: Any, make_listener: Any, raw: bytes, error: type) -> None:
    """A connection that ends, by FIN or RST, before the response does is told by how far that had come."""
    for reset in (False, True):
        listener = make_listener()
        send(receiver=listener)
        if raw:
            nodes.wires[-1].deliver(raw)
        nodes.wires[-1].lose(reset=reset)
        assert [type(each) for each in listener.failures] == [error]
        assert [each.unanswered for each in listener.failures if isinstance(each, NodeClosedEarly)] in ([], [not raw])
        assert listener.finished == 0


def test_a_body_that_lasts_as_long_as_the_connection(send: Any, nodes: Any, make_listener: Any) -> None:
    """FIN ends such a body well, RST does not."""
    for reset in (False, True):
        listener = make_listener()
        send(receiver=listener)
        nodes.wires[-1].deliver(b"HTTP/1.1 200 OK\r\n\r\nabc")
        nodes.wires[-1].lose(reset=reset)
        assert listener.body == b"abc"
        assert listener.finished == (not reset)
        assert [type(error) for error in listener.failures] == ([NodeTruncated] if reset else [])


@pytest.mark.parametrize(
    "raw",
    [b"garbage\r\n", CHUNKED + b"zz\r\n", CHUNKED + b"1\r\na\r\nzz\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000],
)
def test_nonsense(send: Any, nodes: Any, listener: Any, raw: bytes) -> None:
    """What is no HTTP ends the exchange and the connection."""
    send()
    nodes.wires[0].deliver(raw)
    assert [type(error) for error in listener.failures] == [NodeProtocolError]
    assert nodes.wires[0].aborted


def test_a_receivers_own_failure(send: Any, nodes: Any, listener: Any, flush_logged_errors: Any) -> None:
    """An exception in the receiver is logged, ends the exchange, and is not put down to the node."""

    def fail() -> None:
        raise KeyError("mine")

    listener.on_data = fail
    send()
    nodes.wires[0].deliver(OK)
    assert [type(error) for error in listener.failures] == [InternalError]
    assert nodes.wires[0].aborted
    assert len(flush_logged_errors(KeyError)) == 1


def test_responses_to_head(send: Any, nodes: Any, listener: Any) -> None:
    """A HEAD is over with its head."""
    send(RequestHead(b"HEAD", b"/", ()))
    nodes.wires[0].deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n")
    assert (listener.finished, listener.body) == (1, b"")
    assert nodes.wires[0].closed
