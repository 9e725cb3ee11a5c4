"""web.channel and web.incoming: bodies that are taken as they arrive."""

from __future__ import annotations

import pytest
from twisted.python.failure import Failure
from web.door import GET, STREAMED, Door, Taker, chunked, post
from web.memory_site import HOST, waiting

from ollamamax.web.incoming import BodyPolicy, IncomingBody

# --- streamed bodies -------------------------------------------------------------------------------------------------


def test_streamed_body() -> None:
    """A streamed request is rendered at its head and takes its body as it comes."""
    door = Door(waiting, policy=STREAMED)
    client = door.connect()
    client.send(post(b"hello world")[:-6])
    (request,) = door.requests
    assert request.incoming is not None
    assert request.incoming.length == 11
    taker = Taker()
    request.incoming.deliver_to(taker)
    assert bytes(taker.data) == b"hello"
    client.turn(1)
    client.send(b" world")
    assert (bytes(taker.data), taker.ends, request.body_at) == (b"hello world", ["complete"], 1.0)
    request.write(b"done")
    request.finish()
    client.send(GET)
    assert [(a.status, a.header("Connection")) for a in client.answers()] == [(200, None)]
    assert len(door.requests) == 2


def test_streamed_request_without_a_body() -> None:
    """A streamed request without a body has one that is complete."""
    door = Door(waiting, policy=STREAMED)
    door.connect().send(GET)
    (request,) = door.requests
    assert request.incoming is not None
    taker = Taker()
    request.incoming.deliver_to(taker)
    assert (request.incoming.length, taker.ends) == (0, ["complete"])


def test_streamed_request_answered_at_once() -> None:
    """Without a body there is nothing left to read: the connection stays."""
    door = Door(lambda _: b"x", policy=STREAMED)
    client = door.connect()
    client.send(GET + post(b"") + GET)
    assert [(a.status, a.header("Connection")) for a in client.answers()] == [(200, None)] * 3


def test_streamed_continue() -> None:
    """A client that waits is told to go on when somebody takes the body, and not before."""
    door = Door(waiting, policy=STREAMED)
    client = door.connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert bytes(client.received) == b""
    assert door.requests[0].incoming is not None
    door.requests[0].incoming.deliver_to(Taker())
    client.turn()
    assert [answer.status for answer in client.answers()] == [100]


def test_streamed_refused_without_continue() -> None:
    """A request that is answered without its body is never told to go on, and its connection closes."""
    door = Door(lambda _: b"no", policy=STREAMED)
    client = door.connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert [(a.status, a.header("Connection")) for a in client.answers()] == [(200, "close")]
    assert client.ended


@pytest.mark.parametrize("taken", [False, True])
def test_streamed_body_is_bounded(taken: bool) -> None:
    """A body that nobody takes, or that is paused, stops being read: at most twice the mark is in memory."""
    door = Door(waiting, policy=STREAMED, min_body_bytes_per_second=1000)
    client = door.connect()
    size = 4 * 1024 * 1024
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size)
    (request,) = door.requests
    body = request.incoming
    assert body is not None
    taker = Taker()
    if taken:
        body.deliver_to(taker)
        body.pause()
    for _ in range(64):
        client.send(b"x" * 65536)
    held = body.waiting_bytes + len(client.channel._ahead)
    assert client.transport.paused
    assert held <= 2 * IncomingBody.HIGH_WATER_BYTES + 65536
    client.turn(100)
    assert not client.ended, "the client is not to blame for what the gateway does not read"
    if taken:
        body.resume()
    else:
        body.deliver_to(taker)
    client.turn()
    assert (len(taker.data), taker.ends) == (size, ["complete"])
    assert body.peak_bytes <= 2 * IncomingBody.HIGH_WATER_BYTES


def test_streamed_body_and_a_client_that_leaves() -> None:
    """First who serves the request hears of it, then who takes the body."""
    door = Door(waiting, policy=STREAMED)
    client = door.connect()
    client.send(post(b"xyz")[:-1])
    (request,) = door.requests
    events: list[str] = []

    class Noting(Taker):
        def body_failed(self, reason: Failure) -> None:
            events.append("body")

    assert request.incoming is not None
    request.incoming.deliver_to(Noting())
    request.notifyFinish().addErrback(lambda _: events.append("request"))
    client.leave()
    assert events == ["request", "body"]


@pytest.mark.parametrize(
    ("rest", "status", "policy"),
    [
        (b"5\r\nhello\r\nzz", 400, STREAMED),
        (b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", 400, STREAMED),
        (b"5\r\nhello\r\n1\r\n!\r\n", 413, BodyPolicy(max_bytes=5, streamed=True)),
        (b"5\r\nhello\r\n", 408, STREAMED),
    ],
)
def test_streamed_body_that_fails(rest: bytes, status: int, policy: BodyPolicy) -> None:
    """A streamed body that turns out malformed, too large or too slow fails with the error that should be answered."""
    door = Door(waiting, policy=policy)
    client = door.connect()
    client.send(chunked()[: -len(b"0\r\n\r\n")])
    (request,) = door.requests
    taker = Taker()
    assert request.incoming is not None
    request.incoming.deliver_to(taker)
    client.send(rest)
    client.turn(10)
    client.turn(10)
    (error,) = taker.ends
    assert getattr(error, "status", None) == status
    request.setResponseCode(status)
    request.finish()
    client.turn()
    assert [(a.status, a.header("Connection")) for a in client.answers()] == [(status, "close")]
    assert client.ended


def test_answer_before_the_body_was_read() -> None:
    """A response that ends before the body was read closes the connection, lingering, so that it can be read."""
    door = Door(waiting, policy=STREAMED)
    client = door.connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
    client.send(b"x" * 300000)
    assert client.transport.paused
    (request,) = door.requests
    request.setResponseCode(404)
    request.finish()
    client.turn()
    assert [(a.status, a.header("Connection")) for a in client.answers()] == [(404, "close")]
    assert (client.ended, client.closed, bytes(client.unread)) == (True, False, b"")
    client.send(b"x" * 300000)
    assert client.unread == b""
    client.leave()
    assert client.closed


def test_abandoned_body_is_dropped() -> None:
    """After `abandon` the rest of a body is read and dropped, so that the response can be awaited."""
    door = Door(waiting, policy=STREAMED)
    client = door.connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 300000)
    (request,) = door.requests
    assert request.incoming is not None
    request.incoming.abandon()
    client.send(b"x" * 700000)
    assert client.unread == b""
    request.finish()
    client.send(GET)
    assert len(door.requests) == 2
