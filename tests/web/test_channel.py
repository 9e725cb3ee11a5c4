"""web.channel and web.reception: a connection from its first byte to its last, in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from web.malformed import MALFORMED
from web.memory_site import HOST, FunctionResource, MemoryConnection, MemoryTransport, make_site, waiting

from ollamamax.errors import (
    BodyTooLarge,
    ForbiddenRequest,
    InternalError,
    MalformedRequest,
    RequestTimedOut,
)
from ollamamax.web.channel import GatewayChannel
from ollamamax.web.closing import Closing
from ollamamax.web.incoming import BodyPolicy, IncomingBody
from ollamamax.web.site import MALFORMED_PATH, OTHER_METHOD, GatewayRequest, GatewaySite

GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
STREAMED = BodyPolicy(max_bytes=None, streamed=True)


def post(body: bytes, *fields: bytes, path: bytes = b"/p") -> bytes:
    """A request with a body of a known length."""
    lines = [b"POST %b HTTP/1.1" % path, HOST.rstrip(), b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*pieces: bytes, path: bytes = b"/c") -> bytes:
    """A request with a chunked body."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path, HOST) + chunks


def echo(request: GatewayRequest) -> bytes:
    """Says what was understood of a request."""
    return b"%b %b [%b]" % (request.method, request.uri, request.body())


class Door:
    """A site and a clock, and the connections that a test opens to it."""

    def __init__(self, render: Any = echo, **arguments: Any) -> None:
        self.clock = Clock()
        self.logged: list[GatewayRequest] = []
        self.resource = FunctionResource(render, answer_refusals=arguments.pop("answer_refusals", True))
        self.site: GatewaySite = make_site(self.resource, self.clock, access_log=self.logged.append, **arguments)

    @property
    def requests(self) -> list[GatewayRequest]:
        return self.resource.requests

    def connect(self, **arguments: Any) -> MemoryConnection:
        return MemoryConnection(self.site, self.clock, **arguments)


class Taker:
    """Takes a streamed body."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[object] = []

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_complete(self) -> None:
        self.ends.append("complete")

    def body_failed(self, reason: Failure) -> None:
        self.ends.append(reason.value)


# --- one request after the other -------------------------------------------------------------------------------------


def test_keeps_alive() -> None:
    """Requests of HTTP/1.1 follow one another on a connection; each answer says nothing of closing."""
    door = Door()
    client = door.connect()
    for path in (b"/1", b"/2", b"/3"):
        client.send(post(b"body", path=path))
    answers = client.answers()
    assert [answer.body for answer in answers] == [b"POST /1 [body]", b"POST /2 [body]", b"POST /3 [body]"]
    assert [answer.header("Connection") for answer in answers] == [None] * 3
    assert not client.closed
    assert len(door.logged) == 3


def test_closes_when_asked() -> None:
    """`Connection: close` is answered in kind, and what comes after the request is not served."""
    door = Door()
    client = door.connect()
    client.send(b"GET /a HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n" + GET)
    (answer,) = client.answers()
    assert (answer.status, answer.header("Connection"), len(door.requests)) == (200, "close", 1)
    assert client.ended
    client.turn(Closing.LINGER_SECONDS)
    assert client.closed


def test_closes_when_the_resource_says_so() -> None:
    """A resource that sets `Connection: close` gets it."""

    def render(request: GatewayRequest) -> bytes:
        request.setHeader(b"Connection", b"close")
        return b"x"

    client = Door(render).connect()
    client.send(GET)
    assert client.closed


def test_old_clients() -> None:
    """HTTP/1.0 is answered as HTTP/1.0: no chunks, and the connection closes."""

    def render(request: GatewayRequest) -> int:
        request.write(b"a")
        request.write(b"b")
        request.finish()
        return NOT_DONE_YET

    client = Door(render).connect()
    client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    (answer,) = client.answers()
    assert (answer.version, answer.body, answer.header("Connection")) == ("HTTP/1.0", b"ab", "close")
    assert answer.header("Transfer-Encoding") is None
    assert client.closed


def test_pipelining_is_in_turn() -> None:
    """Pipelined requests are served one at a time, in their order."""
    door = Door(waiting)
    client = door.connect()
    client.send(GET + post(b"xyz") + GET)
    assert len(door.requests) == 1
    door.requests[0].write(b"first")
    door.requests[0].finish()
    assert [request.method for request in door.requests] == [b"GET", b"POST"]
    assert door.requests[1].body() == b"xyz"
    door.requests[1].finish()
    door.requests[2].finish()
    client.turn()
    assert [answer.body for answer in client.answers()] == [b"first", b"", b""]


def test_a_thousand_pipelined_requests() -> None:
    """A thousand requests in one read are answered without recursion, and not all parsed ahead."""
    door = Door()
    client = door.connect()
    client.send(GET * 1000)
    assert len(client.answers()) == 1000


def test_told_before_the_next() -> None:
    """Whoever waits for a request's end hears of it before the next pipelined request is rendered."""
    events: list[str] = []

    def render(request: GatewayRequest) -> bytes:
        events.append(f"render {request.uri.decode()}")
        request.notifyFinish().addCallback(lambda _: events.append(f"end {request.uri.decode()}"))
        return b""

    client = Door(render).connect()
    client.send(GET + GET)
    assert events == ["render /a", "end /a"] * 2


def test_head_and_body_in_one_write() -> None:
    """A response that is written at once leaves in one write."""
    client = Door().connect()
    client.send(GET)
    assert len(client.transport.writes) == 1


def test_head_requests() -> None:
    """HEAD has the headers of GET and no body."""
    client = Door(lambda _: b"12345").connect()
    client.send(b"HEAD /a HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
    head, get = client.answers("HEAD")
    assert (head.header("Content-Length"), head.body, get.body) == ("5", b"", b"12345")


def test_no_delay_on_sockets_of_the_internet() -> None:
    """Small pieces of a stream are not held back; a UNIX socket has no such option."""
    from twisted.internet.address import UNIXAddress

    door = Door()
    assert door.connect().transport.no_delay is True
    client = door.connect(peer=UNIXAddress(None), host=UNIXAddress("/run/x"))
    assert client.transport.no_delay is None
    client.send(b"GET /a HTTP/1.0\r\n\r\n")
    assert door.requests[0].client_ip == ""
    assert door.requests[0].getRequestHostname() == b"localhost"


def test_upgrades_are_declined() -> None:
    """An offer of another protocol is ignored; the request is served with its body, and the connection stays."""
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    client = Door().connect()
    client.send(post(b"GET /smuggled HTTP/1.1\r\n\r\n", *offer) + GET)
    bodies = [answer.body for answer in client.answers()]
    assert bodies == [b"POST /p [GET /smuggled HTTP/1.1\r\n\r\n]", b"GET /a []"]


def test_secure() -> None:
    """A request knows whether it came by TLS."""
    secure: list[bool] = []

    def render(request: GatewayRequest) -> bytes:
        secure.append(request.isSecure())
        return b""

    door = Door(render)
    door.connect(secure=True).send(GET)
    door.connect().send(GET)
    assert secure == [True, False]


@given(
    parts=st.lists(
        st.sampled_from(
            [
                GET,
                post(b"hello"),
                post(b""),
                chunked(b"hello ", b"\r\n\r\n", b"x" * 300),
                chunked(),
                b"\r\n" + GET,
                post(b"abc", b"Connection: Upgrade", b"Upgrade: h2c"),
                b"HEAD /h HTTP/1.1\r\n" + HOST + b"\r\n",
                post(b"wait", b"Expect: 100-continue"),
            ]
        ),
        max_size=6,
    ),
    last=st.sampled_from([b"", *(data for _, data, _ in MALFORMED if len(data) < 300)]),
    cuts=st.lists(st.integers(1, 700), max_size=10),
    bytewise=st.booleans(),
    streamed=st.booleans(),
)
def test_cuts_do_not_matter(parts: list[bytes], last: bytes, cuts: list[int], bytewise: bool, streamed: bool) -> None:
    """However the bytes of several requests are cut into reads, the answers are the same."""
    data = b"".join(parts) + last

    def run(pieces: list[int]) -> list[tuple[int, bytes]]:
        def render(request: GatewayRequest) -> bytes | int:
            if request.incoming is None:
                return echo(request)

            class Answering(Taker):
                def body_complete(self) -> None:
                    request.write(bytes(self.data))
                    request.finish()

                def body_failed(self, reason: Failure) -> None:
                    error: Any = reason.value
                    request.setResponseCode(error.status)
                    request.finish()

            request.incoming.deliver_to(Answering())
            return NOT_DONE_YET

        door = Door(render, policy=BodyPolicy(max_bytes=1000, streamed=streamed))
        client = door.connect()
        client.send(data, pieces=pieces)
        client.turn(10)
        methods = [request.method.decode() for request in door.requests]
        assert door.site.body_memory.used_bytes == 0
        return [(a.status, a.body) for a in client.answers(*methods) if a.status != 100]

    assert run([1] * len(data) if bytewise else cuts) == run([])


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


# --- the client leaves -----------------------------------------------------------------------------------------------


def test_leaving_is_seen_at_once() -> None:
    """A client that leaves while its request is served ends it in the same turn."""
    door = Door(waiting)
    client = door.connect()
    client.send(GET)
    ends: list[object] = []
    door.requests[0].notifyFinish().addErrback(ends.append)
    client.leave()
    assert len(ends) == 1
    assert door.logged == door.requests


def test_leaving_while_a_body_arrives() -> None:
    """A client that leaves before its body is complete has not made a request."""
    door = Door()
    client = door.connect()
    client.send(post(b"xyz")[:-1])
    client.leave()
    assert (door.requests, door.logged) == ([], [])


def test_reading_ahead_is_bounded() -> None:
    """While a request is served a little more is read, so that leaving is seen, and then nothing."""
    door = Door(waiting)
    client = door.connect()
    client.send(GET)
    client.send(b"x" * (GatewayChannel.READ_AHEAD_BYTES - 1))
    assert not client.transport.paused
    client.send(b"x" * 1000000)
    assert client.transport.paused
    assert len(client.channel._ahead) < GatewayChannel.READ_AHEAD_BYTES + 65536
    door.requests[0].finish()
    client.turn()
    assert [answer.status for answer in client.answers()] == [200, 400]


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


# --- responses and a client that does not read them ------------------------------------------------------------------


def test_backpressure() -> None:
    """The producer of a response is paused while the client does not read, and resumed when it does."""
    door = Door(waiting)
    client = door.connect()
    client.send(GET)
    (request,) = door.requests
    calls: list[str] = []

    class Producer:
        def pauseProducing(self) -> None:
            calls.append("pause")

        def resumeProducing(self) -> None:
            calls.append("resume")

        def stopProducing(self) -> None:
            calls.append("stop")

    request.registerProducer(Producer(), True)
    client.reading = False
    request.write(b"x" * MemoryTransport.BUFFER_BYTES)
    assert calls == ["pause"]
    assert not client.transport.paused, "a client that leaves must still be seen"
    client.read_on()
    assert calls == ["pause", "resume"]
    client.leave()
    assert calls == ["pause", "resume", "stop"]


def test_no_reading_without_being_read() -> None:
    """A client that sends request after request and reads no answer is no longer read."""
    door = Door(lambda _: b"x" * 70000)
    client = door.connect()
    client.reading = False
    client.send(GET * 100)
    assert len(door.requests) == 1
    assert client.transport.paused
    client.read_on()
    assert len(client.answers()) == 100


def test_client_that_never_reads() -> None:
    """A client that never reads its answer is cut off: idle time, lingering, and the patience for what is unsent."""
    client = Door(lambda _: b"x" * 70000, keep_alive_seconds=60.0).connect()
    client.reading = False
    client.send(GET)
    client.turn(60)
    client.turn(Closing.LINGER_SECONDS)
    assert not client.closed
    client.turn(60)
    assert (client.closed, client.aborted) == (True, True)


def test_abort() -> None:
    """A connection can be cut off at once."""
    door = Door(waiting)
    client = door.connect()
    client.send(GET)
    door.requests[0].notifyFinish().addErrback(lambda _: None)
    client.channel.abortConnection()
    client.turn()
    assert (client.closed, client.aborted) == (True, True)
