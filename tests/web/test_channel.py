"""web.channel: one request after the other, clients that leave, clients that do not read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from web.door import GET, Door, Taker, chunked, echo, post
from web.malformed import MALFORMED
from web.memory_site import HOST, MemoryTransport, waiting

from ollamamax.errors import ClientLeft
from ollamamax.web.channel import GatewayChannel
from ollamamax.web.closing import Closing
from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest

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
    """A client that leaves before its body is complete made a request all the same, which is refused, and told once."""
    door = Door()
    client = door.connect()
    client.send(post(b"xyz")[:-1])
    client.leave()
    (request,) = door.requests
    assert isinstance(request.refusal, ClientLeft)
    assert (request.body(), door.site.body_memory.used_bytes) == (b"", 0)
    assert door.logged == door.requests


def test_leaving_within_a_head_is_no_request() -> None:
    """What has no complete head is nothing that could be named."""
    door = Door()
    client = door.connect()
    client.send(GET[:-2])
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
