"""The relay: carries requests to nodes and knows which are under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ollamamax.errors import GatewayError
from ollamamax.relay.answers import Answer
from ollamamax.relay.carriage import Breakable, Carriage, RelayReport
from ollamamax.relay.client import NodeClient
from ollamamax.relay.crossing import Crossing
from ollamamax.relay.deadlines import RelayTimeouts

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["Answer", "Breakable", "Carriage", "Relay", "RelayReport", "RelayTimeouts"]


class Relay:
    """Carries requests."""

    def __init__(self, client: NodeClient, clock: IReactorTime) -> None:
        """Makes a relay with nothing under way.

        Args:
            client: the connections to the nodes.
            clock: a monotonic one; reports are in its seconds.
        """
        self._client = client
        self._clock = clock
        self._crossings: set[Crossing] = set()

    def __len__(self) -> int:
        """How many requests are under way, client connections that are only being closed among them."""
        return len(self._crossings)

    def carry(self, request: Request, carriage: Carriage) -> Deferred[RelayReport]:
        """Carries one request and answers it.

        The request is finished, or its connection broken off, when the Deferred fires with a report. Cancelling says
        that the client has gone: the node's connection is closed in the same turn of the reactor, and the Deferred
        fires with a report of the outcome `client_disconnected`.

        Args:
            request: the client's; nothing of its answer may be written yet.
            carriage: what goes to which node.

        Returns:
            The report. It fails with a `GatewayError` as long as nothing has reached the client, who is then still to
            be answered.
        """
        crossing = Crossing(self._client, self._clock, request, carriage, self._crossings.discard)
        self._crossings.add(crossing)
        return crossing.start()

    def abort_all(self, error: GatewayError) -> None:
        """Ends everything under way: streams with an error line and a broken end, the unanswered with the error."""
        for crossing in list(self._crossings):
            crossing.abort(error)
