"""The client that carries requests to nodes.

What it does not do, on purpose: follow redirects, decompress, keep cookies, or retry. The one exception: a kept
connection that turns out to be closed (nothing at all came back) is replaced by a fresh one, once, and only for bodies
that are in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from ollamamax.address import NodeAddress
from ollamamax.errors import ShuttingDown
from ollamamax.relay.connection import NodeConnection
from ollamamax.relay.endpoints import node_endpoints
from ollamamax.relay.exchange import Exchange
from ollamamax.relay.messages import BodyReceiver, RequestHead, ResponseHead, ResponseReceiver, StreamedBody
from ollamamax.relay.pool import IdlePool

__all__ = [
    "BodyReceiver",
    "Exchange",
    "NodeClient",
    "RequestHead",
    "ResponseHead",
    "ResponseReceiver",
    "StreamedBody",
]


class NodeClient:
    """Sends requests to nodes over kept or fresh connections."""

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        endpoint_for: Callable[[NodeAddress], IStreamClientEndpoint] | None = None,
        max_idle_per_node: int = 32,
        idle_seconds: float = 60.0,
    ) -> None:
        """Makes a client without connections.

        Args:
            reactor: tells the time; connects too, unless `endpoint_for` is given.
            endpoint_for: makes the endpoint of an address.
            max_idle_per_node: how many idle connections to one node are kept.
            idle_seconds: for how long.
        """
        self.clock = reactor
        self.endpoint_for = node_endpoints(reactor) if endpoint_for is None else endpoint_for
        self.pool = IdlePool(reactor, max_idle_per_node=max_idle_per_node, idle_seconds=idle_seconds)
        self.exchanges: set[Exchange] = set()
        self._connections: set[NodeConnection] = set()
        self._closed = False
        self._gone: list[Deferred[None]] = []

    def send(
        self,
        address: NodeAddress,
        head: RequestHead,
        body: bytes | StreamedBody,
        receiver: ResponseReceiver,
        *,
        connect_timeout: float,
    ) -> Exchange:
        """Sends a request.

        Args:
            address: the node.
            head: what is asked.
            body: bytes are sent again should a kept connection be stale; a streamed body gets a fresh connection.
            receiver: hears of the response; of a failure maybe before this method returns.
            connect_timeout: seconds for resolving, connecting and the TLS handshake.

        Raises:
            ValueError: for a head that cannot be written; nothing was sent.
        """
        exchange = Exchange(self, address, head, body, receiver, connect_timeout=connect_timeout)
        if self._closed:
            exchange.broke(Failure(ShuttingDown()), unanswered=False)
        else:
            self.exchanges.add(exchange)
            exchange.start()
        return exchange

    def close(self) -> Deferred[None]:
        """Ends every exchange with `ShuttingDown` and closes every connection.

        Returns:
            Fires when all connections are gone.
        """
        self._closed = True
        for exchange in list(self.exchanges):
            exchange.fail(ShuttingDown())
        self.pool.close()
        for connection in list(self._connections):
            connection.abort()
        if not self._connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        return gone

    # What connections tell.

    def connection_opened(self, connection: NodeConnection) -> None:
        """Counts a connection."""
        self._connections.add(connection)

    def connection_idle(self, connection: NodeConnection) -> None:
        """Keeps a connection for later."""
        if self._closed:
            connection.abort()
        else:
            self.pool.put(connection)

    def connection_lost(self, connection: NodeConnection) -> None:
        """Forgets a connection."""
        self._connections.discard(connection)
        self.pool.forget(connection)
        if not self._connections:
            waiting, self._gone = self._gone, []
            for gone in waiting:
                gone.callback(None)
