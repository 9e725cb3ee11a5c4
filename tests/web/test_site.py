"""web.site: the connections of a site and their end; agents, Klein and sessions over it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from web.memory_site import HOST, FunctionResource, MemoryConnection, make_site, memory_agent, memory_treq, waiting

from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest, GatewaySite

GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"


def make(render: Any = waiting, **arguments: Any) -> tuple[GatewaySite, Clock, list[GatewayRequest]]:
    """A site, its clock, and the requests that reach its resource."""
    clock = Clock()
    resource = FunctionResource(render)
    return make_site(resource, clock, **arguments), clock, resource.requests


def test_connections_are_counted() -> None:
    """A site knows the connections that are open."""
    site, clock, _ = make()
    first, second = MemoryConnection(site, clock), MemoryConnection(site, clock)
    assert site.connections == {first.channel, second.channel}
    first.leave()
    assert site.connections == {second.channel}
    second.leave()
    assert site.connections == set()


def test_draining_nothing() -> None:
    """A site without connections is drained at once."""
    site, _, _ = make()
    assert site.drain().called


def test_draining() -> None:
    """Idle connections close at once, the others after their response; then, and only then, the site is drained."""
    site, clock, requests = make()
    idle, begun, started, head, body = (MemoryConnection(site, clock) for _ in range(5))
    begun.send(GET)
    started.send(GET)
    requests[1].write(b"started")
    head.send(GET[:10])
    body.send(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nab")
    drained = site.drain()
    also = site.drain()
    idle.turn()
    assert (idle.closed, bytes(idle.received)) == (True, b"")
    assert not any(client.closed for client in (begun, started, head, body))
    head.send(GET[10:])
    body.send(b"c")
    assert len(requests) == 4
    for request in requests:
        request.finish()
    assert not drained.called
    begun.turn()
    assert (drained.called, also.called) == (True, True)
    for client in (begun, head, body):
        assert [(a.status, a.header("Connection")) for a in client.answers()] == [(200, "close")]
    assert [(a.body, a.complete, a.header("Connection")) for a in started.answers()] == [(b"started", True, None)]


def test_draining_waits_for_the_bytes() -> None:
    """A response that the client has not read yet keeps the site from being drained."""
    site, clock, requests = make()
    client = MemoryConnection(site, clock)
    client.send(GET)
    client.reading = False
    drained = site.drain()
    requests[0].write(b"x")
    requests[0].finish()
    client.turn()
    assert not drained.called
    client.read_on()
    assert drained.called


def test_draining_serves_no_pipelined_request() -> None:
    """What was pipelined behind the request being served is not served any more."""
    site, clock, requests = make()
    client = MemoryConnection(site, clock)
    client.send(GET + GET)
    site.drain()
    requests[0].finish()
    client.turn()
    assert (len(requests), client.ended) == (1, True)


def test_connections_of_the_last_moment() -> None:
    """A connection that was accepted while draining is served once."""
    site, clock, _ = make(lambda _: b"x")
    site.drain()
    client = MemoryConnection(site, clock)
    client.send(GET)
    assert [(a.status, a.header("Connection")) for a in client.answers()] == [(200, "close")]
    assert client.closed


def test_no_log_file() -> None:
    """The site has no access-log file of Twisted's, and no timer for one."""
    site, clock, _ = make(lambda _: b"x")
    site.doStart()
    client = MemoryConnection(site, clock)
    client.send(GET)
    client.leave()
    site.doStop()
    assert clock.getDelayedCalls() == []


def test_dates_are_formatted_once_a_second() -> None:
    """The Date of a second is one object; the next second has its own."""
    now = [1000.0]
    clock = Clock()
    site = GatewaySite(
        FunctionResource(waiting),
        reactor=clock,
        limits=make()[0].limits,
        body_policy=lambda _: BodyPolicy(max_bytes=0),
        access_log=None,
        wall_clock=lambda: now[0],
    )
    first = site.date()
    now[0] = 1000.9
    assert site.date() is first
    now[0] = 1001.0
    assert site.date() == b"Thu, 01 Jan 1970 00:16:41 GMT"


def test_protocols() -> None:
    """HTTP/1.1 is all that is offered in a TLS handshake."""
    assert make()[0].acceptableProtocols() == [b"http/1.1"]


def result_of(deferred: Deferred[Any]) -> Any:
    """The result of a Deferred that has one."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "no result yet"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def test_agents() -> None:
    """A real agent speaks with the site in memory: bodies both ways, and a response in pieces."""
    site, _, requests = make(lambda request: b"got " + request.body() if request.body() else waiting(request))
    client, flush = memory_treq(site)
    answer = result_of(client.post("http://gateway.test/x", data=b"hello"))
    assert (answer.code, result_of(answer.content())) == (200, b"got hello")
    pending = client.get("http://gateway.test/y", unbuffered=True)
    requests[1].write(b"one ")
    flush()
    answer = result_of(pending)
    content = answer.content()
    requests[1].write(b"two")
    requests[1].finish()
    flush()
    assert result_of(content) == b"one two"
    assert memory_agent(site)._serverFactory is site


def test_klein() -> None:
    """Klein's routes, errors and asynchronous handlers see nothing new."""
    from klein import Klein

    app: Any = Klein()
    later: Deferred[bytes] = Deferred()

    @app.route("/a/<name>", methods=["GET"], endpoint="a")  # type: ignore[untyped-decorator]
    def route(_: Any, name: str) -> str:
        return f"hello {name}"

    @app.route("/later", methods=["POST"], endpoint="later")  # type: ignore[untyped-decorator]
    def wait(_: Any) -> Deferred[bytes]:
        return later

    clock = Clock()
    site = make_site(app.resource(), clock)
    client = MemoryConnection(site, clock)
    client.send(b"GET /a/b HTTP/1.1\r\n" + HOST + b"\r\n")
    client.send(b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n")
    client.send(b"POST /later HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
    later.callback(b"now")
    client.turn()
    assert [answer.status for answer in client.answers()] == [200, 404, 200]
    assert [answer.body for answer in client.answers()][::2] == [b"hello b", b"now"]


def test_klein_and_a_client_that_leaves() -> None:
    """Klein cancels an asynchronous handler whose client leaves."""
    from klein import Klein

    app: Any = Klein()
    cancelled: list[object] = []

    @app.route("/", methods=["GET"], endpoint="root")  # type: ignore[untyped-decorator]
    def route(_: Any) -> Deferred[bytes]:
        return Deferred(cancelled.append)

    clock = Clock()
    client = MemoryConnection(make_site(app.resource(), clock), clock)
    client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    client.leave()
    assert len(cancelled) == 1
