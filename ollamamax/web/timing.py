# mypy: allow-untyped-calls
"""The timing resource: one observation per request, at its real end.

It is the outermost layer: the inner tree is looked up and rendered inside of it, so that guards, routes that do not
exist and exceptions are measured like everything else. A request has ended when its response was handed over whole or
its client has gone, which only `notifyFinish` tells; the return of `render` says nothing about either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_to_bytes

from twisted.logger import Logger
from twisted.web.resource import IResource, getChildForRequest
from zope.interface import implementer

from ollamamax.errors import ClientLeft
from ollamamax.metrics.http import CLIENT_GONE, HttpMetrics, Phase, method_label

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure
    from twisted.web.server import Request

UNMEASURED = frozenset((b"/metrics", b"/metrics.json"))
"""The scraper's own paths: measured, each scrape would change what the next one sees."""


class Routes(Protocol):
    """Where the pattern of a request's route is known."""

    def endpoint(self, method: bytes, path: bytes) -> str:
        """The pattern, or one fixed text for a path that has none."""


@implementer(IResource)
class TimingResource:
    """Measures all requests but those of the two metrics paths.

    Args:
        inner: the root of everything that is measured, and of `/metrics` and `/metrics.json`.
        metrics: told of each end; its live set holds the requests that have not ended.
        routes: gives the label `endpoint`.
        clock: monotonic seconds; the clock by which the channel stamps `received_at`.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, inner: IResource, metrics: HttpMetrics, routes: Routes, clock: Callable[[], float]) -> None:
        self._inner = inner
        self._metrics = metrics
        self._live = metrics.live
        self._routes = routes
        self._clock = clock

    def render(self, request: Request) -> bytes | int:
        """Begins to measure, and lets the inner tree answer."""
        # Twisted renders a second time, as GET, where a resource has no HEAD: still the same request.
        if request not in self._live and not is_unmeasured(request.path):
            self._live.add(request)
            measured = (request, request.method, _arrival(request, self._clock))
            request.notifyFinish().addCallbacks(
                self._finished, self._broken, callbackArgs=measured, errbackArgs=measured
            )
        rendered: bytes | int = getChildForRequest(self._inner, request).render(request)
        return rendered

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Children are looked up while rendering, so that this too is measured."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """Children belong to the inner tree."""
        raise TypeError("the timing resource has no children of its own")

    def _finished(self, _result: None, request: Request, method: bytes, arrival: float) -> None:
        self._ended(request, method, arrival, left(request, lost=False))

    def _broken(self, _reason: Failure, request: Request, method: bytes, arrival: float) -> None:
        self._ended(request, method, arrival, left(request, lost=True))

    def _ended(self, request: Request, method: bytes, arrival: float, gone: Phase | None) -> None:
        self._live.discard(request)
        try:
            endpoint = self._routes.endpoint(method, request.path)
            status = request.code if gone is None else CLIENT_GONE
            self._metrics.observe(method_label(method), endpoint, status, max(0.0, self._clock() - arrival))
            if gone is not None:
                self._metrics.client_disconnected(endpoint, gone)
        except Exception:  # noqa: BLE001 - a defect here costs this sample, never the response
            self._log.failure("a request could not be measured")


def left(request: Request, *, lost: bool) -> Phase | None:
    """In which phase of a request that has ended its client left; None for one that did not leave.

    Args:
        request: the request.
        lost: whether the connection ended first. That was its client, unless the response was whole, or broken off by
            us.
    """
    if not lost:
        return "before_response" if isinstance(getattr(request, "refusal", None), ClientLeft) else None
    if request.finished or getattr(request, "broken_off", False):
        return None
    return "mid_stream" if request.startedWriting else "before_response"


def is_unmeasured(path: bytes) -> bool:
    """Whether a path, percent-encoded or not, is exactly that of one of the metrics resources."""
    if b"%" in path and path.startswith(b"/"):
        path = unquote_to_bytes(path)
    return path in UNMEASURED


def _arrival(request: Request, clock: Callable[[], float]) -> float:
    """When the request's head was complete, by the channel's word; now, where a channel does not tell."""
    received_at: float | None = getattr(request, "received_at", None)
    return clock() if received_at is None else received_at
