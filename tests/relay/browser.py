"""A client of a real twisted.web site, over a transport in memory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site


class GatewayLikeRequest(Request):
    """A request that can be broken off, as the gateway's own channel makes them."""

    broken_off = False

    def break_off(self) -> Deferred[None]:
        self.broken_off = True
        gone: Deferred[None] = Deferred()
        self.notifyFinish().addBoth(lambda _: gone.callback(None))
        self.loseConnection()
        return gone


class _Waiting(Resource):
    isLeaf = True

    def __init__(self, requests: list[Request]) -> None:
        super().__init__()
        self._requests = requests

    def render(self, request: Request) -> int:
        self._requests.append(request)
        return NOT_DONE_YET


class ClientSide:
    """A client's connection to a real twisted.web site, and the request on it."""

    def __init__(self, *, breakable: bool = True) -> None:
        requests: list[Request] = []
        site = Site(_Waiting(requests), timeout=None, reactor=Clock())
        if breakable:
            site.requestFactory = GatewayLikeRequest
        self.transport = StringTransport(lenient=True)
        address: IAddress = IPv4Address("TCP", "127.0.0.1", 5)
        self._channel = site.buildProtocol(address)
        self._channel.makeConnection(self.transport)
        self._requests = requests

    def send(self, text: bytes = b"POST /api/chat HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n") -> Request:
        """Sends a request; gives what the site made of it."""
        self._channel.dataReceived(text)
        return self._requests[-1]

    @property
    def received(self) -> bytes:
        """Everything that the client was sent."""
        return bytes(self.transport.value())

    @property
    def head(self) -> bytes:
        """The response's head."""
        return self.received.partition(b"\r\n\r\n")[0]

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of a chunked body, an empty one for the end."""
        rest = self.received.partition(b"\r\n\r\n")[2]
        found: list[bytes] = []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            found.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return found

    @property
    def closing(self) -> bool:
        """Whether the gateway ends the connection."""
        return bool(self.transport.disconnecting)

    def stall(self) -> None:
        """Stops reading: the transport's buffer is full."""
        producer = self.transport.producer
        assert producer is not None
        producer.pauseProducing()

    def read_on(self) -> None:
        """Reads again."""
        producer = self.transport.producer
        assert producer is not None
        producer.resumeProducing()

    def gone(self) -> None:
        """The connection ends."""
        self._channel.connectionLost(Failure(ConnectionDone("gone")))
