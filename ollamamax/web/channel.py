"""One connection to a client: HTTP/1.1 in, `GatewayRequest`s out, one at a time.

The channel is where limits meet the time: `parsing` says what the bytes are, `reception` what becomes of
them, `deadlines` how long they may take, `wire` and `closing` how answers leave and connections end. Its states are
few:

- nothing is being received and nothing served: idle, closed without a word after `keep_alive_seconds`;
- a head arrives: complete within `head_timeout_seconds` of its first byte, or 408;
- a body arrives, at no less than the least rate, or 408; a streamed one arrives while its request is served;
- a request is served: further bytes are read, so that the client's leaving is seen, but not parsed, and from
  `READ_AHEAD_BYTES` on not read either;
- closing: what still arrives is dropped.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProducer, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.errors import RequestTimedOut
from ollamamax.web.closing import Closing
from ollamamax.web.deadlines import Deadline
from ollamamax.web.heads import Head
from ollamamax.web.parsing import Phase, RequestParser
from ollamamax.web.reception import Reception
from ollamamax.web.wire import Outflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.web.http_headers import Headers

    from ollamamax.web.request import GatewayRequest
    from ollamamax.web.site import GatewaySite
    from ollamamax.web.wire import Wire


class _Wait(Enum):
    """What the connection's deadline is for."""

    NEXT_REQUEST = auto()
    HEAD = auto()
    BODY = auto()
    NOTHING = auto()


@implementer(IPushProducer)
class GatewayChannel(Protocol):
    """The server's side of one connection.

    It is its transport's producer, so that a client that does not read its answers is not read either.

    Attributes:
        site: where it belongs.
    """

    READ_AHEAD_BYTES = 16384

    def __init__(self, site: GatewaySite) -> None:
        self.site = self.factory = site
        limits = site.limits
        self._deadline = Deadline(site.reactor, self._expired)
        self._reception = reception = Reception(site, self)
        self._parser = RequestParser(reception, max_head_bytes=limits.max_head_bytes, max_headers=limits.max_headers)
        self._serving: GatewayRequest | None = None
        self._ahead = b""
        self._count = 0
        self._wait = (_Wait.NOTHING, 0)
        self._persistent = not site.draining
        self._reading = True
        self._pumping = False
        self._closing: Closing | None = None
        self._lost = False

    # The transport's side.

    def connectionMade(self) -> None:
        """Begins to wait for a request."""
        self._wire = cast("Wire", self.transport)
        self._outflow = Outflow(self._wire, self.site.reactor)
        self._wire.registerProducer(self, True)
        if ITCPTransport.providedBy(self.transport) and isinstance(self._wire.getHost(), IPv4Address | IPv6Address):
            self._wire.setTcpNoDelay(True)
        self.site.connections.add(self)
        self._settle()

    def dataReceived(self, data: bytes) -> None:
        """Takes bytes from the client."""
        if self._closing is not None:
            self._closing.dropped(len(data))
            return
        self._ahead = self._ahead + data if self._ahead else data
        self._pump()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Ends whatever was going on: the client has left, or the connection was closed from here."""
        reason = reason if reason is not None else Failure(ConnectionError("connection lost"))
        self._lost = True
        self._deadline.stop()
        self._outflow.stop()
        self._parser.stop()
        self._ahead = b""
        # First who serves the request, then who takes its body: to the latter the loss must not look like a failure.
        self._lose_served(reason)
        self._reception.lost(reason)
        # One that was still arriving has been served by now, unless it waits for something.
        self._lose_served(reason)
        self.site.connection_gone(self)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._outflow.buffer_filled()
        self._settle()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self._outflow.buffer_drained()
        self._pump()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""
        self._outflow.stop()

    # What the reception asks for.

    def new_request(self, head: Head) -> GatewayRequest:
        """The request that begins with this head."""
        self._persistent = self._persistent and head.keep_alive
        request = self.site.requestFactory(self)
        request.begin(head, self.site.reactor.seconds())
        return request

    def serve(self, request: GatewayRequest) -> None:
        """Renders a request; the connection serves one at a time."""
        self._serving = request
        request.process()

    def take_no_more(self) -> None:
        """Drops whatever else arrives; the connection closes after the response that is due."""
        self._parser.stop()
        self._persistent = False

    def send_continue(self) -> None:
        """Tells the client that its body is welcome."""
        self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def flow_changed(self) -> None:
        """Whether the connection should be read may have changed."""
        self._settle()

    # What a request asks for.

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Takes a response head, which leaves with the first bytes of its body."""
        self._outflow.hold_head(version, code, reason, headers)

    def flush_head(self) -> None:
        """Lets a head go that has no body yet."""
        self._outflow.flush_head()

    def write(self, data: bytes) -> None:
        """Writes a piece of the response."""
        self._outflow.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Writes several pieces of the response at once."""
        self._outflow.write_sequence(iovec)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Lets the client's reading govern the producer of a response."""
        self._outflow.register(producer, streaming)

    def unregisterProducer(self) -> None:
        """Ends what `registerProducer` began."""
        self._outflow.unregister()

    def closes_after(self, connection: Sequence[bytes]) -> bool:
        """Whether the connection closes after this response; once it is announced, it does.

        Args:
            connection: the values of the response's Connection field.
        """
        if self._reception.request is not None or self.site.draining or b"close" in connection:
            self._persistent = False
        return not self._persistent

    def requestDone(self, request: GatewayRequest) -> None:
        """The response has been written; `proceed` follows when everybody has been told."""
        self._serving = None
        request.forget_body()
        complete = self._reception.give_up(request)
        if complete and self._persistent and not self.site.draining:
            self._parser.next()
            self._count += 1
        else:
            self._close(unread=not complete)

    def proceed(self) -> None:
        """Goes on with what arrived meanwhile."""
        self._pump()

    def loseConnection(self) -> None:
        """Closes the connection when what was written has left."""
        self._close(unread=self._reception.request is not None)

    def abortConnection(self) -> None:
        """Closes the connection at once, whatever is on its way."""
        self._wire.abortConnection()

    def getPeer(self) -> IAddress:
        """The client's address."""
        return self._wire.getPeer()

    def getHost(self) -> IAddress:
        """The address that the client connected to."""
        return self._wire.getHost()

    def isSecure(self) -> bool:
        """Whether this connection is TLS."""
        return bool(ISSLTransport.providedBy(self._wire))

    # What the site asks for.

    def drain(self) -> None:
        """Closes the connection as soon as nothing is being received or served."""
        self._persistent = False
        if self._serving is None and self._parser.phase is Phase.START:
            self._close(unread=False)

    # How it goes on.

    def _pump(self) -> None:
        """Parses what has arrived, as far as it may be served now; a loop, however many requests are answered in it."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._ahead and self._may_parse():
                data, self._ahead = self._ahead, b""
                self._ahead = data[self._parser.feed(data) :]
        finally:
            self._pumping = False
        self._settle()

    def _may_parse(self) -> bool:
        if self._closing is not None or self._lost or self._parser.phase is Phase.STOPPED:
            self._ahead = b""
            return False
        if self._parser.phase is Phase.START:
            return not self._outflow.full
        return self._parser.phase is not Phase.ENDED

    def _settle(self) -> None:
        """Makes reading and the deadline what the state asks for."""
        if self._pumping or self._closing is not None or self._lost:
            return
        flooded = len(self._ahead) >= self.READ_AHEAD_BYTES or self._reception.full
        reading = not flooded and not (self._outflow.full and self._serving is None)
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._wire.resumeProducing()
            else:
                self._wire.pauseProducing()
        if not reading:
            self._reception.pace.excuse()
        wait = (self._current_wait(), self._count)
        if wait != self._wait:
            self._wait = wait
            self._set_deadline(wait[0])

    def _current_wait(self) -> _Wait:
        if self._reception.request is not None:
            return _Wait.BODY
        if self._serving is not None:
            return _Wait.NOTHING
        return _Wait.NEXT_REQUEST if self._parser.phase is Phase.START else _Wait.HEAD

    def _set_deadline(self, wait: _Wait) -> None:
        if wait is _Wait.NEXT_REQUEST:
            self._deadline.set(self.site.limits.keep_alive_seconds)
        elif wait is _Wait.HEAD:
            self._deadline.set(self.site.limits.head_timeout_seconds)
        elif wait is _Wait.BODY:
            self._deadline.set(self._reception.pace.window_seconds)
        else:
            self._deadline.clear()

    def _lose_served(self, reason: Failure) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.connectionLost(reason)

    def _expired(self) -> None:
        if self._closing is not None:
            self._closing.expired()
        elif self._wait[0] is _Wait.NEXT_REQUEST:
            self._close(unread=bool(self._ahead))
        elif self._wait[0] is _Wait.HEAD:
            self._parser.stop()
            self._reception.message_broken(RequestTimedOut())
        elif self._wait[0] is _Wait.BODY and (not self._reading or self._reception.pace.kept()):
            self._deadline.set(self._reception.pace.window_seconds)
        elif self._wait[0] is _Wait.BODY:
            self._reception.refuse(RequestTimedOut())
        self._settle()

    def _close(self, *, unread: bool) -> None:
        if self._closing is not None or self._lost:
            return
        unread = unread or bool(self._ahead) or not self._reading or self._parser.phase is Phase.STOPPED
        self._parser.stop()
        self._ahead = b""
        self._outflow.flush_head()
        self._closing = Closing(self._wire, self._deadline, self.site.limits.keep_alive_seconds)
        self._closing.begin(unread=unread)
