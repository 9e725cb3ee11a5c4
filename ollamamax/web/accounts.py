"""The account of one inference request, from its head to its row in the ledger."""

from __future__ import annotations

import attrs

from ollamamax.errors import GatewayError, InternalError
from ollamamax.relay import ending
from ollamamax.relay.carriage import RelayReport
from ollamamax.relay.verdict import Usage
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.web.carrying import Carrier
from ollamamax.web.site import GatewayRequest

_NANOSECONDS = 9


class Account:
    """Collects what is learnt of a request, and closes with exactly one final row.

    Attributes:
        row: what is known by now.
        client: the address of whoever asks, to tell clients apart while the request runs; None where it is not known.
    """

    def __init__(self, carrier: Carrier, request: GatewayRequest, operation: str) -> None:
        self._carrier = carrier
        self._request = request
        peer = request.client_ip
        forwarded_for = _field(request, b"x-forwarded-for")
        self.client = carrier.peers.client(peer, forwarded_for)
        self.row = LedgerRow(
            id=request.request_id,
            client_request_id=carrier.peers.client_request_id(peer, _field(request, b"x-request-id")),
            started_at=carrier.now(),
            operation=operation,
            endpoint=carrier.endpoint_of(request),
            client_address=carrier.peers.client_address(peer, forwarded_for),
        )
        self._begun_at = 0.0

    def note(self, **known: object) -> None:
        """Takes columns that have become known."""
        self.row = attrs.evolve(self.row, **known)  # type: ignore[arg-type]

    def begin(self, node: str) -> None:
        """The request goes to a node, its first one or a further one."""
        self._begun_at = self._carrier.clock()
        self.note(node=node, attempts=self.row.attempts + 1)
        if self.row.attempts == 1:
            self._carrier.ledger.started(self.row)

    def end(self, report: RelayReport) -> None:
        """The response is over, or its client has gone."""
        usage = report.usage
        first_token_at = report.first_token_at
        self._close(
            outcome=report.outcome,
            status=report.status,
            error_code=report.error_code,
            operation="load" if report.loaded else self.row.operation,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            load_seconds=usage.load_seconds,
            prompt_seconds=usage.prompt_seconds,
            output_seconds=usage.output_seconds,
            slot_wait_seconds=_slot_wait(usage),
            first_token_seconds=None if first_token_at is None else first_token_at - self._request.body_at,
        )

    def fail(self, error: GatewayError) -> None:
        """The request is answered with an error of the gateway's."""
        self._close(outcome=outcome_of(error), status=error.status, error_code=error.code)

    def give_up(self) -> None:
        """The client has gone before anything was sent to it."""
        self._close(outcome="client_disconnected")

    def _close(self, **columns: object) -> None:
        ended_at = self._carrier.clock()
        self.note(
            finished_at=self._carrier.now(),
            duration_seconds=ended_at - self._request.received_at,
            node_seconds=ended_at - self._begun_at if self.row.attempts else None,
            **columns,
        )
        self._carrier.ledger.finished(self.row)


def outcome_of(error: GatewayError) -> str:
    """The verdict on a request that ends with an error before its response began; the same as in its middle."""
    return "unavailable" if isinstance(error, InternalError) else ending.outcome_of(error)


def _field(request: GatewayRequest, name: bytes) -> str | None:
    """A header's value, that of all its lines; any byte may be in it."""
    lines = request.requestHeaders.getRawHeaders(name)
    return b",".join(lines).decode("latin-1") if lines else None


def _slot_wait(usage: Usage) -> float | None:
    """What Ollama does not report: the part of the whole that no phase accounts for."""
    phases = (usage.load_seconds, usage.prompt_seconds, usage.output_seconds)
    if usage.total_seconds is None or any(phase is None for phase in phases):
        return None
    waited = usage.total_seconds - sum(phase for phase in phases if phase is not None)
    return max(0.0, round(waited, _NANOSECONDS))
