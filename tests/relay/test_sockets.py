"""The client and the relay over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from typing import Protocol as Interface

import pytest
import pytest_twisted
from relay.certificates import certificate
from twisted.internet import reactor as _reactor
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from ollamamax.address import NodeAddress
from ollamamax.errors import NodeClosedEarly, NodeConnectFailed, NodeTimedOut
from ollamamax.relay.client import NodeClient, RequestHead
from ollamamax.relay.relay import Answer, Carriage, Relay, RelayReport, RelayTimeouts

reactor: Any = _reactor
Function = TypeVar("Function", bound=Callable[..., object])


class Decorator(Interface):
    """What pytest-twisted's decorators are."""

    def __call__(self, function: Function, /) -> Function: ...


asynchronous: Decorator = pytest_twisted.ensureDeferred
asynchronous_fixture: Decorator = pytest_twisted.async_yield_fixture
GET = RequestHead(b"GET", b"/", ())
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class NodeEnd(Protocol):
    """A node's end of a connection: answers each read with what the test says, and tells when it is over."""

    def __init__(self, node: NodeFactory) -> None:
        self.node = node
        self.over: Deferred[None] = Deferred()
        self.sent = 0
        self.paused = False

    @property
    def wire(self) -> Any:
        """The transport."""
        return self.transport

    def connectionMade(self) -> None:
        self.node.ends.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.node.answer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)

    def flood(self) -> None:
        """Sends chunks for as long as the transport takes them."""
        self.wire.write(STREAM)
        self.wire.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        while not self.paused and not self.over.called and self.sent < 200_000_000:
            self.wire.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            self.sent += 65536

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.paused = True


class NodeFactory(Factory):
    """A node."""

    noisy = False

    def __init__(self) -> None:
        self.ends: list[NodeEnd] = []
        self.answer: Callable[[NodeEnd], object] = lambda end: end.wire.write(OK)

    def buildProtocol(self, addr: object) -> NodeEnd:
        return NodeEnd(self)


class Awaited:
    """A receiver whose end can be awaited."""

    def __init__(self) -> None:
        self.body = b""
        self.first: Deferred[None] = Deferred()
        self.end: Deferred[BaseException | None] = Deferred()

    def response_started(self, head: object) -> None:
        """Not looked at."""

    def response_data(self, data: bytes) -> None:
        self.body += data
        if not self.first.called:
            self.first.callback(None)

    def response_finished(self) -> None:
        self.end.callback(None)

    def response_failed(self, failure: Failure) -> None:
        self.end.callback(failure.value)


async def turn() -> None:
    """Lets the reactor go round once."""
    await deferLater(reactor, 0)


@asynchronous_fixture
async def node() -> AsyncIterator[tuple[NodeFactory, int]]:
    """A listening node and its port."""
    factory = NodeFactory()
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    yield factory, listening.getHost().port
    for end in factory.ends:
        end.wire.abortConnection()
    for end in factory.ends:
        await end.over
    await listening.stopListening()


@asynchronous_fixture
async def client() -> AsyncIterator[NodeClient]:
    """A client of the real reactor."""
    made = NodeClient(reactor)
    yield made
    await made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@asynchronous
async def test_over_tcp(node: tuple[NodeFactory, int], client: NodeClient, host: str) -> None:
    """Two requests go over one connection, by address and by name."""
    factory, port = node
    for _ in range(2):
        receiver = Awaited()
        client.send(NodeAddress("http", host, port), GET, b"", receiver, connect_timeout=5)
        assert await receiver.end is None
        assert receiver.body == b"ok"
    assert len(factory.ends) == 1


@asynchronous
async def test_a_node_that_restarted(node: tuple[NodeFactory, int], client: NodeClient) -> None:
    """A kept connection that the node closed costs no request."""
    factory, port = node
    for _ in range(2):
        receiver = Awaited()
        client.send(NodeAddress("http", "127.0.0.1", port), GET, b"", receiver, connect_timeout=5)
        assert await receiver.end is None
        factory.ends[-1].wire.abortConnection()
    assert len(factory.ends) == 2


@asynchronous
async def test_refused(client: NodeClient) -> None:
    """Nobody listens."""
    port = reactor.listenTCP(0, NodeFactory(), interface="127.0.0.1")
    free = port.getHost().port
    await port.stopListening()
    receiver = Awaited()
    client.send(NodeAddress("http", "127.0.0.1", free), GET, b"", receiver, connect_timeout=5)
    assert isinstance(await receiver.end, NodeConnectFailed)


@asynchronous
async def test_a_name_that_does_not_resolve(client: NodeClient) -> None:
    """An unknown name is a failed connect (RFC 6761: `.invalid` never resolves), a slow resolver a late one."""
    receiver = Awaited()
    client.send(NodeAddress("http", "node.invalid", 1), GET, b"", receiver, connect_timeout=5)
    assert isinstance(await receiver.end, (NodeConnectFailed, NodeTimedOut))


@asynchronous
async def test_abort_reaches_the_node(node: tuple[NodeFactory, int], client: NodeClient) -> None:
    """The node sees its connection end when an exchange is aborted, before the answer and in the middle of it."""
    factory, port = node
    factory.answer = lambda end: end.wire.write(STREAM + b"1\r\na\r\n")
    receiver = Awaited()
    exchange = client.send(NodeAddress("http", "127.0.0.1", port), GET, b"", receiver, connect_timeout=5)
    await receiver.first
    began = reactor.seconds()
    exchange.abort()
    await factory.ends[-1].over
    assert reactor.seconds() - began < 0.1
    arrived: Deferred[None] = Deferred()
    factory.answer = lambda end: arrived.callback(None)
    exchange = client.send(NodeAddress("http", "127.0.0.1", port), GET, b"", receiver, connect_timeout=5)
    await arrived
    exchange.abort()
    await factory.ends[-1].over
    assert not receiver.end.called


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")  # Twisted's own, of certificates that it makes options of
@pytest.mark.parametrize("trusted", [True, False])
@asynchronous
async def test_over_tls(trusted: bool) -> None:
    """A node is reached over TLS; one whose certificate nobody vouches for is sent nothing."""
    pair = certificate()
    factory = NodeFactory()
    port = reactor.listenSSL(0, factory, pair.options(), interface="127.0.0.1")
    address = NodeAddress("https", "127.0.0.1", port.getHost().port)
    trust = ssl.trustRootFromCertificates([ssl.Certificate(pair.original)])

    def endpoint_for(node: NodeAddress) -> Any:
        options = ssl.optionsForClientTLS(node.host, trustRoot=trust)
        return wrapClientTLS(options, TCP4ClientEndpoint(reactor, node.host, node.port))

    client = NodeClient(reactor, endpoint_for=endpoint_for if trusted else None)
    for _ in range(2):
        receiver = Awaited()
        client.send(address, GET, b"", receiver, connect_timeout=5)
        error = await receiver.end
        if trusted:
            assert error is None
            assert receiver.body == b"ok"
        else:
            assert isinstance(error, NodeConnectFailed)
            assert "TLS" in error.detail
    await client.close()
    for end in factory.ends:
        await end.over
    assert len(factory.ends) == (1 if trusted else 2)
    await port.stopListening()


@asynchronous
async def test_tls_with_a_node_that_speaks_plainly(node: tuple[NodeFactory, int], client: NodeClient) -> None:
    """A node that is no TLS server is a failed connect, at once or when the time is up."""
    receiver = Awaited()
    client.send(NodeAddress("https", "127.0.0.1", node[1]), GET, b"", receiver, connect_timeout=5)
    assert isinstance(await receiver.end, NodeConnectFailed)


@asynchronous
async def test_tls_handshake_without_end(node: tuple[NodeFactory, int], client: NodeClient) -> None:
    """A node that never answers the handshake is given up in time; giving it up earlier closes it too."""
    factory, port = node
    factory.answer = lambda end: None
    address = NodeAddress("https", "127.0.0.1", port)
    receiver = Awaited()
    client.send(address, GET, b"", receiver, connect_timeout=0.05)
    assert isinstance(await receiver.end, NodeTimedOut)
    await factory.ends[-1].over
    arrived: Deferred[None] = Deferred()
    factory.answer = lambda end: arrived.callback(None)
    exchange = client.send(address, GET, b"", Awaited(), connect_timeout=5)
    await arrived
    exchange.abort()
    await factory.ends[-1].over


class Gateway(Resource):
    """Carries whatever it is asked to one node."""

    isLeaf = True

    def __init__(self, relay: Relay, port: int) -> None:
        super().__init__()
        self._relay = relay
        self._address = NodeAddress("http", "127.0.0.1", port)
        self.reports: list[RelayReport] = []
        self.errors: list[Failure] = []

    def render(self, request: Request) -> int:
        carriage = Carriage(self._address, GET, b"", Answer.CHAT, True, RelayTimeouts(5.0, idle=60.0))
        carried = self._relay.carry(request, carriage)
        request.notifyFinish().addErrback(lambda _: carried.cancel())
        carried.addCallbacks(self.reports.append, self.errors.append)
        return NOT_DONE_YET


class Browser(Protocol):
    """A client that may stop reading."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.some: Deferred[None] = Deferred()
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if not self.some.called:
            self.some.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)


@asynchronous_fixture
async def gateway(node: tuple[NodeFactory, int], client: NodeClient) -> AsyncIterator[tuple[Gateway, Browser, int]]:
    """A site that carries to the node, and a client connected to it."""
    resource = Gateway(Relay(client, reactor), node[1])
    port = reactor.listenTCP(0, Site(resource, reactor=reactor), interface="127.0.0.1")
    browser = Browser()
    yield resource, browser, port.getHost().port
    transport: Any = browser.transport
    if transport is not None and not browser.over.called:
        transport.abortConnection()
        await browser.over
    await port.stopListening()


async def connected(browser: Browser, port: int) -> Any:
    """The client's transport."""
    factory = Factory.forProtocol(lambda: browser)
    factory.noisy = False
    await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
    return browser.transport


@asynchronous
async def test_a_client_that_stalls_before_a_flood(node: tuple[NodeFactory, int], gateway: Any) -> None:
    """A node that would send 200 MB is held by a client that does not read: little more than the kernel's buffers."""
    factory, _ = node
    resource, browser, port = gateway
    factory.answer = NodeEnd.flood
    transport = await connected(browser, port)
    await browser.some
    transport.pauseProducing()
    end = factory.ends[-1]
    seen, quiet = -1, 0
    while quiet < 20:
        await deferLater(reactor, 0.005)
        quiet = quiet + 1 if end.sent == seen else 0
        seen = end.sent
    assert end.paused
    assert end.sent < 50_000_000
    transport.abortConnection()
    await browser.over
    await end.over
    assert [report.outcome for report in resource.reports] == ["client_disconnected"]


@asynchronous
async def test_a_stream_that_breaks_off(node: tuple[NodeFactory, int], gateway: Any) -> None:
    """A client sees an error line, then the end of the connection, and no terminating chunk."""
    factory, _ = node
    resource, browser, port = gateway

    def answer(end: NodeEnd) -> None:
        end.wire.write(STREAM + b'1e\r\n{"response":"a","done":false}\n\r\n')
        end.wire.loseConnection()

    factory.answer = answer
    await connected(browser, port)
    await browser.over
    assert b'"a","done":false}\n' in browser.received
    assert browser.received.endswith(b'{"error":"the node ended the response before it was complete"}\n\r\n')
    await turn()
    assert [report.outcome for report in resource.reports] == ["incomplete"]


@asynchronous
async def test_a_node_that_closes_without_a_word(node: tuple[NodeFactory, int], gateway: Any) -> None:
    """Nothing reaches the client when nothing came: the caller has the failure."""
    factory, _ = node
    resource, browser, port = gateway
    factory.answer = lambda end: end.wire.loseConnection()
    await connected(browser, port)
    while not resource.errors:
        await turn()
    assert resource.errors[0].check(NodeClosedEarly)
    assert browser.received == b""
