# mypy: allow-untyped-calls
"""The timing resource: one observation per request, at its real end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, NoReturn

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.test.requesthelper import DummyChannel
from werkzeug.routing import Map, Rule

from ollamamax.metrics.collectors import SafeCollector
from ollamamax.metrics.http import HTTP_METRICS, HttpMetrics
from ollamamax.settings import Limits
from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.routes import RouteTable
from ollamamax.web.site import GatewayRequest, GatewaySite
from ollamamax.web.timing import TimingResource, is_unmeasured

Flush = Callable[..., list[Failure]]
Render = Callable[[Request], "bytes | int"]
Samples = dict[tuple[str, str, str], float]

ROUTES = Map(
    [
        Rule("/api/chat", methods=["POST"], endpoint="chat"),
        Rule("/api/v1/models/<path:id>", methods=["GET"], endpoint="model"),
    ]
)


class Calls(Resource):
    """An inner resource that renders as the test says, and keeps the requests."""

    isLeaf = True

    def __init__(self, render: Render) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._render = render

    def render(self, request: Request) -> bytes | int:
        self.requests.append(request)
        return self._render(request)


class Wire(StringTransport):
    """A client's connection."""

    def __init__(self, site: Site) -> None:
        super().__init__(lenient=True)
        self._channel = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
        self._channel.makeConnection(self)

    def send(self, line: str, head: str = "Host: localhost\r\n\r\n") -> Wire:
        """Sends one request."""
        self._channel.dataReceived(f"{line} HTTP/1.1\r\n{head}".encode("latin-1"))
        return self

    def gone(self) -> None:
        """The connection ends."""
        self._channel.connectionLost(Failure(ConnectionLost("gone")))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """A TCP connection's option."""

    def abortConnection(self) -> None:
        self.gone()


class Server:
    """A measured resource under a site."""

    def __init__(self, kind: Literal["stock", "gateway"], inner: IResource) -> None:
        self.clock = Clock()
        self.metrics = HttpMetrics()
        self.root = TimingResource(inner, self.metrics, RouteTable([ROUTES]), self.clock.seconds)
        self.site: Site
        if kind == "stock":
            self.site = Site(self.root, timeout=None, reactor=self.clock)
            self.site.displayTracebacks = False
        else:
            self.site = GatewaySite(
                self.root,
                reactor=self.clock,
                limits=Limits(),
                body_policy=lambda _: BodyPolicy(max_bytes=1000),
                access_log=None,
            )
        registry = CollectorRegistry()
        registry.register(SafeCollector("http", HTTP_METRICS, self.metrics.snapshot, print))
        self._registry = registry

    def connect(self) -> Wire:
        """A new client."""
        return Wire(self.site)

    def samples(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """All samples of a name, by the values of these labels."""
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name
        }

    @property
    def counted(self) -> dict[tuple[str, ...], float]:
        """Requests by method, endpoint and status."""
        return self.samples("http_requests_total", "method", "endpoint", "status")

    @property
    def seconds(self) -> float:
        """The sum of all durations."""
        return sum(self.samples("http_request_duration_seconds_sum", "method", "endpoint", "status").values())

    @property
    def disconnects(self) -> dict[tuple[str, ...], float]:
        """Clients that left, by endpoint and phase."""
        return self.samples("ollamamax_http_client_disconnects_total", "endpoint", "phase")

    @property
    def in_flight(self) -> float:
        """Requests being processed."""
        return self.samples("http_requests_in_flight")[()]


Serve = Callable[[Render], tuple[Server, Calls]]


@pytest.fixture(params=["stock", "gateway"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Serves what a function renders, under Twisted's site and under the gateway's."""

    def make(render: Render) -> tuple[Server, Calls]:
        calls = Calls(render)
        return Server(request.param, calls), calls

    return make


def later(_request: Request) -> int:
    """Leaves the response to the test."""
    return NOT_DONE_YET


def done(_request: Request) -> bytes:
    """Responds at once."""
    return b"ok"


def coded(code: int) -> Render:
    """Responds at once, with a status."""

    def render(request: Request) -> bytes:
        request.setResponseCode(code)
        return b"{}"

    return render


def test_a_request_is_observed_at_its_end(serve: Serve) -> None:
    """Not the return of `render` but the end of the response is what counts and stops the clock."""
    server, calls = serve(later)
    server.clock.advance(5)
    wire = server.connect().send("GET /api/v1/models/a/b:1")
    assert server.in_flight == 1
    server.clock.advance(2)
    calls.requests[0].write(b"half")
    assert server.counted == {}
    server.clock.advance(1)
    calls.requests[0].finish()
    assert server.counted == {("GET", "/api/v1/models/:id", "200"): 1}
    assert server.seconds == 3
    assert server.in_flight == 0
    wire.gone()
    assert server.counted == {("GET", "/api/v1/models/:id", "200"): 1}
    assert server.disconnects == {}


def test_time_starts_with_the_complete_head() -> None:
    """The gateway's own requests know when their head was complete: a slow body is part of the duration."""
    server = Server("gateway", Calls(done))
    wire = server.connect().send("POST /api/chat", "Host: localhost\r\nContent-Length: 4\r\n")
    wire._channel.dataReceived(b"\r\n1")
    server.clock.advance(0.25)
    wire._channel.dataReceived(b"234")
    assert server.counted == {("POST", "/api/chat", "200"): 1}
    assert server.seconds == 0.25


def test_a_client_that_leaves_before_the_head_is_499(serve: Serve) -> None:
    """Twisted shows code 200 there; nothing was sent."""
    server, _ = serve(later)
    wire = server.connect().send("POST /api/chat", "Host: localhost\r\nContent-Length: 0\r\n\r\n")
    wire.gone()
    assert server.counted == {("POST", "/api/chat", "499"): 1}
    assert server.disconnects == {("/api/chat", "before_response"): 1}
    assert server.in_flight == 0


def test_a_client_that_leaves_in_mid_stream_is_499(serve: Serve) -> None:
    """The head said 200 and the client did not wait for the rest."""
    server, calls = serve(later)
    wire = server.connect().send("POST /api/chat", "Host: localhost\r\nContent-Length: 0\r\n\r\n")
    calls.requests[0].write(b"half")
    wire.gone()
    assert server.counted == {("POST", "/api/chat", "499"): 1}
    assert server.disconnects == {("/api/chat", "mid_stream"): 1}


def test_a_response_that_the_gateway_breaks_off_keeps_its_status() -> None:
    """A failure after the 200 went out is no client that left."""

    class BrokenOff(Request):
        broken_off = True

    calls = Calls(later)
    server = Server("stock", calls)
    server.site.requestFactory = BrokenOff
    wire = server.connect().send("POST /api/chat", "Host: localhost\r\nContent-Length: 0\r\n\r\n")
    calls.requests[0].write(b"half")
    wire.gone()
    assert server.counted == {("POST", "/api/chat", "200"): 1}
    assert server.disconnects == {}
    assert server.in_flight == 0


def test_breaking_off_as_the_gateway_does_it() -> None:
    """The gateway's own requests say by themselves that it was not the client."""
    calls = Calls(later)
    server = Server("gateway", calls)
    wire = server.connect().send("POST /api/chat", "Host: localhost\r\nContent-Length: 0\r\n\r\n")
    request = calls.requests[0]
    assert isinstance(request, GatewayRequest)
    request.write(b"half")
    request.break_off()
    wire.gone()
    assert server.counted == {("POST", "/api/chat", "200"): 1}
    assert server.disconnects == {}
    assert server.in_flight == 0


def test_a_finished_response_is_never_499() -> None:
    """A connection that is lost while the response is being finished changes nothing any more."""

    class LostWhileFinishing(Request):
        def finish(self) -> None:
            self.finished = 1
            self.connectionLost(Failure(ConnectionLost("gone")))

    server = Server("stock", Calls(done))
    server.site.requestFactory = LostWhileFinishing
    server.connect().send("GET /api/v1/models/a")
    assert server.counted == {("GET", "/api/v1/models/:id", "200"): 1}
    assert server.disconnects == {}


def test_an_exception_ends_in_one_observation(serve: Serve, flush_logged_errors: Flush) -> None:
    """Whatever the inner tree raises is a 500, and nothing stays in flight."""

    def fail(_request: Request) -> NoReturn:
        raise RuntimeError("broken")

    server, _ = serve(fail)
    server.connect().send("GET /api/v1/models/a")
    assert server.counted == {("GET", "/api/v1/models/:id", "500"): 1}
    assert server.in_flight == 0
    assert len(flush_logged_errors(RuntimeError)) == 1


def test_an_exception_on_the_way_to_a_resource_is_measured(flush_logged_errors: Flush) -> None:
    """The tree is looked up inside the timing, so a child that cannot be made counts too."""

    class Childless(Resource):
        def getChild(self, path: bytes, request: Request) -> NoReturn:
            raise LookupError("broken")

    server = Server("gateway", Childless())
    server.connect().send("GET /api/v1/models/a")
    assert server.counted == {("GET", "/api/v1/models/:id", "500"): 1}
    flush_logged_errors(LookupError)


@pytest.mark.parametrize("path", ["/metrics", "/metrics.json", "/metrics?name[]=x", "/metrics.json?", "/m%65trics"])
def test_the_scraper_is_not_measured(serve: Serve, path: str) -> None:
    """The two metrics paths make no sample and are not in flight, whatever their query, method, end or spelling."""
    server, calls = serve(later)
    server.connect().send(f"GET {path}")
    server.connect().send(f"DELETE {path}").gone()
    assert server.in_flight == 0
    calls.requests[0].finish()
    assert server.counted == {}
    assert server.disconnects == {}


@pytest.mark.parametrize("path", ["/metrics/", "/metrics/x", "/metrics.json/", "/metricsx", "/Metrics", "//metrics"])
def test_paths_beside_the_scraper_are_measured(serve: Serve, path: str) -> None:
    """What only looks like a metrics path is an unmatched one."""
    server, _ = serve(coded(404))
    server.connect().send(f"GET {path}")
    assert server.counted == {("GET", "unmatched", "404"): 1}


def test_odd_paths_are_no_metrics_paths() -> None:
    """A path has to begin with its slash, encoded bytes or not."""
    assert not is_unmeasured(b"%2Fmetrics")
    assert not is_unmeasured(b"*")
    assert is_unmeasured(b"/metrics%2ejson")


def test_methods(serve: Serve) -> None:
    """A wrong method keeps the route's pattern."""
    server, _ = serve(coded(405))
    server.connect().send("DELETE /api/chat")
    assert server.counted == {("DELETE", "/api/chat", "405"): 1}


def test_unknown_methods_are_other() -> None:
    """A method that nobody knows is `_OTHER`, in text."""
    server = Server("stock", Calls(coded(405)))
    server.connect().send("FOO /api/chat")
    assert server.counted == {("_OTHER", "/api/chat", "405"): 1}


def test_what_is_no_request_is_other_and_unmatched() -> None:
    """Bytes without method and path are counted once, where they cannot make series."""
    server = Server("gateway", Calls(coded(400)))
    server.connect().send("\x01garbage")
    assert server.counted == {("_OTHER", "unmatched", "400"): 1}


def test_a_head_that_twisted_renders_twice_is_one_request(flush_logged_errors: Flush) -> None:
    """Where a resource has only GET, Twisted asks again with GET for a HEAD: one request, and its method is HEAD."""
    from twisted.web.error import UnsupportedMethod

    def get_only(request: Request) -> bytes:
        if request.method != b"GET":
            raise UnsupportedMethod([b"GET"])
        return b"ok"

    calls = Calls(get_only)
    server = Server("stock", calls)
    server.connect().send("HEAD /api/v1/models/a")
    assert len(calls.requests) == 2
    assert server.counted == {("HEAD", "/api/v1/models/:id", "200"): 1}


def test_a_failing_observation_loses_only_its_own_sample(flush_logged_errors: Flush) -> None:
    """A defect in measuring is logged; the response goes out, nothing stays in flight, the next one is measured."""

    class FailingOnce(RouteTable):
        failing = True

        def endpoint(self, method: bytes, path: bytes) -> str:
            failing, self.failing = self.failing, False
            if failing:
                raise ZeroDivisionError
            return super().endpoint(method, path)

    server = Server("stock", Resource())
    site = Site(TimingResource(Calls(done), server.metrics, FailingOnce([ROUTES]), server.clock.seconds), timeout=None)
    wire = Wire(site).send("GET /api/v1/models/a")
    assert wire.value().startswith(b"HTTP/1.1 200 OK")
    assert server.in_flight == 0
    assert server.counted == {}
    wire.send("GET /api/v1/models/a")
    assert server.counted == {("GET", "/api/v1/models/:id", "200"): 1}
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_a_clock_that_steps_back_never_makes_a_negative_duration() -> None:
    """Should the clock not be monotonic after all, the sum of durations still never falls."""
    times = [10.0, 3.0]
    server = Server("stock", Resource())
    root = TimingResource(Calls(done), server.metrics, RouteTable([ROUTES]), lambda: times.pop(0))
    Wire(Site(root, timeout=None)).send("GET /")
    assert server.counted == {("GET", "unmatched", "200"): 1}
    assert server.seconds == 0


def test_the_inner_tree_is_not_reached_from_outside() -> None:
    """Children are found while rendering, and added to the inner tree only."""
    server = Server("stock", Resource())
    assert server.root.getChildWithDefault(b"x", Request(DummyChannel(), False)) is server.root
    with pytest.raises(TypeError):
        server.root.putChild(b"x", Resource())


class Anything(Resource):
    """Answers as a gateway does: a route, a wrong method, no route."""

    isLeaf = True

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.unfinished: list[Request] = []
        self._chance = chance
        self._routes = RouteTable([ROUTES])

    def render(self, request: Request) -> bytes | int:
        allowed = self._routes.allowed_methods(request.path)
        if getattr(request, "refusal", None) is not None:
            request.setResponseCode(400)
        elif not allowed:
            request.setResponseCode(404)
        elif request.method.decode("latin-1") not in allowed:
            request.setResponseCode(405)
        elif self._chance.random() < 0.3:
            self.unfinished.append(request)
            return NOT_DONE_YET
        return b""


def test_random_requests_make_no_series() -> None:
    """3,000 requests to random paths and methods: each counted once, under few labels, and none stays in flight."""
    chance = random.Random(3)
    anything = Anything(chance)
    server = Server("gateway", anything)
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO", "get", "PROPFIND", "X" * 50]
    wires = []
    for number in range(3_000):
        path = chance.choice(
            (
                f"/{chance.getrandbits(64):x}",
                f"/api/v1/models/{chance.getrandbits(64):x}",
                f"/api/v1/models/{number}/%{chance.randrange(256):02x}",
                f"/api/chat/{number}",
                f"/metrics/{number}",
                f"/%{chance.randrange(256):02x}?{number}",
                "/api/chat",
            )
        )
        head = "Host: localhost\r\nContent-Length: 0\r\n\r\n"
        wires.append(server.connect().send(f"{chance.choice(methods)} {path}", head))
        while len(wires) > 50 or (wires and number == 2_999):
            wires.pop(chance.randrange(len(wires))).gone()
        if len(anything.unfinished) > 20:
            request = anything.unfinished.pop(chance.randrange(20))
            if not request._disconnected:
                request.finish()

    assert server.in_flight == 0
    assert sum(server.counted.values()) == 3_000
    assert {endpoint for _, endpoint, _ in server.counted} == {"unmatched", "/api/chat", "/api/v1/models/:id"}
    assert {status for _, _, status in server.counted} <= {"200", "400", "404", "405", "499"}
    known = {(endpoint, status) for _, endpoint, status in server.counted if endpoint != "unmatched"}
    assert known == {
        (endpoint, status) for endpoint in ("/api/chat", "/api/v1/models/:id") for status in ("200", "405", "499")
    }
    assert {status for _, endpoint, status in server.counted if endpoint == "unmatched"} <= {"400", "404"}
    assert len({method for method, _, _ in server.counted}) <= 8
