# mypy: allow-untyped-calls
"""`/metrics.json`, `/health` and `/ready`: small JSON documents, made from memory at once.

Each is a plain resource for exactly one path, with GET and HEAD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
from twisted.web.resource import IResource
from zope.interface import implementer

from ollamamax.errors import MethodNotAllowed, RouteNotFound
from ollamamax.web.answers import respond_json
from ollamamax.web.dialects import Dialect, answer

if TYPE_CHECKING:
    from twisted.web.server import Request

METHODS = ("GET", "HEAD")

Document = Mapping[str, object]


@attrs.frozen
class Readiness:
    """What `/ready` tells.

    Attributes:
        listening: the server accepts connections.
        store_open: the database is open.
        probed: the first round of probes is done, whatever it found.
        draining: the server is about to stop.
        nodes_up: nodes whose last probe succeeded; no condition of being ready.
        nodes_total: nodes configured.
    """

    listening: bool
    store_open: bool
    probed: bool
    draining: bool
    nodes_up: int
    nodes_total: int

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.listening and self.store_open and self.probed and not self.draining

    def document(self) -> Document:
        """The body of the answer."""
        status = "draining" if self.draining else "ready" if self.ready else "starting"
        return {
            "status": status,
            "listening": self.listening,
            "store": "open" if self.store_open else "closed",
            "first_probe_round": "done" if self.probed else "pending",
            "draining": self.draining,
            "nodes": {"up": self.nodes_up, "total": self.nodes_total},
        }


@implementer(IResource)
class DocumentResource:
    """A resource that answers one path with a status and a JSON document.

    Args:
        document: gives both; called on the reactor's thread for each request, so it must not wait for anything.
    """

    isLeaf = False

    def __init__(self, document: Callable[[], tuple[int, Document]]) -> None:
        self._document = document

    def render(self, request: Request) -> bytes:
        """Answers GET and HEAD; the body of HEAD is only measured."""
        if request.method.decode("latin-1") not in METHODS:
            return answer(request, MethodNotAllowed(METHODS), Dialect.CONTROL, request_id(request))
        status, document = self._document()
        request.setHeader(b"Cache-Control", b"no-store")
        body = respond_json(request, document, status=status)
        return b"" if request.method == b"HEAD" else body

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """No path below this one is known."""
        return MissingResource()

    def putChild(self, path: bytes, child: IResource) -> None:
        """Has no children."""
        raise TypeError("this resource has no children")


@implementer(IResource)
class MissingResource:
    """A path that is no route, in the control API's words."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """Answers 404 to every method."""
        return answer(request, RouteNotFound(), Dialect.CONTROL, request_id(request))

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Nor is one below it."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """Has no children."""
        raise TypeError("this resource has no children")


def statistics_resource(
    database: Callable[[], Document], members: Mapping[str, Callable[[], Document]], now: Callable[[], float]
) -> DocumentResource:
    """`/metrics.json`.

    Args:
        database: the statistics of the database's pool, as JSON; the same object's that `/metrics` reads.
        members: what stands beside them, by name, from the objects that `/metrics` reads, too.
        now: the wall clock, in seconds since 1970.
    """

    def document() -> tuple[int, Document]:
        told = {name: member() for name, member in members.items()}
        return 200, {"database": database(), "timestamp": timestamp(now()), **told}

    return DocumentResource(document)


def health_resource(version: str) -> DocumentResource:
    """`/health`: that the process answers, and no more."""
    return DocumentResource(lambda: (200, {"status": "ok", "version": version}))


def readiness_resource(readiness: Callable[[], Readiness]) -> DocumentResource:
    """`/ready`: 200 while requests should be sent here, else 503; the body says why."""

    def document() -> tuple[int, Document]:
        state = readiness()
        return (200 if state.ready else 503), state.document()

    return DocumentResource(document)


def timestamp(seconds: float) -> str:
    """A Unix time as RFC 3339 text in UTC, to the second: `2025-10-27T10:30:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def request_id(request: Request) -> str:
    """The id of a request; empty for one of a stock channel, which gives none."""
    identifier: str = getattr(request, "request_id", "")
    return identifier
