"""The door over real sockets: TCP, TLS and UNIX, and clients that are slow, gone or deaf."""

from __future__ import annotations

import datetime
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from web.memory_site import HOST, FunctionResource, make_site, waiting
from zope.interface import implementer

from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest, GatewaySite

GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"

asynchronous: Callable[[Callable[..., Any]], Callable[..., Any]] = pytest_twisted.ensureDeferred


class Client(Protocol):
    """A client that keeps what it reads, and can be waited for."""

    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        self.reason: type[BaseException] | None = None
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        self._gone: list[Deferred[type[BaseException]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._waiting, waiting = [], self._waiting
        for wanted, heard in waiting:
            if wanted in self.data:
                heard.callback(None)
            else:
                self._waiting.append((wanted, heard))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        kind: type[BaseException] = type(reason.value)  # type: ignore[assignment]  # a reason is never empty
        self.reason = kind
        for gone in self._gone:
            gone.callback(kind)
        for _, heard in self._waiting:
            heard.errback(reason)

    def heard(self, wanted: bytes) -> Deferred[None]:
        """Fires when these bytes are among those that came."""
        heard: Deferred[None] = Deferred()
        self._waiting.append((wanted, heard))
        self.dataReceived(b"")
        return heard

    def gone(self) -> Deferred[type[BaseException]]:
        """Fires with the reason when the connection is gone."""
        gone: Deferred[type[BaseException]] = Deferred()
        if self.reason is not None:
            gone.callback(self.reason)
        else:
            self._gone.append(gone)
        return gone


@asynccontextmanager
async def serving(site: GatewaySite, description: str = "tcp:0:interface=127.0.0.1") -> AsyncIterator[Any]:
    """Listens with a site, and closes it and its connections in the end."""
    from twisted.internet import reactor

    port: Any = await serverFromString(reactor, description).listen(site)
    try:
        yield port
    finally:
        await port.stopListening()
        for channel in list(site.connections):
            channel.abortConnection()
        await site.drain()


async def connect(port: Any) -> Client:
    """A client of a listening TCP port."""
    from twisted.internet import reactor

    endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
    client: Any = await endpoint.connect(Factory.forProtocol(Client))
    return client  # type: ignore[no-any-return]


def make(render: Any, **arguments: Any) -> tuple[GatewaySite, list[GatewayRequest]]:
    """A site on the reactor's time, and the requests that reach its resource."""
    from twisted.internet import reactor

    resource = FunctionResource(render)
    return make_site(resource, reactor, **arguments), resource.requests


@asynchronous
async def test_keep_alive() -> None:
    """Requests follow one another on a connection, whose small answers are not delayed."""
    site, requests = make(lambda request: b"answer to " + request.body())
    async with serving(site) as port:
        client = await connect(port)
        for number in (b"one", b"two", b"three"):
            client.transport.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(number))
            client.transport.write(number)
            await client.heard(b"answer to " + number)
        (channel,) = site.connections
        transport: Any = channel.transport
        assert transport.getTcpNoDelay()
        assert len(requests) == 3


@implementer(IPushProducer)
class Flood:
    """Writes a long response as fast as the client reads it."""

    SIZE = 32 * 1024 * 1024
    PIECE = b"x" * 65536

    def __init__(self, request: GatewayRequest) -> None:
        self.request = request
        self.written = 0
        self.paused = Deferred[None]()
        self._flowing = True

    def resumeProducing(self) -> None:
        self._flowing = True
        while self._flowing and self.written < self.SIZE:
            self.request.write(self.PIECE)
            self.written += len(self.PIECE)
        if self.written == self.SIZE:
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self) -> None:
        self._flowing = False
        if not self.paused.called:
            self.paused.callback(None)

    def stopProducing(self) -> None:
        self._flowing = False


@asynchronous
async def test_slow_reader() -> None:
    """A client that does not read stops the producer of its response; it gets every byte when it does."""
    floods: list[Flood] = []

    def render(request: GatewayRequest) -> int:
        request.setHeader(b"Content-Length", b"%d" % Flood.SIZE)
        floods.append(Flood(request))
        request.registerProducer(floods[0], True)
        floods[0].resumeProducing()
        return NOT_DONE_YET

    site, _ = make(render)
    async with serving(site) as port:
        client = await connect(port)
        client.transport.pauseProducing()
        client.transport.write(GET)
        while not floods:
            await _turn()
        await floods[0].paused
        before = -1
        while floods[0].written != before:
            before = floods[0].written
            await _turn(0.05)
        assert before < Flood.SIZE / 2, "what the kernel buffers is all that may be written"
        client.transport.resumeProducing()
        while len(client.data) < Flood.SIZE:
            await _turn(0.01)
        assert client.data.endswith(Flood.PIECE)


@asynchronous
async def test_pull_producers() -> None:
    """A pull producer, as Twisted's files are, is asked until it has given everything."""

    @implementer(IPullProducer)
    class Producer:
        left = 100

        def __init__(self, request: GatewayRequest) -> None:
            self.request = request

        def resumeProducing(self) -> None:
            self.left -= 1
            self.request.write(b"x" * 10000)
            if not self.left:
                self.request.unregisterProducer()
                self.request.finish()

        def stopProducing(self) -> None: ...

    def render(request: GatewayRequest) -> int:
        request.registerProducer(Producer(request), False)
        return NOT_DONE_YET

    site, _ = make(render)
    async with serving(site) as port:
        client = await connect(port)
        client.transport.write(GET)
        await client.heard(b"\r\n0\r\n\r\n")
        assert client.data.count(b"x" * 10000) == 100


@asynchronous
async def test_client_gone_midway() -> None:
    """A client that goes while its response is written is noticed at once, by a reset as well."""
    site, requests = make(waiting)
    async with serving(site) as port:
        for end in ("loseConnection", "abortConnection"):
            client = await connect(port)
            client.transport.write(GET)
            while not requests:
                await _turn()
            request = requests.pop()
            request.write(b"begun")
            await client.heard(b"begun")
            gone = request.notifyFinish()
            getattr(client.transport, end)()
            with pytest.raises(Exception, match="onnection"):
                await gone


@asynchronous
async def test_answer_outlives_the_body() -> None:
    """A client that sends all of a refused body before it reads gets the answer, and no reset."""
    site, requests = make(waiting, policy=BodyPolicy(max_bytes=1000))
    async with serving(site) as port:
        client = await connect(port)
        client.transport.pauseProducing()
        size = 8 * 1024 * 1024
        client.transport.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        while client.transport.dataBuffer or client.transport._tempDataBuffer:
            await _turn(0.01)
        client.transport.resumeProducing()
        assert await client.gone() is ConnectionDone
        assert client.data.startswith(b"HTTP/1.1 413 ")
        assert client.data.endswith(b"body_too_large")
        assert len(requests) == 1


@asynchronous
async def test_break_off() -> None:
    """A response that is broken off ends by FIN, without the terminating chunk, after all that was written."""
    site, requests = make(waiting)
    async with serving(site) as port:
        client = await connect(port)
        client.transport.write(GET)
        while not requests:
            await _turn()
        requests[0].write(b"y" * 1000000)
        requests[0].write(b"last words")
        gone = requests[0].break_off()
        assert gone is not None
        await gone
        assert await client.gone() is ConnectionDone
        assert client.data.endswith(b"last words\r\n")


@asynchronous
async def test_drain() -> None:
    """Draining waits until every byte has left and every connection is gone."""
    site, requests = make(waiting)
    async with serving(site) as port:
        idle, busy = await connect(port), await connect(port)
        busy.transport.write(GET)
        while not requests or len(site.connections) < 2:
            await _turn()
        drained = site.drain()
        assert await idle.gone() is ConnectionDone
        requests[0].write(b"z" * 1000000)
        requests[0].finish()
        await drained
        assert await busy.gone() is ConnectionDone
        assert busy.data.endswith(b"\r\n0\r\n\r\n")
        assert b"Connection: close" in busy.data


@asynchronous
async def test_unix_sockets(tmp_path: Path) -> None:
    """A site serves a UNIX socket as well, lingering included."""
    from twisted.internet import reactor

    site, _ = make(lambda request: b"ip [%b]" % request.client_ip.encode(), policy=BodyPolicy(max_bytes=10))
    path = tmp_path / "door"
    async with serving(site, f"unix:{path}"):
        endpoint = clientFromString(reactor, f"unix:{path}")
        client: Any = await endpoint.connect(Factory.forProtocol(Client))
        client.transport.write(GET)
        await client.heard(b"ip []")
        client.transport.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n" + b"x" * 100)
        await client.heard(b"body_too_large")
        assert await client.gone() is ConnectionDone


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # what Twisted's endpoints still do
@asynchronous
async def test_tls(tmp_path: Path) -> None:
    """A site serves TLS as well: it knows so, answers refused bodies, and ends responses that are broken off."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
    from twisted.internet.ssl import optionsForClientTLS

    certificate = _certificate(tmp_path / "door.pem")

    def render(request: GatewayRequest) -> bytes | int:
        if request.path == b"/broken":
            request.write(b"begun")
            request.break_off()
            return NOT_DONE_YET
        return b"secure" if request.isSecure() else b"plain"

    site, _ = make(render, policy=BodyPolicy(max_bytes=10))
    pem = tmp_path / "door.pem"
    async with serving(site, f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1") as port:
        options = optionsForClientTLS("localhost", trustRoot=trustRootFromCertificates([certificate]))
        tcp = HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port)
        clients: list[Any] = [await wrapClientTLS(options, tcp).connect(Factory.forProtocol(Client)) for _ in range(2)]
        clients[0].transport.write(GET)
        await clients[0].heard(b"secure")
        clients[0].transport.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n" + b"x" * 9999)
        await clients[0].heard(b"body_too_large")
        await clients[0].gone()
        clients[1].transport.write(GET.replace(b"/a", b"/broken"))
        await clients[1].gone()
        assert clients[1].data.endswith(b"5\r\nbegun\r\n")


def _certificate(path: Path) -> Any:
    """Makes a certificate for localhost and writes it with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from twisted.internet.ssl import Certificate

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoded = certificate.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(
        encoded
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate.loadPEM(encoded)


@asynchronous
async def test_half_closed_clients() -> None:
    """A client that closes its sending side has gone, as for Go's server: its request is cancelled."""
    site, requests = make(waiting)
    async with serving(site) as port:
        client = await connect(port)
        client.transport.write(GET)
        while not requests:
            await _turn()
        gone = requests[0].notifyFinish()
        client.transport.getHandle().shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionDone):
            await gone


def _turn(seconds: float = 0.0) -> Deferred[None]:
    """Lets the reactor turn."""
    from twisted.internet import reactor

    return deferLater(reactor, seconds)
