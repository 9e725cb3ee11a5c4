"""A network in memory: nodes that answer as a test says, down to the byte, behind the agent that probes use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import attrs
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.address import NodeAddress
from ollamamax.fleet.dialling import AddressRefused, probe_agent
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.probe import Prober
from ollamamax.settings import Probe

Script = bytes | Callable[["Wire"], None]


def json_response(body: object, *, status: str = "200 OK") -> bytes:
    """An answer as Ollama frames it."""
    text = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(text)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + text


class Wire(StringTransport):
    """One connection, seen from the gateway's side; it is lost in the reactor's next turn, as a real one."""

    def __init__(self, node: FakeNode, factory: IProtocolFactory) -> None:
        super().__init__(peerAddress=node.peer)
        self.node = node
        self.factory = factory
        self.protocol: IProtocol | None = None
        self.answered = False
        self.closed = False
        self.lost = False
        self.ending: type[Exception] | None = None

    def send(self, data: bytes) -> None:
        """Bytes that the node sends."""
        if not self.lost and self.ending is None:
            assert self.protocol is not None
            self.protocol.dataReceived(data)

    def end(self, reason: type[Exception] = ConnectionDone) -> None:
        """The node closes the connection."""
        self.ending = self.ending or reason

    def loseConnection(self) -> None:
        self.closed = True
        if not self.node.ignores_goodbye:
            self.end()

    def abortConnection(self) -> None:
        self.closed = True
        self.end(ConnectionAborted)


@attrs.define(eq=False)
class FakeNode:
    """One node of the network: what it answers, and how it takes connections.

    Attributes:
        accepts: False refuses, None lets the connecting hang.
        ignores_goodbye: whether an orderly close has no effect, as where a TLS peer has died.
    """

    answers: dict[str, Script] = attrs.field(factory=dict)
    accepts: bool | None = True
    ignores_goodbye: bool = False
    peer: IPv4Address = attrs.field(factory=lambda: IPv4Address("TCP", "10.0.0.1", 11434))
    requests: list[bytes] = attrs.field(factory=list)
    wires: list[Wire] = attrs.field(factory=list)
    abandoned_connects: int = 0

    def serve(self, *, version: str = "0.33.0", models: tuple[str, ...] = (), resident: tuple[str, ...] = ()) -> None:
        """Answers as an Ollama with these models."""
        tags = [{"name": name, "model": name, "size": 5, "digest": f"d-{name}"} for name in models]
        ps = [{"name": name, "model": name, "size": 7, "size_vram": 7} for name in resident]
        self.answers["/api/version"] = json_response({"version": version})
        self.answers["/api/tags"] = json_response({"models": tags})
        self.answers["/api/ps"] = json_response({"models": ps})

    @property
    def open_wires(self) -> list[Wire]:
        """The connections that are not gone."""
        return [wire for wire in self.wires if not wire.lost]

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.split(b" ")[1].decode() for request in self.requests]


@implementer(IStreamClientEndpoint)
@attrs.frozen
class FakeEndpoint:
    node: FakeNode

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.node.accepts is None:
            return Deferred(lambda _: setattr(self.node, "abandoned_connects", self.node.abandoned_connects + 1))
        if not self.node.accepts:
            return fail(ConnectionRefusedError())
        wire = Wire(self.node, protocolFactory)
        connecting: Deferred[IProtocol] = Deferred()
        try:
            wire.protocol = protocolFactory.buildProtocol(self.node.peer)
        except AddressRefused:
            return fail(Failure())
        assert wire.protocol is not None
        self.node.wires.append(wire)
        protocolFactory.doStart()
        wire.protocol.makeConnection(wire)
        connecting.callback(wire.protocol)
        return connecting


@attrs.define(eq=False)
class World:
    """Nodes, the fleet that knows them, and its prober, under one clock."""

    clock: Clock = attrs.field(factory=Clock)
    fleet: Fleet = attrs.field(factory=Fleet)
    network: dict[str, FakeNode] = attrs.field(factory=dict)
    chances: list[float] = attrs.field(factory=list)
    prober: Prober = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.prober = Prober(
            self.fleet,
            probe_agent(self.clock, self.endpoint_for),
            self.clock,
            Probe(interval_seconds=5.0, timeout_seconds=2.0),
            wall_clock=lambda: 1000.0 + self.clock.seconds(),
            chance=lambda: self.chances.pop(0) if self.chances else 0.5,
        )

    def endpoint_for(self, address: NodeAddress) -> IStreamClientEndpoint:
        """How nodes are reached here: by their host."""
        return FakeEndpoint(self.network[address.host])

    def add(self, name: str, **serving: object) -> FakeNode:
        """A node that answers; its host is its name."""
        fake = self.network[name] = FakeNode()
        fake.serve(**serving)  # type: ignore[arg-type]
        self.fleet.add(Node(name, NodeAddress.from_url(f"http://{name}:11434")))
        return fake

    def settle(self) -> None:
        """Lets everything happen that needs no time."""
        while self._step():
            pass

    def advance(self, seconds: float) -> None:
        """Lets time pass, and what it brings happen."""
        self.clock.advance(seconds)
        self.settle()

    def _step(self) -> bool:
        worked = False
        for wire in [wire for node in self.network.values() for wire in node.open_wires]:
            request = wire.value()
            if not wire.answered and request.endswith(b"\r\n\r\n"):
                wire.answered = worked = True
                wire.node.requests.append(request)
                script = wire.node.answers[request.split(b" ")[1].decode()]
                if isinstance(script, bytes):
                    wire.send(script)
                else:
                    script(wire)
            if wire.ending is not None and not wire.lost:
                wire.lost = worked = True
                assert wire.protocol is not None
                wire.protocol.connectionLost(Failure(wire.ending()))
                wire.factory.doStop()
        return worked


@pytest.fixture
def world() -> Iterator[World]:
    """A world without nodes; what a test leaves behind in it fails that test."""
    world = World()
    yield world
    world.prober.stop()
    world.settle()
    world.clock.advance(2)
    world.settle()
    assert world.clock.getDelayedCalls() == []
    assert [wire for node in world.network.values() for wire in node.open_wires] == []
