r"""A site without sockets: raw bytes in and out under the test's control, or a real agent over in-memory connections.

    clock = Clock()
    site = make_site(lambda request: b"hello", clock)
    client = MemoryConnection(site, clock)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.answers()[0].body == b"hello"

The transport behaves as Twisted's do: its buffer fills when the client does not read, its producer is paused and
resumed, closing waits until everything is flushed, and `connectionLost` comes in a later turn of the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import alsoProvides, implementer

from ollamamax.settings import Limits
from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest, GatewaySite

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from treq.testing import RequestTraversalAgent

HOST = b"Host: gateway.test\r\n"
_PEER = IPv4Address("TCP", "192.0.2.7", 40000)
_SERVER = IPv4Address("TCP", "198.51.100.1", 8080)


# --- the site --------------------------------------------------------------------------------------------------------


class FunctionResource(Resource):
    """A leaf that renders by a function and remembers the requests that reached it.

    A refused request is answered with its status and code, as the guard does it, unless `answer_refusals` is off.
    """

    isLeaf = True

    def __init__(self, render: Callable[[GatewayRequest], bytes | int], *, answer_refusals: bool = True) -> None:
        super().__init__()
        self.requests: list[GatewayRequest] = []
        self._render = render
        self._answer_refusals = answer_refusals

    def render(self, request: Any) -> bytes | int:
        self.requests.append(request)
        if request.refusal is not None and self._answer_refusals:
            request.setResponseCode(request.refusal.status)
            return bytes(request.refusal.code, "ascii")
        return self._render(request)


def make_site(
    render: Callable[[GatewayRequest], bytes | int] | Resource,
    reactor: Any,
    *,
    policy: BodyPolicy | Callable[[GatewayRequest], BodyPolicy] | None = None,
    access_log: Callable[[GatewayRequest], None] | None = None,
    wall_clock: Callable[[], float] = time.time,
    **limits: Any,
) -> GatewaySite:
    """A site with default limits, except for those given by name.

    Args:
        render: the root resource, or what renders every request.
        reactor: a Clock, or the reactor for real sockets.
        policy: for all bodies; 1 MiB, buffered, where it is missing.
        access_log: called at the end of every request.
        wall_clock: Unix seconds, for the Date of responses.
        limits: fields of `settings.Limits`.
    """
    chosen = policy or BodyPolicy(max_bytes=1024**2)
    return GatewaySite(
        render if isinstance(render, Resource) else FunctionResource(render),
        reactor=reactor,
        limits=Limits(**limits),
        body_policy=chosen if callable(chosen) else lambda _: chosen,
        access_log=access_log,
        wall_clock=wall_clock,
    )


def waiting(_: GatewayRequest) -> int:
    """Renders nothing: the test answers by itself."""
    return NOT_DONE_YET


# --- raw bytes -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Answer:
    """A response as a client reads it.

    Attributes:
        complete: whether its framing says that it ended; where it has none, whether the connection ended.
        pieces: the chunks of a chunked body, else the body.
    """

    version: str
    status: int
    headers: Headers
    body: bytes
    complete: bool
    pieces: tuple[bytes, ...]

    def header(self, name: str) -> str | None:
        """The last value of a header."""
        values = self.headers.getRawHeaders(name)
        return values[-1] if values else None


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryTransport:
    """The server's end of a connection in memory."""

    BUFFER_BYTES = 65536

    def __init__(self, client: MemoryConnection, peer: IAddress, host: IAddress) -> None:
        self.no_delay: bool | None = None
        self.paused = False
        self.writes: list[bytes] = []
        self.buffer = bytearray()
        self.half_closing = False
        self.closing = False
        self.lost = False
        self._client = client
        self._peer = peer
        self._host = host
        self._producer: Any = None
        self._producer_paused = False

    # ITransport, ITCPTransport

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.lost or self.half_closing or not data:
            return
        self.writes.append(data)
        self.buffer += data
        if self._producer is not None and len(self.buffer) > self.BUFFER_BYTES and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._client.clock.callLater(0, self.flush)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        if not self.lost:
            self.closing = True
            self._client.clock.callLater(0, self.flush)

    def loseWriteConnection(self) -> None:
        self.half_closing = True
        self._client.clock.callLater(0, self.flush)

    def abortConnection(self) -> None:
        self._client.aborted = True
        self._client.clock.callLater(0, self.lose, Failure(ConnectionAborted()))

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self._host

    def getTcpNoDelay(self) -> bool:  # noqa: N802 - ITCPTransport
        return bool(self.no_delay)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpKeepAlive(self) -> bool:  # noqa: N802 - ITCPTransport
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        raise NotImplementedError

    # IConsumer, IPushProducer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self._producer is None
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        if not self.lost and not self.closing:
            self.paused = False
            self._client.clock.callLater(0, self._client.deliver)

    def stopProducing(self) -> None:
        self.loseConnection()

    # For the client's end.

    def flush(self) -> None:
        """Moves what the client reads; ends what was to end after it."""
        if self.lost:
            return
        if self._client.reading:
            self._client.received += self.buffer
            self.buffer.clear()
        if self.buffer:
            return
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()
        elif self.closing and self._producer is None:
            self._client.ended = True
            self.lose(Failure(ConnectionDone()))
        elif self.half_closing:
            self._client.ended = True

    def lose(self, reason: Failure) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            if self._producer is not None:
                self._producer.stopProducing()
            self._client.channel.connectionLost(reason)


class MemoryConnection:
    """A client's end of a connection to a site.

    Attributes:
        received: all bytes that came.
        reading: whether the client reads; set it to False for one that does not, then call `read_on`.
        ended: whether the server has ended its side (FIN).
        aborted: whether it did so by a reset.
        unread: bytes sent that the server has not read yet.
    """

    def __init__(
        self,
        site: GatewaySite,
        clock: Clock,
        *,
        peer: IAddress = _PEER,
        host: IAddress = _SERVER,
        secure: bool = False,
    ) -> None:
        self.clock = clock
        self.received = bytearray()
        self.reading = True
        self.ended = False
        self.aborted = False
        self.unread = bytearray()
        self.transport = MemoryTransport(self, peer, host)
        if secure:
            alsoProvides(self.transport, ISSLTransport)
        self.channel = site.buildProtocol(peer)
        self.channel.makeConnection(self.transport)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self.transport.lost

    def send(self, data: bytes, *, pieces: Iterable[int] = ()) -> None:
        """Sends bytes and lets the clock turn.

        Args:
            data: what is sent.
            pieces: the lengths of the first reads at the other end; the rest arrives in one.
        """
        position = 0
        for length in pieces:
            self._arrive(data[position : position + length])
            position += length
        self._arrive(data[position:])
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        """Lets time pass, and what is due then happen; things take a few turns to follow from one another."""
        self.clock.advance(seconds)
        for _ in range(8):
            self.clock.advance(0)

    def leave(self) -> None:
        """Closes the connection from here."""
        self.transport.lose(Failure(ConnectionDone()))
        self.turn()

    def read_on(self) -> None:
        """Reads what waits, and from now on."""
        self.reading = True
        self.transport.flush()
        self.turn()

    def answers(self, *methods: str) -> list[Answer]:
        """What came, as responses; interim ones (1xx) included.

        Args:
            methods: of the requests, in their order, where one is not GET and it matters (HEAD).
        """
        rest, found = bytes(self.received), []
        expected = iter(methods)
        while rest:
            answer, rest = _read_answer(rest, self.ended, lambda: next(expected, "GET"))
            found.append(answer)
        return found

    def deliver(self) -> None:
        """Lets the server read what it has not read yet."""
        while self.unread and not self.transport.paused and not self.transport.lost and not self.transport.closing:
            data = bytes(self.unread[:65536])
            del self.unread[:65536]
            self.channel.dataReceived(data)

    def _arrive(self, data: bytes) -> None:
        self.unread += data
        self.deliver()


def _read_answer(data: bytes, ended: bool, method_of: Callable[[], str]) -> tuple[Answer, bytes]:
    head, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, f"an incomplete head: {data[:200]!r}"
    lines = head.split(b"\r\n")
    version, status, _ = lines[0].decode("latin-1").split(" ", 2)
    headers = Headers()
    for line in lines[1:]:
        name, _, value = line.partition(b": ")
        headers.addRawHeader(name, value)
    pieces: list[bytes] = []
    if status.startswith("1"):
        return Answer(version, int(status), headers, b"", True, ()), rest
    length = headers.getRawHeaders("content-length")
    if method_of() == "HEAD" or status in ("204", "304"):
        complete = True
    elif headers.hasHeader("transfer-encoding"):
        complete = False
        while rest:
            size, separator, after = rest.partition(b"\r\n")
            count = int(size, 16) if separator else -1
            if count < 0 or len(after) < count + 2:
                break
            rest = after[count + 2 :]
            if count == 0:
                complete = True
                break
            pieces.append(after[:count])
        if not complete:
            rest = b""
    elif length:
        count = int(length[0])
        complete = len(rest) >= count
        pieces, rest = [rest[:count]], rest[count:]
    else:
        complete = ended
        pieces, rest = [rest], b""
    return Answer(version, int(status), headers, b"".join(pieces), complete, tuple(pieces)), rest


# --- a real agent ----------------------------------------------------------------------------------------------------


def memory_agent(site: GatewaySite) -> RequestTraversalAgent:
    """A Twisted agent whose every request is a connection in memory to this site, whatever its URL says.

    After each asynchronous write of the site, call the agent's `flush()`.
    """
    from treq.testing import RequestTraversalAgent

    agent = RequestTraversalAgent(Resource())
    agent._serverFactory = site
    return agent


def memory_treq(site: GatewaySite) -> tuple[HTTPClient, Callable[[], None]]:
    """A treq client over `memory_agent`, and that agent's `flush`."""
    from treq.client import HTTPClient
    from treq.testing import _SynchronousProducer

    agent = memory_agent(site)
    return HTTPClient(agent=agent, data_to_body_producer=_SynchronousProducer), agent.flush
