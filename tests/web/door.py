"""A site and a clock, and the connections that a test opens to it: for the tests of web.channel."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from web.memory_site import HOST, FunctionResource, MemoryConnection, make_site

from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest, GatewaySite

GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
STREAMED = BodyPolicy(max_bytes=None, streamed=True)


def post(body: bytes, *fields: bytes, path: bytes = b"/p") -> bytes:
    """A request with a body of a known length."""
    lines = [b"POST %b HTTP/1.1" % path, HOST.rstrip(), b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*pieces: bytes, path: bytes = b"/c") -> bytes:
    """A request with a chunked body."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path, HOST) + chunks


def echo(request: GatewayRequest) -> bytes:
    """Says what was understood of a request."""
    return b"%b %b [%b]" % (request.method, request.uri, request.body())


class Door:
    """A site and a clock, and the connections that a test opens to it."""

    def __init__(self, render: Any = echo, **arguments: Any) -> None:
        self.clock = Clock()
        self.logged: list[GatewayRequest] = []
        self.resource = FunctionResource(render, answer_refusals=arguments.pop("answer_refusals", True))
        self.site: GatewaySite = make_site(self.resource, self.clock, access_log=self.logged.append, **arguments)

    @property
    def requests(self) -> list[GatewayRequest]:
        return self.resource.requests

    def connect(self, **arguments: Any) -> MemoryConnection:
        return MemoryConnection(self.site, self.clock, **arguments)


class Taker:
    """Takes a streamed body."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[object] = []

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_complete(self) -> None:
        self.ends.append("complete")

    def body_failed(self, reason: Failure) -> None:
        self.ends.append(reason.value)
