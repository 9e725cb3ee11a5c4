"""web.channel and web.reception: requests that are refused, and what may take how long."""

from __future__ import annotations

from typing import Any

import pytest
from web.door import GET, Door, chunked, post
from web.malformed import MALFORMED
from web.memory_site import HOST, waiting

from ollamamax.errors import (
    BodyTooLarge,
    ForbiddenRequest,
    InternalError,
    MalformedRequest,
    RequestTimedOut,
)
from ollamamax.web.closing import Closing
from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import MALFORMED_PATH, OTHER_METHOD, GatewayRequest

# --- refused requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "status"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
@pytest.mark.parametrize("bytewise", [False, True])
def test_malformed(data: bytes, status: int, bytewise: bool) -> None:
    """What is no proper request is answered with its status and ends the connection; nothing after it is served."""
    door = Door(policy=BodyPolicy(max_bytes=1000))
    client = door.connect()
    client.send(GET + data + GET, pieces=[1] * (len(GET) + len(data)) if bytewise else [])
    first, refused = client.answers()
    assert (first.status, refused.status, refused.header("Connection")) == (200, status, "close")
    assert refused.header("X-Request-Id") == door.requests[1].request_id
    assert [request.refusal is None for request in door.requests] == [True, False]
    assert door.requests[1].body() == b""
    assert client.ended
    client.turn(Closing.LINGER_SECONDS)
    assert client.closed


def test_unreadable_requests_have_names() -> None:
    """A request without a method and a path has names instead that match no route and no label of others."""
    door = Door()
    door.connect().send(b"\x16\x03\x01")
    door.connect().send(b"DELETE /x#y HTTP/1.1\r\n" + HOST + b"\r\n")
    door.connect().send(b"PUT /x HTTP/1.1\r\n\r\n")
    assert [(request.method, request.path) for request in door.requests] == [
        (OTHER_METHOD, MALFORMED_PATH),
        (b"DELETE", MALFORMED_PATH),
        (b"PUT", b"/x"),
    ]
    assert all(isinstance(request.refusal, MalformedRequest) for request in door.requests)


def test_refused_while_the_answer_takes_time() -> None:
    """Whatever a refused client still sends is dropped, before and after its answer."""
    door = Door(waiting, policy=BodyPolicy(max_bytes=10), answer_refusals=False)
    client = door.connect()
    client.send(post(b"x" * 11))
    client.send(b"x" * 200000)
    assert client.unread == b""
    (request,) = door.requests
    assert isinstance(request.refusal, BodyTooLarge)
    request.setResponseCode(413)
    request.finish()
    client.turn()
    client.send(b"x" * 200000)
    assert (bytes(client.unread), client.ended, client.closed) == (b"", True, False)
    client.turn(Closing.LINGER_SECONDS)
    assert client.closed


def test_large_body_is_refused_at_its_head() -> None:
    """A body that is announced too large is refused before any of it is sent, or asked for."""
    door = Door(policy=BodyPolicy(max_bytes=1000))
    client = door.connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [413]


def test_largest_body() -> None:
    """A body of exactly the limit is taken, chunked or not."""
    client = Door(lambda request: b"%d" % len(request.body()), policy=BodyPolicy(max_bytes=1000)).connect()
    client.send(post(b"x" * 1000) + chunked(b"x" * 400, b"y" * 600))
    assert [answer.body for answer in client.answers()] == [b"1000", b"1000"]


def test_continue() -> None:
    """A client that waits before it sends is told to go on, once, when its body is going to be read."""
    client = Door().connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert bytes(client.received) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"ok")
    assert [(answer.status, answer.body) for answer in client.answers()] == [(100, b""), (200, b"POST /p [ok]")]


def test_no_continue_without_a_body() -> None:
    """A request without a body has nothing to go on with."""
    client = Door().connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [200]


def test_policy_may_refuse() -> None:
    """A policy that raises an error of the gateway refuses the request before its body is read."""

    def policy(request: GatewayRequest) -> BodyPolicy:
        assert request.getHeader("host") == "gateway.test"
        raise ForbiddenRequest

    door = Door(policy=policy)
    client = door.connect()
    client.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [403]


def test_policy_may_fail(flush_logged_errors: Any) -> None:
    """A defect in the policy is logged and is a 500 of this one request."""

    def policy(request: GatewayRequest) -> BodyPolicy:
        raise KeyError("defect")

    door = Door(policy=policy)
    client = door.connect()
    client.send(GET)
    assert [answer.status for answer in client.answers()] == [500]
    assert isinstance(door.requests[0].refusal, InternalError)
    assert len(flush_logged_errors(KeyError)) == 1


def test_memory_for_bodies() -> None:
    """All buffered bodies share their memory; the one that does not fit is a 503, and all is given back in the end."""
    door = Door(body_memory_bytes=1000)
    first, second = door.connect(), door.connect()
    first.send(post(b"x" * 800)[:-1])
    second.send(post(b"y" * 300))
    assert [answer.status for answer in second.answers()] == [503]
    assert door.site.body_memory.used_bytes == 799
    first.send(b"x")
    assert [answer.status for answer in first.answers()] == [200]
    assert door.site.body_memory.used_bytes == 0
    third = door.connect()
    third.send(post(b"z" * 800)[:-1])
    third.leave()
    assert door.site.body_memory.used_bytes == 0


# --- time ------------------------------------------------------------------------------------------------------------


def test_idle_connections_close_silently() -> None:
    """A connection on which nothing comes is closed without a word, at its beginning and between requests."""
    door = Door(keep_alive_seconds=60.0)
    fresh, used = door.connect(), door.connect()
    door.clock.advance(30)
    used.send(GET)
    received = bytes(used.received)
    fresh.turn(30)
    assert (fresh.closed, bytes(fresh.received)) == (True, b"")
    assert not used.closed
    used.turn(30)
    assert (used.closed, bytes(used.received)) == (True, received)


def test_empty_lines_keep_nothing_alive() -> None:
    """Empty lines are no request: they neither begin a head nor prolong the idle time."""
    client = Door(keep_alive_seconds=60.0).connect()
    for _ in range(6):
        client.send(b"\r\n")
        client.turn(10)
    assert (client.closed, bytes(client.received)) == (True, b"")


def test_slow_head() -> None:
    """A head has its time from its first byte, however steadily it trickles."""
    door = Door(head_timeout_seconds=10.0)
    client = door.connect()
    client.turn(30)
    for byte in (GET * 2)[:9]:
        client.send(bytes([byte]))
        client.turn(1)
    assert bytes(client.received) == b""
    client.turn(1)
    assert [answer.status for answer in client.answers()] == [408]
    assert client.ended
    assert isinstance(door.requests[0].refusal, RequestTimedOut)


def test_each_head_has_its_own_time() -> None:
    """The time for a second head begins with its own first byte, even if it arrived with the first request."""
    client = Door(head_timeout_seconds=10.0).connect()
    client.send(GET[:10])
    client.turn(9)
    client.send(GET[10:] + GET[:10])
    client.turn(9)
    client.send(GET[10:])
    assert [answer.status for answer in client.answers()] == [200, 200]


def test_slow_body() -> None:
    """A body below the least rate is a 408, one above it is not."""
    door = Door(min_body_bytes_per_second=10)
    slow, steady = door.connect(), door.connect()
    slow.send(post(b"x" * 1000)[:-1000])
    steady.send(post(b"x" * 300)[:-300])
    for _ in range(29):
        slow.send(b"x" * 9)
        steady.send(b"x" * 10)
        slow.turn(1)
    assert [answer.status for answer in slow.answers()] == [408]
    assert bytes(steady.received) == b""
    steady.send(b"x" * 10)
    assert [answer.status for answer in steady.answers()] == [200]


def test_what_comes_with_the_head_counts_for_the_rate() -> None:
    """A body whose first part came in one piece with its head may pause for as long as that part pays for."""
    client = Door(min_body_bytes_per_second=10).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
    client.turn(12)
    assert not client.answers()
    client.send(b"x" * 500)
    assert [answer.status for answer in client.answers()] == [200]


def test_stalled_body_without_a_rate() -> None:
    """Without a least rate, a body of which nothing comes for the idle time is a 408."""
    client = Door(min_body_bytes_per_second=0, keep_alive_seconds=60.0).connect()
    client.send(post(b"xyz")[:-3])
    client.turn(59)
    client.send(b"x")
    client.turn(60)
    assert bytes(client.received) == b""
    client.turn(60)
    assert [answer.status for answer in client.answers()] == [408]


def test_requests_being_served_have_time() -> None:
    """Nothing times out while a request is served; the idle time begins with the end of its response."""
    door = Door(waiting, keep_alive_seconds=60.0)
    client = door.connect()
    client.send(GET)
    client.turn(3600)
    door.requests[0].finish()
    client.turn(59)
    assert not client.closed
    client.turn(1)
    assert client.closed


def test_times_of_a_request() -> None:
    """A request knows when its head and when its last byte arrived."""
    door = Door()
    client = door.connect()
    client.turn(1)
    client.send(post(b"xyz")[:-1])
    client.turn(2)
    client.send(b"z" + GET)
    assert [(request.received_at, request.body_at) for request in door.requests] == [(1.0, 3.0), (3.0, 3.0)]


def test_no_delayed_calls_remain() -> None:
    """A closed connection leaves nothing on the clock."""
    door = Door(waiting)
    for data in (b"", GET, GET[:5], post(b"xyz")[:-1]):
        client = door.connect()
        client.send(data)
        client.leave()
    assert door.clock.getDelayedCalls() == []
    assert door.site.connections == set()
