"""Ollama's checks of Host and Origin, before any route (`server/routes.go`, gin-contrib/cors)."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from .answers import answer
from .words import PLAIN

_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d*)?\Z", re.IGNORECASE)
_APPLICATION_ORIGIN = re.compile(r"(app|file|tauri|vscode-webview|vscode-file)://", re.IGNORECASE)
_ALLOWED_HEADERS = (
    b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,"
    b"X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
    b"X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    b"X-Stainless-Runtime-Version,X-Stainless-Timeout"
)
_PREFLIGHT = (
    (b"Access-Control-Allow-Headers", _ALLOWED_HEADERS),
    (b"Access-Control-Allow-Methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (b"Access-Control-Max-Age", b"43200"),
)
_PREFLIGHT_VARIES = [b"Origin", b"Access-Control-Request-Method", b"Access-Control-Request-Headers"]


def allowed_host(host: str) -> bool:
    """Whether a server on loopback answers to this Host."""
    name = host.casefold()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in ("", "localhost", socket.gethostname().casefold()):
        return True
    if name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


def allowed_origin(origin: str) -> bool:
    """Whether pages of this origin may call (`envconfig.AllowedOrigins`)."""
    return bool(_ORIGIN.match(origin) or _APPLICATION_ORIGIN.match(origin))


class GuardedResource(Resource):
    """Checks first, then lets another resource answer.

    Args:
        inner: that other resource.
        allowed_methods: the methods that the route of a path takes; none for an unknown path.
    """

    isLeaf = True

    def __init__(self, inner: IResource, allowed_methods: Callable[[str], list[str]]) -> None:
        super().__init__()
        self._inner = inner
        self._allowed_methods = allowed_methods

    def render(self, request: Request) -> int | bytes:
        """Answer one request."""
        host = request.getHeader(b"host") or b""
        origin = request.getHeader(b"origin")
        if origin and origin not in (b"http://" + host, b"https://" + host):
            if not allowed_origin(origin.decode("latin-1")):
                return self._refuse(request)
            request.setHeader(b"Access-Control-Allow-Origin", origin)
            if request.method == b"OPTIONS":
                return self._preflight(request)
            request.setHeader(b"Vary", b"Origin")
        if _on_loopback(request) and not allowed_host(host.decode("latin-1")):
            return self._refuse(request)
        if not _readable(request):
            answer(request, b"404 page not found", PLAIN, 404)
            request.finish()
            return NOT_DONE_YET
        rendered: int | bytes = self._inner.render(request)
        return rendered

    def _refuse(self, request: Request) -> int:
        request.setResponseCode(403)
        return _ended(request)

    def _preflight(self, request: Request) -> int:
        for name, value in _PREFLIGHT:
            request.setHeader(name, value)
        request.responseHeaders.setRawHeaders(b"Vary", _PREFLIGHT_VARIES)
        methods = self._allowed_methods(request.path.decode("latin-1"))
        if methods:
            request.setHeader(b"Allow", ", ".join(methods).encode())
        request.setResponseCode(204)
        request.finish()
        return NOT_DONE_YET


def _ended(request: Request) -> int:
    request.setHeader(b"Content-Length", b"0")
    request.finish()
    return NOT_DONE_YET


def _readable(request: Request) -> bool:
    """Whether the path is text; Klein takes no other."""
    try:
        b"/".join(request.postpath or []).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _on_loopback(request: Request) -> bool:
    address = request.getHost()
    if not isinstance(address, IPv4Address | IPv6Address):
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return True
