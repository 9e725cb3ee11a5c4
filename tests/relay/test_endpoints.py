"""Endpoints of addresses."""

from __future__ import annotations

import pytest
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from ollamamax.address import NodeAddress
from ollamamax.relay.endpoints import node_endpoints


@pytest.mark.parametrize(
    ("host", "kind"),
    [("127.0.0.1", TCP4ClientEndpoint), ("::1", TCP6ClientEndpoint), ("localhost", HostnameEndpoint)],
)
def test_plain(host: str, kind: type) -> None:
    """Literals are connected to without a resolver, names through one."""
    assert isinstance(node_endpoints(MemoryReactorClock())(NodeAddress("http", host, 80)), kind)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "node.example"])
def test_tls(host: str) -> None:
    """`https` is the same, inside of TLS."""
    endpoint = node_endpoints(MemoryReactorClock())(NodeAddress("https", host, 443))
    assert not isinstance(endpoint, (TCP4ClientEndpoint, TCP6ClientEndpoint, HostnameEndpoint))


def test_no_network() -> None:
    """A reactor that cannot connect is told so when it is asked to."""
    with pytest.raises(TypeError):
        node_endpoints(Clock())(NodeAddress("http", "127.0.0.1", 80))
