"""A node and a client without sockets: endpoints whose connects a test answers, transports that it looks into."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import attrs
import pytest
from relay.browser import ClientSide
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from ollamamax.address import NodeAddress
from ollamamax.relay.client import BodyReceiver, NodeClient, RequestHead, ResponseHead
from ollamamax.relay.relay import Answer, Carriage, Relay, RelayReport, RelayTimeouts

ADDRESS = NodeAddress("http", "127.0.0.1", 11434)
RECORDINGS = Path(__file__).parent.parent / "recordings"


class NodeWire(StringTransport):
    """The gateway's end of a connection to a node, as the node sees it."""

    def __init__(self, peer: str) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", peer, 11434), lenient=True)
        self.aborted = False
        self.protocol: IProtocol | None = None
        self.high_water: int | None = None
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)
        if self.high_water is not None and self.producer is not None and len(self.value()) > self.high_water:
            self.producer.pauseProducing()

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    @property
    def paused(self) -> bool:
        """Whether nothing is read from the node."""
        return bool(self.producerState == "paused")

    @property
    def closed(self) -> bool:
        """Whether the gateway closed the connection."""
        return bool(self.disconnecting)

    def deliver(self, data: bytes) -> None:
        """The node sends bytes, in one piece."""
        assert self.protocol is not None
        self.protocol.dataReceived(data)

    def lose(self, *, reset: bool = False) -> None:
        """The connection ends, by FIN or RST."""
        assert self.protocol is not None
        if self.producer is not None:
            self.producer.stopProducing()
        self.protocol.connectionLost(Failure(ConnectionLost("reset") if reset else ConnectionDone("closed")))


@attrs.define(eq=False)
class Attempt:
    """A connect that waits for its answer."""

    factory: IProtocolFactory
    result: Deferred[IProtocol]
    cancelled: bool = False


@implementer(IStreamClientEndpoint)
class Nodes:
    """An endpoint for every address: accepts at once, or leaves the answer to the test."""

    def __init__(self) -> None:
        self.accepting = True
        self.high_water: int | None = None
        self.peer = "127.0.0.1"
        self.wires: list[NodeWire] = []
        self.attempts: list[Attempt] = []

    def endpoint_for(self, address: NodeAddress) -> IStreamClientEndpoint:
        """Itself."""
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.accepting:
            return succeed(self._connected(protocolFactory))
        attempt = Attempt(protocolFactory, Deferred(lambda _: setattr(attempt, "cancelled", True)))
        self.attempts.append(attempt)
        return attempt.result

    def accept(self) -> NodeWire:
        """Answers the last attempt well."""
        attempt = self.attempts[-1]
        attempt.result.callback(self._connected(attempt.factory))
        return self.wires[-1]

    def refuse(self) -> None:
        """Refuses the last attempt."""
        self.attempts[-1].result.errback(Failure(ConnectionRefusedError("no")))

    def _connected(self, factory: IProtocolFactory) -> IProtocol:
        wire = NodeWire(self.peer)
        wire.high_water = self.high_water
        protocol = factory.buildProtocol(wire.getPeer())
        assert protocol is not None
        wire.protocol = protocol
        self.wires.append(wire)
        protocol.makeConnection(wire)
        return protocol


class Listener:
    """A response receiver that notes what it hears."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.pieces: list[bytes] = []
        self.finished = 0
        self.failures: list[BaseException] = []
        self.on_data: Callable[[], object] = lambda: None

    @property
    def body(self) -> bytes:
        """All pieces."""
        return b"".join(self.pieces)

    def response_started(self, head: ResponseHead) -> None:
        self.head = head

    def response_data(self, data: bytes) -> None:
        self.pieces.append(data)
        self.on_data()

    def response_finished(self) -> None:
        self.finished += 1

    def response_failed(self, failure: Failure) -> None:
        assert failure.value is not None
        self.failures.append(failure.value)


class ArrivingBody:
    """A streamed body that the test feeds."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.paused = False
        self.abandoned = 0
        self.receiver: BodyReceiver | None = None

    def deliver_to(self, receiver: BodyReceiver) -> None:
        assert self.receiver is None
        self.receiver = receiver

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abandon(self) -> None:
        self.abandoned += 1


@attrs.define(eq=False)
class Setting:
    """A relay between a client and a node in memory, on a fake clock."""

    clock: Clock
    nodes: Nodes
    client: NodeClient
    relay: Relay
    browser: ClientSide
    request: Request | None = None
    reports: list[RelayReport] = attrs.field(factory=list)
    errors: list[BaseException] = attrs.field(factory=list)
    carried: Deferred[RelayReport] | None = None

    def carry(
        self,
        *,
        answer: Answer = Answer.CHAT,
        streaming: bool = True,
        timeouts: RelayTimeouts | None = None,
        head: RequestHead | None = None,
        body: bytes | ArrivingBody = b'{"model":"tiny"}',
        extra: tuple[tuple[bytes, bytes], ...] = (),
        request: bytes | None = None,
        before_end: Callable[[], Awaitable[object]] | None = None,
        usage_added: bool = False,
        may_move: Callable[[], bool] | None = None,
    ) -> None:
        """Carries one request to the node."""
        self.request = self.browser.send() if request is None else self.browser.send(request)
        carriage = Carriage(
            address=ADDRESS,
            head=RequestHead(b"POST", b"/api/chat", ()) if head is None else head,
            body=body,
            answer=answer,
            streaming=streaming,
            timeouts=RelayTimeouts(connect=2.0) if timeouts is None else timeouts,
            extra_headers=extra,
            before_end=before_end,
            usage_added=usage_added,
            may_move=may_move,
        )
        self.carried = self.relay.carry(self.request, carriage)
        self.carried.addCallbacks(self.reports.append, lambda failure: self.errors.append(failure.value))

    @property
    def wire(self) -> NodeWire:
        """The last connection to the node."""
        return self.nodes.wires[-1]

    @property
    def report(self) -> RelayReport:
        """The only report."""
        assert len(self.reports) == 1
        assert not self.errors
        return self.reports[0]

    @property
    def error(self) -> BaseException:
        """The only error."""
        assert len(self.errors) == 1
        assert not self.reports
        return self.errors[0]

    @property
    def ticking(self) -> list[str]:
        """What waits for the clock, but for the timer of the idle connections."""
        return [text for text in map(str, self.clock.getDelayedCalls()) if "IdlePool" not in text]

    def cancel(self) -> None:
        """Says that the client has gone."""
        assert self.carried is not None
        self.carried.cancel()


@pytest.fixture
def address() -> NodeAddress:
    """The node's address."""
    return ADDRESS


@pytest.fixture
def listener() -> Listener:
    """A receiver that notes."""
    return Listener()


@pytest.fixture
def make_listener() -> Callable[[], Listener]:
    """More receivers."""
    return Listener


@pytest.fixture
def arriving_body() -> Callable[[int | None], ArrivingBody]:
    """Makes streamed bodies."""
    return ArrivingBody


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until told."""
    return Clock()


@pytest.fixture
def nodes() -> Nodes:
    """Nodes in memory."""
    return Nodes()


@pytest.fixture
def client(clock: Clock, nodes: Nodes) -> Iterator[NodeClient]:
    """A client of these nodes; at the end nothing may be left of it."""
    made = NodeClient(clock, endpoint_for=nodes.endpoint_for, max_idle_per_node=2, idle_seconds=60.0)
    yield made
    made.close()
    assert not made.exchanges
    assert not clock.getDelayedCalls()


@pytest.fixture
def setting(clock: Clock, nodes: Nodes, client: NodeClient) -> Setting:
    """A relay in memory; its client's requests can be broken off."""
    return Setting(clock, nodes, client, Relay(client, clock), ClientSide())


@pytest.fixture
def stock_setting(clock: Clock, nodes: Nodes, client: NodeClient) -> Setting:
    """The same with requests of twisted.web as they are."""
    return Setting(clock, nodes, client, Relay(client, clock), ClientSide(breakable=False))


@attrs.frozen
class Recorded:
    """An exchange with a real Ollama."""

    version: str
    name: str
    request: bytes
    reads: tuple[bytes, ...]

    @property
    def raw(self) -> bytes:
        """The response as it was on the wire."""
        return b"".join(self.reads)


@pytest.fixture(scope="session")
def recorded() -> dict[tuple[str, str], Recorded]:
    """The recorded exchanges by version (`0.24`, `0.33`) and name."""
    found: dict[tuple[str, str], Recorded] = {}
    for version in ("0.24", "0.33"):
        for line in (RECORDINGS / f"ollama-{version}.jsonl").read_text().splitlines():
            entry = json.loads(line)
            reads = tuple(data.encode("latin-1") for _, data in entry["response"])
            found[version, entry["name"]] = Recorded(version, entry["name"], entry["request"].encode("latin-1"), reads)
    return found
