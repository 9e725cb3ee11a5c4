"""web.request: what a request knows, and the three ways in which it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from web.memory_site import HOST, FunctionResource, MemoryConnection, make_site, waiting

from ollamamax.errors import BodyMemoryExhausted, BodyTooLarge
from ollamamax.web.site import GatewayRequest

GET = b"GET /a%20b/c?x=1&y=&x=2 HTTP/1.1\r\n" + HOST + b"Cookie: a=b; c=d\r\nX-Name: 1\r\nx-name: 2\r\n\r\n"


class Scene:
    """One connection to a site that renders by a function."""

    def __init__(self, render: Any = waiting, data: bytes = GET, **arguments: Any) -> None:
        self.clock = Clock()
        self.logged: list[GatewayRequest] = []
        self.resource = render if isinstance(render, Resource) else FunctionResource(render)
        self.site = make_site(self.resource, self.clock, access_log=self.logged.append, wall_clock=lambda: 784111777.9)
        self.client = MemoryConnection(self.site, self.clock, **arguments)
        self.client.send(data)

    @property
    def request(self) -> GatewayRequest:
        assert isinstance(self.resource, FunctionResource)
        return self.resource.requests[-1]


def test_what_a_request_knows() -> None:
    """Method, target, path, arguments, headers, cookies and addresses are where Twisted has them."""
    request = Scene().request
    assert (request.method, request.uri, request.path) == (b"GET", b"/a%20b/c?x=1&y=&x=2", b"/a%20b/c")
    assert (request.prepath, request.postpath) == ([], [b"a b", b"c"])
    assert request.args == {b"x": [b"1", b"2"], b"y": [b""]}
    assert request.requestHeaders.getRawHeaders("X-Name") == ["1", "2"]
    assert (request.getCookie(b"a"), request.getCookie(b"c")) == (b"b", b"d")
    assert (request.client_ip, request.getRequestHostname(), request.clientproto) == (
        "192.0.2.7",
        b"gateway.test",
        b"HTTP/1.1",
    )
    assert (request.body(), request.refusal, request.incoming) == (b"", None, None)
    assert str(UUID(request.request_id)) == request.request_id


@pytest.mark.parametrize(("host", "text"), [("2001:db8::7", "2001:db8::7"), ("::ffff:192.0.2.1", "192.0.2.1")])
def test_client_addresses(host: str, text: str) -> None:
    """An IPv4 client of a socket of both families has its IPv4 address."""
    assert Scene(peer=IPv6Address("TCP", host, 1)).request.client_ip == text


def test_body() -> None:
    """A buffered body can be read whole and as a file, until it is forgotten."""
    scene = Scene(data=b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello")
    request = scene.request
    assert request.content is not None
    assert (request.content.read(), request.body()) == (b"hello", b"hello")
    assert scene.site.body_memory.used_bytes == 5
    request.forget_body()
    assert (request.body(), scene.site.body_memory.used_bytes) == (b"", 0)
    request.finish()
    assert (request.body(), scene.site.body_memory.used_bytes) == (b"", 0)


def test_another_body() -> None:
    """A body can take the place of the one that came; what is too long or has no room leaves everything as it was."""
    data = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
    scene = Scene(data=data)
    request, memory = scene.request, scene.site.body_memory
    memory.limit_bytes = 1000
    taken: list[bytes] = []

    def pieces(count: int) -> Iterator[bytes]:
        for _ in range(count):
            taken.append(b"x" * 100)
            yield taken[-1]

    for limit, refusal in ((500, BodyTooLarge), (5000, BodyMemoryExhausted)):
        with pytest.raises(refusal):
            request.replace_body(pieces(100), limit)
        assert (request.body(), memory.used_bytes) == (b"hello", 5)
    assert len(taken) == 6 + 10  # none beyond the first that does not fit
    request.replace_body(pieces(5), 500)
    assert (request.body(), memory.used_bytes) == (b"x" * 500, 500)
    request.finish()
    assert memory.used_bytes == 0


def test_headers_of_every_answer() -> None:
    """An answer has a Date and the request's id, no Server, and no Content-Type of its own accord."""
    scene = Scene()
    scene.request.setHeader(b"X-Request-Id", b"of a node")
    scene.request.write(b"")
    scene.client.turn()
    names = {name for name, _ in scene.client.answers()[0].headers.getAllRawHeaders()}
    assert names == {b"Date", b"X-Request-Id", b"Transfer-Encoding"}
    assert scene.client.answers()[0].header("X-Request-Id") == scene.request.request_id
    assert scene.client.answers()[0].header("Date") == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_finish() -> None:
    """`finish` ends the response: the chunks' end is written, `notifyFinish` calls back, the log hears of it once."""
    scene = Scene()
    ends: list[object] = []
    scene.request.notifyFinish().addBoth(ends.append)
    scene.request.write(b"a")
    scene.request.write(b"bc")
    scene.request.finish()
    scene.client.turn()
    (answer,) = scene.client.answers()
    assert (answer.pieces, answer.complete, ends) == ((b"a", b"bc"), True, [None])
    assert scene.logged == [scene.request]
    assert (scene.request.sentLength, scene.request.broken_off) == (3, False)


def test_client_leaves() -> None:
    """When the client leaves `notifyFinish` errs back, writing is ignored and `finish` raises."""
    scene = Scene()
    ends: list[Any] = []
    scene.request.notifyFinish().addBoth(ends.append)
    scene.client.leave()
    assert ends[0].check(ConnectionDone)
    scene.request.write(b"unheard")
    with pytest.raises(RuntimeError):
        scene.request.finish()
    assert scene.request.break_off() is None
    assert scene.logged == [scene.request]


def test_break_off() -> None:
    """A response that is broken off is flushed and ended by FIN without its end; whoever waits for it is told."""
    scene = Scene()
    ends: list[Any] = []
    scene.request.notifyFinish().addBoth(ends.append)
    scene.client.reading = False
    scene.request.write(b"a")
    gone = scene.request.break_off()
    again = scene.request.break_off()
    assert gone is not None
    assert again is not None
    scene.request.write(b"unheard")
    scene.request.finish()
    scene.client.turn()
    assert (ends, scene.request.broken_off) == ([], True)
    scene.client.read_on()
    (answer,) = scene.client.answers()
    assert (answer.pieces, answer.complete) == ((b"a",), False)
    assert (scene.client.closed, scene.client.aborted) == (True, False)
    assert ends[0].check(ConnectionDone)
    assert (gone.called, again.called) == (True, True)
    assert scene.logged == [scene.request]


def test_break_off_with_a_producer() -> None:
    """A producer that is still registered does not keep the connection open."""

    class Producer:
        def pauseProducing(self) -> None: ...

        def resumeProducing(self) -> None: ...

        def stopProducing(self) -> None:
            raise AssertionError("it was unregistered")

    scene = Scene()
    scene.request.registerProducer(Producer(), True)
    scene.request.write(b"a")
    scene.request.break_off()
    scene.client.turn()
    assert scene.client.closed


def test_break_off_after_the_end() -> None:
    """A response that has ended cannot be broken off any more."""
    scene = Scene(lambda _: b"x")
    assert scene.request.break_off() is None
    assert not scene.client.ended


def test_failed_rendering(flush_logged_errors: Any) -> None:
    """A resource that raises is logged and answered with a 500 that says nothing."""

    def render(request: GatewayRequest) -> bytes:
        raise KeyError("secret")

    scene = Scene(render)
    (answer,) = scene.client.answers()
    assert (answer.status, answer.header("Content-Type")) == (500, "application/json; charset=utf-8")
    assert b"secret" not in answer.body
    assert len(flush_logged_errors(KeyError)) == 1
    assert not scene.client.ended


def test_failed_rendering_midway(flush_logged_errors: Any) -> None:
    """A resource that raises after it has begun to write ends in a broken response, not in a false one."""

    def render(request: GatewayRequest) -> bytes:
        request.write(b"begun")
        raise KeyError("secret")

    scene = Scene(render)
    (answer,) = scene.client.answers()
    assert (answer.status, answer.body, answer.complete) == (200, b"begun", False)
    assert scene.client.closed
    assert len(flush_logged_errors(KeyError)) == 1


def test_failed_rendering_after_the_end(flush_logged_errors: Any) -> None:
    """A resource that raises after it has finished changes nothing."""

    def render(request: GatewayRequest) -> int:
        request.finish()
        raise KeyError("secret")

    scene = Scene(render)
    assert [answer.status for answer in scene.client.answers()] == [200]
    assert len(flush_logged_errors(KeyError)) == 1


def test_failing_access_log(flush_logged_errors: Any) -> None:
    """A defect in the access log is logged and ends no response."""

    def fail(request: GatewayRequest) -> None:
        raise KeyError("defect")

    clock = Clock()
    client = MemoryConnection(make_site(lambda _: b"x", clock, access_log=fail), clock)
    client.send(GET + GET)
    assert [answer.status for answer in client.answers()] == [200, 200]
    assert len(flush_logged_errors(KeyError)) == 2


def test_resources_of_twisted() -> None:
    """Twisted's own resources work: children, methods, HEAD by GET."""

    class Leaf(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:  # noqa: N802 - Twisted's name for it
            return b"leaf"

        def render_POST(self, request: Any) -> int:  # noqa: N802 - Twisted's name for it
            request.setResponseCode(202)
            request.finish()
            return NOT_DONE_YET

    root = Resource()
    root.putChild(b"leaf", Leaf())
    scene = Scene(root, b"GET /leaf/x HTTP/1.1\r\n" + HOST + b"\r\n")
    scene.client.send(b"POST /leaf HTTP/1.1\r\n" + HOST + b"\r\n")
    scene.client.send(b"HEAD /leaf HTTP/1.1\r\n" + HOST + b"\r\n")
    answers = scene.client.answers("GET", "POST", "HEAD")
    assert [answer.status for answer in answers] == [200, 202, 200]
    assert (answers[0].body, answers[2].body) == (b"leaf", b"")
