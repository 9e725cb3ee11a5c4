"""What every carried request has in common: its lease on a node, its head, its row, its way through the relay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from ollamamax.errors import GatewayError, NodeConnectFailed, NodeTimedOut, UnsupportedEncoding
from ollamamax.fleet.dispatch import Dispatcher, Lease
from ollamamax.fleet.retries import AttemptCounts, RetryBudget
from ollamamax.fleet.routing import Wanted
from ollamamax.metrics.inference import InferenceMetrics
from ollamamax.relay.messages import RequestHead, StreamedBody
from ollamamax.relay.relay import Answer, Carriage, Relay, RelayReport, RelayTimeouts
from ollamamax.settings import Settings
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.web.peers import PeerPolicy
from ollamamax.web.site import GatewayRequest

SIMULATED = (b"X-OllamaMax-Simulated", b"1")


class RequestLedger(Protocol):
    """Where the accounts of requests are kept."""

    def started(self, row: LedgerRow) -> None:
        """Records that a request is about to be sent to a node; raises LedgerFull where it must not be."""

    def finished(self, row: LedgerRow) -> None:
        """Records how a request ended."""


@attrs.frozen
class Carrier:
    """The collaborators of a carried request.

    Attributes:
        dispatcher: chooses the node.
        relay: carries request and response.
        ledger: keeps the accounts.
        settings: the settings in force.
        budget: how many requests may be tried again at a time.
        counts: what becomes of attempts and retries.
        metrics: what is counted of inference.
        peers: what is believed and kept of a client.
        endpoint_of: the pattern of a request's route.
        now: the wall clock, Unix seconds.
        clock: the monotonic clock that stamps requests, in seconds.
        suspect: hears of a node, by its name, to which no connection could be made.
        refresh: learns a node's models anew, by its name; never takes long, and never fails.
    """

    dispatcher: Dispatcher
    relay: Relay
    ledger: RequestLedger
    settings: Settings
    budget: RetryBudget
    counts: AttemptCounts
    metrics: InferenceMetrics
    peers: PeerPolicy
    endpoint_of: Callable[[GatewayRequest], str]
    now: Callable[[], float]
    clock: Callable[[], float]
    suspect: Callable[[str], None]
    refresh: Callable[[str], Awaitable[object]]

    async def lease(self, wanted: Wanted) -> Lease:
        """A place on a node.

        Raises:
            ModelNotFound: no node has the model.
            Unavailable: no node that has it is up.
        """
        return await self.dispatcher.acquire(wanted)

    async def carry(
        self,
        request: GatewayRequest,
        lease: Lease,
        *,
        target: bytes,
        body: bytes | StreamedBody,
        answer: Answer,
        streaming: bool,
        timeouts: RelayTimeouts,
        before_end: Callable[[], Awaitable[object]] | None = None,
        usage_added: bool = False,
        may_move: Callable[[], bool] | None = None,
    ) -> RelayReport:
        """Carries one request to the node of a lease and its response back.

        Args:
            request: the client's request.
            lease: a place on a node.
            target: path and query of the request there.
            body: the body that is sent.
            answer: what the answer is made of.
            streaming: whether it is a stream of events.
            timeouts: how long each phase may take.
            before_end: what has to be done before the client may know that the node has succeeded.
            usage_added: whether the body asks for usage that the client did not ask for.
            may_move: whether the request could go to another node, should this one be busy.

        Raises:
            GatewayError: nothing was sent to the client.
        """
        node = lease.node
        fields = request.requestHeaders.getAllRawHeaders()
        head = RequestHead(request.method, target, tuple((name, value) for name, values in fields for value in values))
        carriage = Carriage(
            address=node.address,
            head=head,
            body=body,
            answer=answer,
            streaming=streaming,
            timeouts=timeouts,
            before_end=before_end,
            usage_added=usage_added,
            may_move=may_move,
            extra_headers=(SIMULATED,) if node.simulated else (),
        )
        try:
            return await self.relay.carry(request, carriage)
        except (NodeConnectFailed, NodeTimedOut) as error:
            if not isinstance(error, NodeTimedOut) or error.phase == "connect":
                self.suspect(node.name)
            raise


def whole_body(request: GatewayRequest) -> bytes:
    """A request's body.

    Raises:
        GatewayError: the channel refused it (too large, too slow).
        UnsupportedEncoding: it is compressed, so nothing could be checked in it.
    """
    check_acceptable(request)
    return request.body()


def check_acceptable(request: GatewayRequest) -> None:
    """Refuses what must not be carried, whole or as a stream.

    Raises:
        GatewayError: the channel refused it (too large, too slow).
        UnsupportedEncoding: its body is compressed.
    """
    refusal: GatewayError | None = request.refusal
    if refusal is not None:
        raise refusal
    encodings = b",".join(request.requestHeaders.getRawHeaders(b"content-encoding", ())).split(b",")
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        raise UnsupportedEncoding
