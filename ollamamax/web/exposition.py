# mypy: allow-untyped-calls
"""`/metrics`: rendered on a thread pool of its own, once for all scrapes that want the same at the same time.

Nothing is rendered on the reactor's thread: what lives there is copied when a scrape arrives, by `memcpy` for the big
part. A rendering still competes for the interpreter's lock. A thread that wants it back waits for the other one's turn
to end (`sys.getswitchinterval`, 5 ms), and the event loop gives it up in every call of the system. So what is rendered
comes in pieces of a fraction of a millisecond, and after each the thread sleeps for several times as long, in which the
loop has the lock alone: a scrape may take its time, a token not.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from ollamamax.errors import GatewayError, InternalError, MethodNotAllowed, ShuttingDown, Unavailable
from ollamamax.metrics.collectors import rendering
from ollamamax.metrics.http import CLIENT_GONE
from ollamamax.metrics.negotiation import Wanted, negotiate
from ollamamax.metrics.text import exposition
from ollamamax.web.dialects import Dialect, answer
from ollamamax.web.status import METHODS, MissingResource, request_id

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads
    from twisted.web.server import Request

    from ollamamax.metrics.registry import Metrics

THREADS = 2
MAX_RENDERINGS = 8
"""How many scrapes that cannot share a rendering may be under way; each can hold a text of some hundred kilobytes."""

BREATHS = 4.0
"""How many times as long as it worked a rendering lets go of the interpreter's lock, after each piece."""

MAX_BREATH_SECONDS = 0.005
"""The longest that it does; a piece that took long had to wait itself."""

GZIP_LEVEL = 3
"""A quarter larger than the default level's, in a fifth of its time."""


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
    refuses new scrapes, waits for those under way and ends the threads.

    Args:
        metrics: what is shown; it also counts the scrapes.
        reactor: the reactor on whose thread this resource is rendered.
        threads: where to render instead of on a `ThreadPool` of its own.
        seconds: a monotonic clock.
        breathe: sleeps, on a thread that renders, for so many seconds.
    """

    isLeaf = False

    def __init__(
        self,
        metrics: Metrics,
        reactor: IReactorFromThreads,
        *,
        threads: Threads | None = None,
        seconds: Callable[[], float] = time.monotonic,
        breathe: Callable[[float], object] = time.sleep,
    ) -> None:
        self._metrics = metrics
        self._reactor = reactor
        self._threads = threads or ThreadPool(minthreads=0, maxthreads=THREADS, name="ollamamax-metrics")
        self._seconds = seconds
        self._breathe = breathe
        self._renderings: dict[Wanted, _Rendering] = {}
        self._waiting: set[Request] = set()
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
        request.notifyFinish().addBoth(self._ended, request, self._seconds())
        if request.method.decode("latin-1") not in METHODS:
            return self._refuse(request, MethodNotAllowed(METHODS))
        if not self._running:
            return self._refuse(request, ShuttingDown())
        wanted = _wanted(request)
        shared = self._renderings.get(wanted)
        if shared is None or shared.finished:
            if sum(not other.finished for other in self._renderings.values()) >= MAX_RENDERINGS:
                return self._refuse(request, TooManyScrapes())
            shared = self._renderings[wanted] = _Rendering(wanted, self._metrics, self._seconds, self._breathe)
        self._jobs += 1
        self._waiting.add(request)
        self._threads.callInThreadWithCallback(
            lambda _success, body: self._reactor.callFromThread(self._rendered, request, wanted, body), shared.body
        )
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """No path below is known here (a leaf would answer to all of them)."""
        return MissingResource()

    def putChild(self, path: bytes, child: IResource) -> None:
        """Has no children."""
        raise TypeError("/metrics has no children")

    def _rendered(self, request: Request, wanted: Wanted, body: object) -> None:
        """A rendering has ended; its scraper may have left meanwhile."""
        self._jobs -= 1
        self._renderings = {key: shared for key, shared in self._renderings.items() if not shared.finished}
        if request in self._waiting:
            self._answer(request, wanted, body)
        self._stop_if_idle()

    def _answer(self, request: Request, wanted: Wanted, body: object) -> None:
        if isinstance(body, bytes):
            headers = request.responseHeaders
            headers.setRawHeaders(b"Content-Type", [wanted.content_type.encode("ascii")])
            if wanted.compressed:
                headers.setRawHeaders(b"Content-Encoding", [b"gzip"])
            headers.addRawHeader(b"Vary", b"Accept, Accept-Encoding")
            headers.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        else:
            body = self._refuse(request, InternalError())
        if request.method != b"HEAD":
            request.write(body)
        request.finish()

    def _ended(self, result: object, request: Request, arrival: float) -> None:
        self._waiting.discard(request)
        status = request.code if result is None else CLIENT_GONE
        self._metrics.scrapes.answered(status, self._seconds() - arrival)

    def _stop_if_idle(self) -> None:
        if self._jobs == 0 and self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            self._threads.stop()
            stopped.callback(None)

    def _refuse(self, request: Request, error: GatewayError) -> bytes:
        return answer(request, error, Dialect.CONTROL, request_id(request))


class _Rendering:
    """One rendering for all scrapes that joined it.

    `body` runs on the pool's threads. The first to come renders, under a lock; the others wait for it.
    """

    _log = Logger()

    def __init__(
        self, wanted: Wanted, metrics: Metrics, seconds: Callable[[], float], breathe: Callable[[float], object]
    ) -> None:
        self.finished = False
        self._wanted = wanted
        self._registry = metrics.registry
        self._snapshot = metrics.snapshot()
        self._seconds = seconds
        self._breathe = breathe
        self._lock = Lock()
        self._body: bytes | None = None

    def body(self) -> bytes | None:
        """What is answered; None where it could not be rendered."""
        with self._lock:
            if not self.finished:
                try:
                    self._body = self._render()
                except Exception:  # noqa: BLE001 - every scrape that waits for this rendering is to be answered
                    self._log.failure("the metrics could not be rendered")
                self.finished = True
        return self._body

    def _render(self) -> bytes:
        names = self._wanted.names
        registry = self._registry if names is None else self._registry.restricted_registry(names)
        pieces = []
        with rendering(self._snapshot, whole=names is None):
            began = self._seconds()
            for piece in exposition(registry.collect(), openmetrics=self._wanted.openmetrics):
                pieces.append(piece)
                self._breathe(min(MAX_BREATH_SECONDS, BREATHS * (self._seconds() - began)))
                began = self._seconds()
        body = b"".join(pieces)
        return gzip.compress(body, GZIP_LEVEL) if self._wanted.compressed else body


def _wanted(request: Request) -> Wanted:
    return negotiate(
        _field(request, b"accept"),
        _field(request, b"accept-encoding"),
        request.uri.partition(b"?")[2].decode("latin-1"),
    )


def _field(request: Request, name: bytes) -> str:
    return ",".join(line.decode("latin-1") for line in request.requestHeaders.getRawHeaders(name, []))
