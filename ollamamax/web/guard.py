"""What is answered before any route is looked at: refused requests, foreign pages, preflights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ollamamax.errors import GatewayError, HeadTooLarge, MalformedRequest
from ollamamax.web.answers import respond
from ollamamax.web.dialects import answer, dialect_of
from ollamamax.web.origins import PREFLIGHT_HEADERS, PREFLIGHT_VARY, OriginPolicy
from ollamamax.web.site import MALFORMED_PATH, GatewayRequest

_MAX_REPORTED_NAMES = 100


class Methods(Protocol):
    """Where the methods of a path's route are known."""

    def allowed_methods(self, path: bytes) -> Sequence[str]:
        """The methods of the route that has this path; empty where none has."""


class GuardResource(Resource):
    """Stands before the routes and answers what must not reach one.

    Requests that the channel could not read; a Host or Origin that is not allowed (an empty 403, as Ollama answers);
    preflights of origins that are allowed. Whatever concerns a body goes on to its route, which knows what it means.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, inner: Resource, policy: OriginPolicy, methods: Methods) -> None:
        super().__init__()
        self._inner = inner
        self._policy = policy
        self._methods = methods
        self._reported: set[str] = set()

    def render(self, request: Request) -> bytes | int:
        """Answers by itself, or hands the request to the routes."""
        assert isinstance(request, GatewayRequest)
        refusal = _unreadable(request)
        if refusal is not None:
            return _finished(request, answer(request, refusal, dialect_of(request.path), request.request_id))
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        if host and not self._policy.allows_host(host):
            self._report("Host", host, "allowed_hosts")
            return _finished(request, respond(request, b"", status=403))
        # Two of them are nobody's origin.
        origin = b", ".join(request.requestHeaders.getRawHeaders(b"origin", [])).decode("latin-1")
        if origin:
            if not self._policy.allows_origin(origin, host):
                self._report("Origin", origin, "allowed_origins")
                return _finished(request, respond(request, b"", status=403))
            request.setHeader(b"Access-Control-Allow-Origin", origin.encode("latin-1"))
            request.responseHeaders.addRawHeader(b"Vary", b"Origin")
            if request.method == b"OPTIONS":
                return _finished(request, self._preflight(request))
        result: bytes | int = self._inner.render(request)
        return result

    def _preflight(self, request: Request) -> bytes:
        request.setResponseCode(204)
        for name, value in PREFLIGHT_HEADERS:
            request.setHeader(name, value)
        request.responseHeaders.setRawHeaders(b"Vary", list(PREFLIGHT_VARY))
        allowed = self._methods.allowed_methods(request.path)
        if allowed:
            request.setHeader(b"Allow", ", ".join(m for m in allowed if m != "HEAD").encode("ascii"))
        return b""

    def _report(self, header: str, value: str, setting: str) -> None:
        name = f"{header} {value[:100]!r}"
        if name in self._reported or len(self._reported) >= _MAX_REPORTED_NAMES:
            return
        self._reported.add(name)
        self._log.warn("{name} is not allowed: 403; add it to {setting} if it should be", name=name, setting=setting)


def _unreadable(request: GatewayRequest) -> GatewayError | None:
    refusal = request.refusal
    if refusal is not None and (request.path == MALFORMED_PATH or isinstance(refusal, MalformedRequest | HeadTooLarge)):
        return refusal
    return None


def _finished(request: Request, body: bytes) -> int:
    if body:
        request.write(body)
    request.finish()
    return NOT_DONE_YET
