"""One request to a node and its response, from the connect to the last byte.

Its stages are connecting (resolver and TLS handshake included), using a connection, and over; `abort` ends each of them
in the turn of the reactor in which it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ollamamax.address import NodeAddress, is_dialable
from ollamamax.errors import GatewayError, NodeConnectFailed, NodeTimedOut
from ollamamax.relay.connection import NodeConnection
from ollamamax.relay.messages import RequestHead, ResponseReceiver, StreamedBody, request_bytes
from ollamamax.relay.upload import PIECE_BYTES, BytesBody

if TYPE_CHECKING:
    from ollamamax.relay.client import NodeClient


class Exchange:
    """One request and its response.

    Attributes:
        receiver: hears of the response.
    """

    def __init__(
        self,
        client: NodeClient,
        address: NodeAddress,
        head: RequestHead,
        body: bytes | StreamedBody,
        receiver: ResponseReceiver,
        *,
        connect_timeout: float,
    ) -> None:
        self.receiver = receiver
        self._client = client
        self._address = address
        self._head_request = head.method == b"HEAD"
        self._content: bytes | None = body if isinstance(body, bytes) else None
        self._body: StreamedBody | None = None
        if isinstance(body, bytes):
            self._request = request_bytes(address, head, len(body))
            if len(body) <= PIECE_BYTES:
                self._request += body
                self._content = None
        else:
            self._request = request_bytes(address, head, body.length)
            self._body = body
        self._connect_timeout = connect_timeout
        self._connection: NodeConnection | None = None
        self._connecting: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None
        self._kept = False
        self._paused = False
        self._over = False

    # What the sender may ask for.

    def pause(self) -> None:
        """Reads no more of the response; what was read already is still reported."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Reads the response again."""
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    def abort(self) -> None:
        """Closes the node's connection in this turn of the reactor, or stops connecting; nothing is heard any more."""
        if self._over:
            return
        self._finish()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()

    # How it goes.

    def start(self) -> None:
        """Takes a kept connection or makes one."""
        kept = self._client.pool.take(self._address) if self._body is None else None
        if kept is None:
            self._connect()
        else:
            self._kept = True
            self._use(kept)

    def fail(self, error: GatewayError) -> None:
        """Aborts and tells the receiver."""
        if not self._over:
            self.abort()
            self.receiver.response_failed(Failure(error))

    def ended(self) -> None:
        """The response is complete."""
        self._finish()
        self._connection = None
        self.receiver.response_finished()

    def broke(self, reason: Failure, *, unanswered: bool) -> None:
        """The connection ended before the response was complete."""
        self._connection = None
        if unanswered and self._kept and self._body is None:
            self._kept = False
            self._connect()
            return
        self._finish()
        self.receiver.response_failed(reason)

    def _connect(self) -> None:
        clock = self._client.clock
        self._deadline = clock.callLater(self._connect_timeout, self._connect_timed_out)
        try:
            factory = _ConnectionFactory(self._client, self._address)
            connecting = self._client.endpoint_for(self._address).connect(factory)
        except Exception:  # noqa: BLE001 - an address that no endpoint can be made of is a failed connect
            self._connect_failed(Failure())
            return
        connecting.addCallback(lambda protocol: _connection(protocol).ready())
        self._connecting = connecting.addCallbacks(self._connected, self._connect_failed)

    def _connected(self, connection: NodeConnection) -> None:
        self._connecting = None
        self._stop_deadline()
        if self._over:
            connection.abort()
        elif is_dialable(getattr(connection.peer, "host", "")):
            self._use(connection)
        else:
            connection.abort()
            self._connect_failed(Failure(NodeConnectFailed(detail="resolved to an address that is refused")))

    def _connect_failed(self, reason: Failure) -> None:
        self._connecting = None
        if self._over:
            return
        self._finish()
        if reason.check(GatewayError) is None:
            kind = "" if reason.type is None else reason.type.__name__
            reason = Failure(NodeConnectFailed(detail=f"{kind}: {reason.getErrorMessage()}"))
        self.receiver.response_failed(reason)

    def _connect_timed_out(self) -> None:
        self._deadline = None
        self.fail(NodeTimedOut("connect", self._connect_timeout))

    def _use(self, connection: NodeConnection) -> None:
        self._connection = connection
        if self._paused:
            connection.pause()
        body = self._body if self._content is None else BytesBody(self._content)
        connection.begin(self, self._request, body, head_request=self._head_request)

    def _finish(self) -> None:
        self._over = True
        self._stop_deadline()
        self._client.exchanges.discard(self)

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()


class _ConnectionFactory(Factory):
    """Makes the connections of one address."""

    noisy = False

    def __init__(self, client: NodeClient, address: NodeAddress) -> None:
        self._client = client
        self._address = address

    def buildProtocol(self, addr: object) -> NodeConnection:
        return NodeConnection(self._client, self._address, secure=self._address.scheme == "https")


def _connection(protocol: IProtocol) -> NodeConnection:
    # An endpoint may wrap what the factory made (wrapClientTLS hands out the inner protocol by itself).
    assert isinstance(protocol, NodeConnection)
    return protocol
