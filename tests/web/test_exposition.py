# mypy: allow-untyped-calls
"""`/metrics`: the resource, its threads and what scrapes share."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs
import pytest
import pytest_twisted
import treq
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from treq.testing import RequestTraversalAgent
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from ollamamax.metrics.catalogue import Metric
from ollamamax.metrics.families import Families, Family, value
from ollamamax.metrics.registry import Metrics
from ollamamax.web.exposition import BREATHS, MAX_BREATH_SECONDS, MAX_RENDERINGS, ExpositionResource

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

Flush = Callable[..., list[Failure]]

TEXT = "text/plain; version=0.0.4; charset=utf-8"
RENDERINGS = Metric("renderings", "gauge", (), "Renderings")
THREADS = Metric("threads", "gauge", (), "Threads of this process")
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@implementer(IReactorFromThreads)
class Here:
    """A reactor whose thread is this one."""

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:  # noqa: A002
        """Calls at once."""
        callable(*args, **kwargs)


class Turns:
    """Threads that work when they are told to."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.started = False
        self.stopped = False

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stopped = True

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, object], object] | None, func: Callable[[], object]
    ) -> None:
        def run() -> None:
            result = func()
            if onResult is not None:
                onResult(True, result)

        self.work.append(run)

    def turn(self) -> None:
        """Does one piece of work."""
        self.work.pop(0)()


@attrs.frozen
class Answer:
    """What a scraper got."""

    code: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """One header."""
        values = self.headers.getRawHeaders(name)
        return None if values is None else ",".join(values)

    @property
    def error(self) -> object:
        """The code of an error in the shape of `/api/v1`."""
        return json.loads(self.body)["error"]["code"]


class Scraped:
    """A server in memory whose `/metrics` is scraped."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.metrics = Metrics("1.2.3")
        self.metrics.http.observe("GET", "/api/v1/models/:id", 200, 0.2)
        self.turns = Turns()
        self.clock = Clock()
        self.breaths: list[float] = []
        self.piece_seconds = 0.0
        self.failure = failure
        self.renderings = 0
        self.metrics.add("renderings", [RENDERINGS], lambda: self._render)
        self.resource = ExpositionResource(
            self.metrics, Here(), threads=self.turns, seconds=self._seconds, breathe=self._breathe
        )
        root = Resource()
        root.putChild(b"metrics", self.resource)
        self._agent = RequestTraversalAgent(root)
        self.resource.start()

    def _seconds(self) -> float:
        """A clock by which a piece takes its time between two looks at it."""
        self.clock.advance(self.piece_seconds)
        return self.clock.seconds()

    def _render(self) -> Iterable[Family]:
        self.renderings += 1
        return [value(RENDERINGS, self.renderings)]

    def _breathe(self, seconds: float) -> None:
        self.breaths.append(seconds)
        if self.failure is not None:
            raise self.failure

    def begin(self, method: str = "GET", rest: str = "", **headers: str) -> list[Answer]:
        """Sends a scrape; the list holds the answer once it is there."""
        answers: list[Answer] = []
        sent = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        requested = self._agent.request(method.encode(), f"http://127.0.0.1/metrics{rest}".encode(), sent)
        requested.addCallback(
            lambda response: treq.content(response).addCallback(
                lambda body: answers.append(Answer(response.code, response.headers, body))
            )
        )
        return answers

    def work(self) -> None:
        """Lets the threads do all that there is."""
        while self.turns.work:
            self.turns.turn()
        self._agent.flush()

    def scrape(self, method: str = "GET", rest: str = "", **headers: str) -> Answer:
        """One scrape from its beginning to its end."""
        answers = self.begin(method, rest, **headers)
        self.work()
        (answer,) = answers
        return answer

    def scrapes(self, code: str) -> float | None:
        """How many scrapes were counted with a status."""
        return self.metrics.registry.get_sample_value("ollamamax_metrics_scrapes_total", {"code": code})


def test_the_text_format_is_the_default() -> None:
    """Without wishes a scraper gets the text format, with its length and what it was negotiated by."""
    answer = Scraped().scrape()
    assert answer.code == 200
    assert answer.header("Content-Type") == TEXT
    assert answer.header("Vary") == "Accept, Accept-Encoding"
    assert b'http_requests_total{endpoint="/api/v1/models/:id",method="GET",status="200"} 1.0' in answer.body
    assert b"_created" not in answer.body


def test_openmetrics_on_request() -> None:
    """OpenMetrics 1.0.0 is sent where it is preferred, and is well-formed."""
    answer = Scraped().scrape(Accept="application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5")
    assert answer.header("Content-Type") == OPENMETRICS
    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert {"http_requests", "http_request_duration_seconds"} <= names


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=abc",
        "application/openmetrics-text;version=9.0.0",
        "text/plain;version=abc",
        "text/plain;version=7.0.0;q=1",
        "*/*;q=nan",
        ";;;,,q=",
        "\u00ff",
        "text/html",
    ],
)
def test_odd_accept_headers_never_fail(accept: str) -> None:
    """What is not understood, or cannot be given, is answered with the default."""
    answer = Scraped().scrape(Accept=accept)
    assert (answer.code, answer.header("Content-Type")) == (200, TEXT)


def test_compression() -> None:
    """A scraper that accepts gzip gets it."""
    scraped = Scraped()
    answer = scraped.scrape(Accept_Encoding="gzip")
    assert answer.header("Content-Encoding") == "gzip"
    assert b"http_requests_total" in gzip.decompress(answer.body)
    assert scraped.scrape(Accept_Encoding="gzip;q=0").header("Content-Encoding") in (None, "")


def test_families_by_name() -> None:
    """`name[]` leaves out all but the samples named."""
    answer = Scraped().scrape(rest="?name[]=http_requests_total&name[]=ollamamax_build_info")
    lines = {line.partition("{")[0] for line in answer.body.decode().splitlines() if not line.startswith("#")}
    assert lines == {"http_requests_total", "ollamamax_build_info"}


def test_head() -> None:
    """HEAD has the headers of GET, and no body."""
    scraped = Scraped()
    got, headed = scraped.scrape(), scraped.scrape("HEAD")
    assert (headed.code, headed.body) == (200, b"")
    assert headed.header("Content-Type") == TEXT
    assert abs(int(headed.header("Content-Length") or 0) - len(got.body)) < 200


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE", "FOO"])
def test_other_methods_are_refused(method: str) -> None:
    """Any other method is a 405 that names the two; nothing is rendered for it."""
    scraped = Scraped()
    answer = scraped.scrape(method)
    assert (answer.code, answer.header("Allow"), answer.error) == (405, "GET, HEAD", "method_not_allowed")
    assert scraped.renderings == 0
    assert scraped.scrapes("405") == 1


@pytest.mark.parametrize("rest", ["/", "/x", "/x/y"])
def test_paths_below_are_unknown(rest: str) -> None:
    """`/metrics` is one path, not a folder."""
    scraped = Scraped()
    answer = scraped.scrape(rest=rest)
    assert (answer.code, answer.error) == (404, "route_not_found")
    with pytest.raises(TypeError):
        scraped.resource.putChild(b"x", Resource())


def test_scrapes_are_counted_by_status() -> None:
    """Each answer is counted once it is sent, so the next scrape shows it."""
    scraped = Scraped()
    assert scraped.scrapes("200") is None
    assert b"ollamamax_metrics_scrapes_total{" not in scraped.scrape().body
    assert b'ollamamax_metrics_scrapes_total{code="200"} 1.0' in scraped.scrape().body


def test_overlapping_scrapes_share_a_rendering() -> None:
    """Scrapes that want the same and overlap are rendered once, also those that come while one is rendered."""
    scraped = Scraped()
    waiting = [scraped.begin() for _ in range(20)]
    waiting += [scraped.begin(Accept="text/plain;version=0.0.4"), scraped.begin("HEAD")]
    other = scraped.begin(Accept="application/openmetrics-text")
    scraped.work()
    assert scraped.renderings == 2
    assert {answers[0].code for answers in waiting} == {200}
    assert len({answers[0].body for answers in waiting}) == 2
    assert other[0].header("Content-Type") == OPENMETRICS
    assert scraped.scrapes("200") == 23


def test_a_finished_rendering_is_not_shared() -> None:
    """Who comes after a rendering gets a new one, even while others still take the old one."""
    scraped = Scraped()
    first, second = scraped.begin(), scraped.begin()
    scraped.turns.turn()
    scraped.metrics.http.observe("GET", "/later", 200, 0.1)
    third = scraped.begin()
    scraped.work()
    assert scraped.renderings == 2
    assert first[0].body == second[0].body
    assert b"/later" not in first[0].body
    assert b"/later" in third[0].body


def test_a_scrape_shows_the_moment_at_which_it_came() -> None:
    """The state is copied when the scrape arrives, on the reactor's thread, and not while it is rendered."""
    scraped = Scraped()
    answers = scraped.begin()
    scraped.metrics.http.observe("GET", "/later", 200, 0.1)
    scraped.work()
    assert b"/later" not in answers[0].body


def test_different_scrapes_are_limited() -> None:
    """Scrapes that share nothing are refused beyond a number, and welcome again afterwards."""
    scraped = Scraped()
    taken = [scraped.begin(rest=f"?name[]={number}") for number in range(MAX_RENDERINGS)]
    refused = scraped.begin(rest="?name[]=more")
    assert (refused[0].code, refused[0].error) == (503, "too_many_scrapes")
    assert refused[0].header("Retry-After") == "1"
    scraped.begin(rest="?name[]=0")
    scraped.work()
    assert [answers[0].code for answers in taken] == [200] * MAX_RENDERINGS
    assert scraped.scrape(rest="?name[]=more").code == 200


def test_a_failed_rendering_is_answered(flush_logged_errors: Flush) -> None:
    """Should a rendering fail after all, everybody who waits gets a 500 in JSON, and later ones a new try."""
    scraped = Scraped(ArithmeticError())
    waiting = [scraped.begin(), scraped.begin(), scraped.begin("HEAD")]
    scraped.work()
    assert [(answers[0].code, answers[0].error) for answers in waiting[:2]] == [(500, "internal_error")] * 2
    assert (waiting[2][0].code, waiting[2][0].body) == (500, b"")
    assert scraped.scrapes("500") == 3
    assert len(flush_logged_errors(ArithmeticError)) == 1
    scraped.failure = None
    assert scraped.scrape().code == 200


def test_a_rendering_lets_the_loop_have_its_turns() -> None:
    """After each piece it pauses for several times as long as that took, but never for long."""
    scraped = Scraped()
    scraped.scrape()
    few = len(scraped.breaths)
    scraped.piece_seconds = 0.001
    for number in range(200):
        scraped.metrics.http.observe("GET", f"/{number}", 200, 0.2)
    scraped.scrape()
    breaths = scraped.breaths[few:]
    assert len(breaths) > 2 * few + 10
    assert breaths[1:] == [pytest.approx(BREATHS * 0.001)] * (len(breaths) - 1)
    scraped.piece_seconds = 9.0
    scraped.scrape()
    assert scraped.breaths[-1] == MAX_BREATH_SECONDS


def test_scrapes_are_timed() -> None:
    """From their arrival to their end, whoever rendered them; those that were refused are counted alone."""
    scraped = Scraped()
    scraped.begin()
    scraped.clock.advance(0.2)
    scraped.begin()
    scraped.clock.advance(0.1)
    scraped.work()
    scraped.scrape("POST")
    read = scraped.metrics.registry.get_sample_value
    assert read("ollamamax_metrics_scrape_duration_seconds_count") == 2
    assert read("ollamamax_metrics_scrape_duration_seconds_sum") == pytest.approx(0.4)


def test_stopping_waits_for_scrapes() -> None:
    """The threads end once the last scrape is answered; new ones are refused meanwhile."""
    scraped = Scraped()
    assert scraped.turns.started
    waiting = scraped.begin()
    ended: list[None] = []
    scraped.resource.stop().addCallback(ended.append)
    refused = scraped.scrape()
    assert (refused.code, refused.error) == (503, "shutting_down")
    assert waiting[0].code == 200
    assert scraped.turns.stopped
    assert ended == [None]


def test_stopping_an_idle_or_stopped_resource() -> None:
    """It ends at once, and stopping again changes nothing."""
    scraped = Scraped()
    ended: list[None] = []
    scraped.resource.stop().addCallback(ended.append)
    scraped.resource.stop().addCallback(ended.append)
    assert ended == [None, None]
    assert scraped.turns.stopped


def test_a_scraper_on_a_unix_socket() -> None:
    """Where there are no IP addresses, the metrics are there all the same."""
    scraped = Scraped()
    root = Resource()
    root.putChild(b"metrics", scraped.resource)
    channel = Site(root, timeout=None).buildProtocol(UNIXAddress(None))
    transport = StringTransport(hostAddress=UNIXAddress(b"/run/some.sock"), peerAddress=UNIXAddress(None))
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    scraped.work()
    assert transport.value().startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain" in transport.value()


def test_a_scraper_that_leaves() -> None:
    """Its scrape is counted as 499; the thread that works for it finds nobody, and nothing fails or waits for ever."""
    scraped = Scraped()
    root = Resource()
    root.putChild(b"metrics", scraped.resource)
    channel = Site(root, timeout=None).buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
    transport = StringTransport()
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    waiting = scraped.begin()
    channel.connectionLost(Failure(ConnectionLost("gone")))
    scraped.work()
    assert transport.value() == b""
    assert waiting[0].code == 200
    assert (scraped.scrapes("499"), scraped.scrapes("200")) == (1, 1)
    ended: list[None] = []
    scraped.resource.stop().addCallback(ended.append)
    assert ended == [None]


# With threads and sockets.


@attrs.frozen
class Real:
    """A server on a socket, its scraper, and the threads on which its collectors copied and rendered."""

    reactor: IReactorTime
    metrics: Metrics
    url: str
    agent: Agent
    copied: set[int] = attrs.Factory(set)
    rendered: set[int] = attrs.Factory(set)

    async def scrape(self, query: str = "") -> Answer:
        """One scrape."""
        response = await self.agent.request(b"GET", f"{self.url}{query}".encode())
        return Answer(response.code, response.headers, await treq.content(response))


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def real() -> object:
    """A server on a port of its own, with a real pool of threads."""
    from twisted.internet import reactor

    metrics = Metrics("1")
    resource = ExpositionResource(metrics, reactor)  # type: ignore[arg-type]
    resource.start()
    root = Resource()
    root.putChild(b"metrics", resource)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Site(root, timeout=None))
    url = f"http://127.0.0.1:{port.getHost().port}/metrics"
    made = Real(reactor, metrics, url, Agent(reactor))

    def snapshot() -> Families:
        made.copied.add(threading.get_ident())

        def families() -> Iterable[Family]:
            made.rendered.add(threading.get_ident())
            return [value(THREADS, threading.active_count())]

        return families

    metrics.add("threads", [THREADS], snapshot)
    yield made
    await resource.stop()
    await port.stopListening()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_nothing_is_rendered_on_the_reactors_thread(real: Real) -> None:
    """State is copied on the reactor's thread and rendered on another, which is none of the reactor's pool either."""
    from twisted.internet import reactor

    assert (await real.scrape()).code == 200
    assert real.copied == {threading.get_ident()}
    assert real.rendered
    assert not real.rendered & real.copied
    assert not {thread.ident for thread in reactor.getThreadPool().threads} & real.rendered  # type: ignore[attr-defined]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_scraping_while_requests_are_observed(real: Real) -> None:
    """Scrapes beside a stream of requests never fail, and each shows as many durations as requests."""
    scrapes: list[Deferred[Answer]] = []
    for number in range(60):
        for request in range(50):
            live = object()
            real.metrics.http.live.add(live)
            real.metrics.http.observe("GET", f"/{(number * request) % 90}", 200 + request % 5, 0.001)
            real.metrics.http.live.discard(live)
        if number % 3 == 0:
            scrapes.append(ensureDeferred(real.scrape(f"?name[]=x&n={number}" if number % 2 else "")))
        await deferLater(real.reactor, 0)
    answers = await gatherResults(scrapes)
    assert {answer.code for answer in answers} == {200}
    final = (await real.scrape()).body.decode().splitlines()
    for name in ("http_requests_total", "http_request_duration_seconds_count"):
        assert sum(float(line.rpartition(" ")[2]) for line in final if line.startswith(f"{name}{{")) == 3000
    assert "http_requests_in_flight 0.0" in final
