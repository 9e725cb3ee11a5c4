# mypy: allow-untyped-calls
"""`/metrics`: prometheus-client's WSGI application, on a thread pool of its own.

This is what `prometheus_client.twisted.MetricsResource` is too, but that one installs a reactor when imported and
renders on the reactor's pool, which name look-ups share. Nothing is rendered on the reactor's thread here: what lives
there is copied when a scrape arrives, by `memcpy` for the big part.

A rendering still competes for the interpreter's lock (10,000 samples take some 0.1 s). Where the latency of streams
matters more than throughput, `sys.setswitchinterval(0.0005)` at the start of the process takes the 99th percentile of
the delay from 27 ms to 4 ms; it is the whole process's, so it is not set here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

import attrs
from prometheus_client import make_wsgi_app
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource
from twisted.web.wsgi import WSGIResource
from zope.interface import implementer

from ollamamax.errors import GatewayError, InternalError, MethodNotAllowed, ShuttingDown, Unavailable
from ollamamax.metrics.collectors import Snapshot, rendering
from ollamamax.metrics.http import CLIENT_GONE
from ollamamax.metrics.negotiation import Wanted, negotiate
from ollamamax.web.dialects import Dialect, answer, encode
from ollamamax.web.status import METHODS, MissingResource, request_id

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads
    from twisted.web.server import Request

    from ollamamax.metrics.registry import Metrics

THREADS = 2
MAX_RENDERINGS = 8
"""How many scrapes that cannot share a rendering may be under way; each can hold a text of some hundred kilobytes."""

_NOWHERE = IPv4Address("TCP", "", 0)

Environ = dict[str, object]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Threads(Protocol):
    """Where renderings run; a `ThreadPool`."""

    def start(self) -> None:
        """Begins to work."""

    def stop(self) -> None:
        """Ends; blocks until its threads have ended."""

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, object], object] | None, func: Callable[[], object]
    ) -> None:
        """Runs a function on some thread, then `onResult` there."""


class TooManyScrapes(Unavailable):
    """More different scrapes at once than are rendered side by side."""

    code = "too_many_scrapes"
    public_message = "too many scrapes are being rendered, try again later"


@implementer(IResource)
class ExpositionResource:
    """The resource of `/metrics`, and only of that path.

    Scrapes that want the same and overlap share one rendering. To be started and stopped with the server; `stop`
    refuses new scrapes, waits for those under way (their threads need the reactor to write) and ends the threads.

    Args:
        metrics: what is shown; it also counts the scrapes.
        reactor: the reactor on whose thread this resource is rendered.
        threads: where to render instead of on a `ThreadPool` of its own.
        application: renders instead of prometheus-client's.
    """

    isLeaf = False

    def __init__(
        self,
        metrics: Metrics,
        reactor: IReactorFromThreads,
        *,
        threads: Threads | None = None,
        application: Application | None = None,
    ) -> None:
        self._metrics = metrics
        self._reactor = reactor
        self._threads = threads or ThreadPool(minthreads=0, maxthreads=THREADS, name="ollamamax-metrics")
        self._application = application or make_wsgi_app(metrics.registry)
        self._renderings: dict[Wanted, _Rendering] = {}
        self._jobs = 0
        self._running = False
        self._stopped: Deferred[None] | None = None

    @property
    def thread_pool(self) -> ThreadPool:
        """Its threads, to be counted, not to be used (what tests give in their place cannot be counted)."""
        return cast("ThreadPool", self._threads)

    def start(self) -> None:
        """Begins to answer."""
        self._threads.start()
        self._running = True

    def stop(self) -> Deferred[None]:
        """Ends; fires when the last scrape is answered and no thread is left."""
        if not self._running:
            return succeed(None)
        self._running = False
        self._stopped = Deferred()
        stopped = self._stopped
        self._stop_if_idle()
        return stopped

    def render(self, request: Request) -> bytes | int:
        """Answers a scrape."""
        request.notifyFinish().addCallbacks(
            lambda _: self._metrics.scraped(request.code), lambda _: self._metrics.scraped(CLIENT_GONE)
        )
        if request.method.decode("latin-1") not in METHODS:
            return self._refuse(request, MethodNotAllowed(METHODS))
        if not self._running:
            return self._refuse(request, ShuttingDown())
        wanted = _wanted(request)
        shared = self._renderings.get(wanted)
        if shared is None or shared.finished:
            if sum(not other.finished for other in self._renderings.values()) >= MAX_RENDERINGS:
                return self._refuse(request, TooManyScrapes())
            shared = self._renderings[wanted] = _Rendering(wanted, self._metrics.snapshot(), self._application)
        resource = WSGIResource(self._reactor, self, partial(shared.answer, request_id(request)))
        result: int = resource.render(_Unaddressed(request))
        return result

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """No path below is known here (a leaf would answer to all of them)."""
        return MissingResource()

    def putChild(self, path: bytes, child: IResource) -> None:
        """Has no children."""
        raise TypeError("/metrics has no children")

    def callInThread(self, function: Callable[[], object]) -> None:
        """Runs one scrape's work on a thread; `WSGIResource` asks for it."""
        self._jobs += 1
        self._threads.callInThreadWithCallback(
            lambda _success, _result: self._reactor.callFromThread(self._job_done), function
        )

    def _job_done(self) -> None:
        self._jobs -= 1
        self._renderings = {key: shared for key, shared in self._renderings.items() if not shared.finished}
        self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if self._jobs == 0 and self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            self._threads.stop()
            stopped.callback(None)

    def _refuse(self, request: Request, error: GatewayError) -> bytes:
        return answer(request, error, Dialect.CONTROL, request_id(request))


class _Unaddressed:
    """A request as `WSGIResource` sees it: it asks for IP addresses, which a UNIX socket has not and nobody needs."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __getattr__(self, name: str) -> object:
        return getattr(self._request, name)

    def getClientAddress(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        """Nobody's."""
        return _NOWHERE

    getHost = getClientAddress


@attrs.frozen
class _Answer:
    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Rendering:
    """One rendering for all scrapes that joined it: WSGI middleware around the stock application.

    Its methods run on the pool's threads. The first to come renders, under a lock; the others wait for it.
    """

    _log = Logger()

    def __init__(self, wanted: Wanted, snapshot: Snapshot, application: Application) -> None:
        self.finished = False
        self._wanted = wanted
        self._snapshot = snapshot
        self._application = application
        self._lock = Lock()
        self._answer: _Answer | None = None

    def answer(self, request_id: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application of one scrape."""
        with self._lock:
            if not self.finished:
                self._render(environ)
                self.finished = True
        answered = self._answer or _failed(request_id)
        start_response(answered.status, [*answered.headers, ("Content-Length", str(len(answered.body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answered.body]

    def _render(self, environ: Environ) -> None:
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        asked = environ | {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "",
            "QUERY_STRING": self._wanted.query,
            "HTTP_ACCEPT": self._wanted.accept,
            "HTTP_ACCEPT_ENCODING": self._wanted.accept_encoding,
        }
        try:
            with rendering(self._snapshot):
                body = b"".join(self._application(asked, lambda status, headers: begun.append((status, headers))))
            ((status, headers),) = begun
        except Exception:  # noqa: BLE001 - every scrape that waits for this rendering is to be answered
            self._log.failure("the metrics could not be rendered")
            return
        self._answer = _Answer(status, (*headers, ("Vary", "Accept, Accept-Encoding")), body)


def _failed(request_id: str) -> _Answer:
    body = encode(InternalError(), Dialect.CONTROL, request_id)
    return _Answer("500 Internal Server Error", (("Content-Type", "application/json; charset=utf-8"),), body)


def _wanted(request: Request) -> Wanted:
    return negotiate(
        _field(request, b"accept"),
        _field(request, b"accept-encoding"),
        request.uri.partition(b"?")[2].decode("latin-1"),
    )


def _field(request: Request, name: bytes) -> str:
    return ",".join(line.decode("latin-1") for line in request.requestHeaders.getRawHeaders(name, []))
