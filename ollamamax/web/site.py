"""The gateway's site: the factory of its connections, the list of them, and how they come to an end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.web.http import Request, datetimeToString
from twisted.web.server import Site

from ollamamax.web.channel import GatewayChannel
from ollamamax.web.heads import MALFORMED_PATH, OTHER_METHOD
from ollamamax.web.incoming import BodyMemory, BodyPolicy, BodyReceiver, IncomingBody
from ollamamax.web.request import GatewayRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IReactorTime
    from twisted.web.resource import IResource

    from ollamamax.settings import Limits

__all__ = [
    "MALFORMED_PATH",
    "OTHER_METHOD",
    "BodyPolicy",
    "BodyReceiver",
    "GatewayRequest",
    "GatewaySite",
    "IncomingBody",
]


class GatewaySite(Site):
    """Serves a resource to every connection that an endpoint accepts.

    Attributes:
        connections: the connections that are open.
        body_memory: what all buffered bodies share.
        body_policy: what is done with the body of a request; asked when its head is complete. A `GatewayError` raised
            there refuses the request before its body is read.
        limits: of requests and of the time that they may take.
        draining: whether the site is coming to an end.
    """

    noisy = False
    requestFactory: type[GatewayRequest] = GatewayRequest
    reactor: IReactorTime
    _log = Logger()

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        limits: Limits,
        body_policy: Callable[[GatewayRequest], BodyPolicy],
        access_log: Callable[[GatewayRequest], None] | None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Makes a site without connections.

        Args:
            resource: the root of the resources; renders refused requests as well.
            reactor: the time of all deadlines.
            limits: of requests.
            body_policy: see the attribute.
            access_log: called with every request at its end, answered or not.
            wall_clock: Unix seconds, for the Date of responses.
        """
        super().__init__(resource, reactor=reactor, parsePOSTFormSubmission=False)
        self.limits = limits
        self.body_policy = body_policy
        self.body_memory = BodyMemory(limits.body_memory_bytes)
        self.connections: set[GatewayChannel] = set()
        self.draining = False
        self._access_log = access_log
        self._wall_clock = wall_clock
        self._date = (0, b"")
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> GatewayChannel:  # type: ignore[override]  # an own channel
        """Makes the server's side of a new connection."""
        return GatewayChannel(self)

    def acceptableProtocols(self) -> list[bytes]:
        """What is offered in a TLS handshake."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Opens no log file, unlike Twisted's."""

    def stopFactory(self) -> None:
        """Has no log file to close."""

    def log(self, request: Request) -> None:
        """Passes a request that has ended to the access log, whose failures concern nobody else."""
        if self._access_log is None or not isinstance(request, GatewayRequest):
            return
        try:
            self._access_log(request)
        except Exception:  # noqa: BLE001 - the log's defect must not end a response
            self._log.failure("the access log failed")

    def date(self) -> bytes:
        """The Date of a response that begins now; formatted once a second."""
        second = int(self._wall_clock())
        if second != self._date[0]:
            self._date = (second, datetimeToString(second))
        return self._date[1]

    def drain(self) -> Deferred[None]:
        """Lets the connections come to an end: idle ones at once, the others after the request that they are in.

        Returns:
            Fires when no connection is open any more, so that everything written has been flushed.
        """
        self.draining = True
        if not self.connections:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        for channel in list(self.connections):
            channel.drain()
        return drained

    def connection_gone(self, channel: GatewayChannel) -> None:
        """A connection has closed; called by its channel."""
        self.connections.discard(channel)
        if self.draining and not self.connections:
            drained, self._drained = self._drained, []
            for waiting in drained:
                waiting.callback(None)
