"""Connections for probes: an HTTP agent that can be used on nodes which nobody vouches for.

Each request has a connection of its own, so that a probe proves what the next request needs, a node that takes
connections. Nothing is retried, no redirect is followed, nothing is decompressed, no cookie is kept; an address that a
name resolves to is checked before a byte is sent, and a connection that brings more than it may is cut, response head
included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from ollamamax.address import NodeAddress, is_dialable
from ollamamax.relay.endpoints import node_endpoints

EndpointFor = Callable[[NodeAddress], IStreamClientEndpoint]

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The largest body of an answer: thousands of models fit, and reading more in one go would hold up everything else."""

_GOODBYE_SECONDS = 1.0
_MAX_HEAD_BYTES = 65536
_MAX_FRAMED_BYTES = 2 * MAX_ANSWER_BYTES  # a body with the chunk sizes between its parts


class AddressRefused(ConnectError):
    """A node's name resolved to an address that is never dialled."""


def probe_agent(reactor: IReactorTime, endpoint_for: EndpointFor | None = None) -> IAgent:
    """An agent for `probe.Prober`.

    It bounds no time by itself, not even that of connecting: whoever waits cancels the request.

    Args:
        reactor: what connects and keeps the time.
        endpoint_for: how to reach a node, where it is not plain TCP or TLS to its address.
    """
    pool = HTTPConnectionPool(reactor, persistent=False)
    pool.retryAutomatically = False
    endpoints = _GuardedEndpoints(reactor, endpoint_for or node_endpoints(reactor))
    return cast("IAgent", Agent.usingEndpointFactory(reactor, endpoints, pool))


@implementer(IAgentEndpointFactory)
@attrs.frozen
class _GuardedEndpoints:
    reactor: IReactorTime
    endpoint_for: EndpointFor

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802 - Twisted's interface
        address = NodeAddress(uri.scheme.decode("ascii"), uri.host.decode("ascii").strip("[]"), uri.port)
        return _GuardedEndpoint(self.reactor, self.endpoint_for(address))


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _GuardedEndpoint:
    reactor: IReactorTime
    endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting = self.endpoint.connect(_GuardingFactory(self.reactor, protocolFactory))
        return connecting.addCallback(lambda guard: cast("ProtocolWrapper", guard).wrappedProtocol)


class _GuardingFactory(WrappingFactory["_BoundedProtocol"]):
    noisy = False

    def __init__(self, reactor: IReactorTime, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)
        self.reactor = reactor
        # Else every connection is worth two lines in the log.
        cast("Factory", wrapped).noisy = False

    def buildProtocol(self, addr: IAddress | None) -> _BoundedProtocol:
        host = getattr(addr, "host", None)
        if host is not None and not is_dialable(host):
            raise AddressRefused
        return _BoundedProtocol(self, self.wrappedFactory.buildProtocol(addr))


class _BoundedProtocol(ProtocolWrapper):
    """Passes a response on, up to a number of bytes, and sees to it that a connection which is closed goes away."""

    factory: _GuardingFactory
    _left = _MAX_HEAD_BYTES
    _head_tail: bytes | None = b""
    _cutting: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._left < 0:
            return
        if self._head_tail is not None:
            seen = self._head_tail + data
            self._head_tail = seen[-3:]
            if b"\r\n\r\n" in seen or b"\n\n" in seen:
                self._head_tail = None
                self._left = _MAX_FRAMED_BYTES
        self._left -= len(data)
        if self._left < 0:
            self._cut()
        else:
            self.wrappedProtocol.dataReceived(data)

    def loseConnection(self) -> None:
        # TLS waits for the peer's goodbye, for ever where the peer has died.
        if self._cutting is None:
            self._cutting = self.factory.reactor.callLater(_GOODBYE_SECONDS, self._cut)
        ProtocolWrapper.loseConnection(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cutting is not None and self._cutting.active():
            self._cutting.cancel()
        ProtocolWrapper.connectionLost(self, reason)

    def _cut(self) -> None:
        cast("ITCPTransport", self.transport).abortConnection()
