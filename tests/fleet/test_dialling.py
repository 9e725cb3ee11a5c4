"""Connections for probes: how addresses are reached, and which connections are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.web.http_headers import Headers

from ollamamax.address import NodeAddress
from ollamamax.fleet.dialling import probe_agent

if TYPE_CHECKING:
    from fleet.conftest import FakeNode, Wire, World


def test_plain_addresses_are_dialled_directly() -> None:
    """Without another way given, an IP literal is connected to over TCP, at its port."""
    reactor = MemoryReactorClock()
    agent = probe_agent(cast("IReactorTime", reactor))
    agent.request(b"GET", b"http://127.0.0.1:11434/api/version", Headers())
    assert [client[:2] for client in reactor.tcpClients] == [("127.0.0.1", 11434)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://[::1]:11434", NodeAddress("http", "::1", 11434)),
        ("https://gpu.example.org", NodeAddress("https", "gpu.example.org", 443)),
        ("http://münchen.de/x", NodeAddress("http", "xn--mnchen-3ya.de", 80)),
    ],
)
def test_address_that_is_dialled(world: World, url: str, expected: NodeAddress) -> None:
    """The endpoint is asked for by scheme, host and port, an IPv6 host without its brackets."""
    asked: list[NodeAddress] = []

    def endpoint_for(address: NodeAddress) -> IStreamClientEndpoint:
        asked.append(address)
        raise LookupError

    agent = probe_agent(world.clock, endpoint_for)
    path = NodeAddress.from_url(url).url + "/api/version"
    with pytest.raises(LookupError):
        agent.request(b"GET", path.encode("ascii"), Headers())
    assert asked == [expected]


def _flooding(node: FakeNode, head: bytes, part: bytes) -> list[int]:
    sent = [0]

    def flood(wire: Wire) -> None:
        wire.send(head)
        while not wire.closed and sent[0] < 20_000_000:
            wire.send(part)
            sent[0] += len(part)

    node.answers["/api/version"] = flood
    return sent


@pytest.mark.parametrize("part", [b"X: y\r\n", b"X: " + b"y" * 10_000 + b"\r\n", b"HTTP/1.1 100 Continue\r\n"])
def test_head_without_end(world: World, part: bytes) -> None:
    """A response head is cut at 64 KiB, whatever it is made of."""
    node = world.add("a")
    sent = _flooding(node, b"HTTP/1.1 200 OK\r\n", part)
    world.prober.start()
    world.settle()
    assert sent[0] <= 65536 + len(part)
    assert not world.fleet.nodes["a"].up


def test_framing_without_end(world: World) -> None:
    """Chunks of a byte each are more framing than body: the connection is cut before the body is too large."""
    node = world.add("a")
    sent = _flooding(
        node, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;x=" + b"y" * 1000 + b"\r\n \r\n"
    )
    world.prober.start()
    world.settle()
    assert sent[0] < 10_000_000
    assert world.fleet.nodes["a"].error == "too_large"


def test_head_that_comes_byte_by_byte(world: World) -> None:
    """The end of a head is found wherever reads divide it, and a large body after it is no large head."""
    node = world.add("a")
    body = b'{"version":"0.33.0"' + b" " * 100_000 + b"}"

    def trickle(wire: Wire) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body):
            wire.send(bytes([byte]))
        wire.send(body)

    node.answers["/api/version"] = trickle
    world.prober.start()
    world.settle()
    assert world.fleet.nodes["a"].up
