"""The account of one inference request, from its head to its row in the ledger and its place in the metrics."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.logger import Logger

from ollamamax.errors import GatewayError, InternalError
from ollamamax.metrics.inference import GOOD, LOAD, Course, MissingUsage
from ollamamax.names import normalized
from ollamamax.relay import ending
from ollamamax.relay.carriage import RelayReport
from ollamamax.relay.verdict import Usage
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.web.carrying import Carrier
from ollamamax.web.operations import Operation
from ollamamax.web.site import GatewayRequest

_NANOSECONDS = 9
_REFUSED = frozenset({"client_error", "unavailable"})


class Account:
    """Collects what is learnt of a request, and closes with exactly one final row, which is counted as it is written.

    Attributes:
        client: the address of whoever asks, to tell clients apart while the request runs; None where it is not known.
    """

    _log = Logger()

    def __init__(self, carrier: Carrier, request: GatewayRequest, operation: Operation) -> None:
        self._carrier = carrier
        self._request = request
        self._operation = operation
        peer = request.client_ip
        forwarded_for = _field(request, b"x-forwarded-for")
        self.client = carrier.peers.client(peer, forwarded_for)
        # A row takes a while to build, so it is built when somebody wants to see it.
        self._columns: dict[str, Any] = {
            "id": request.request_id,
            "client_request_id": carrier.peers.client_request_id(peer, _field(request, b"x-request-id")),
            "started_at": carrier.now(),
            "operation": operation.name,
            "endpoint": carrier.endpoint_of(request),
            "client_address": carrier.peers.client_address(peer, forwarded_for),
        }
        self._row: LedgerRow | None = None
        self._attempts = 0
        request.account = self
        self._resident = False
        self._begun_at = 0.0
        # Before the attempts that have failed, and since when the gateway has been at work again.
        self._own_seconds = 0.0
        self._failed_at: float | None = None

    @property
    def row(self) -> LedgerRow:
        """What is known by now."""
        if self._row is None:
            self._row = LedgerRow(**self._columns)
        return self._row

    @property
    def is_closed(self) -> bool:
        """Whether the row is the final one."""
        return "finished_at" in self._columns

    @property
    def model(self) -> str | None:
        """The model's normalised name, once it is known."""
        model: str | None = self._columns.get("model")
        return model

    def note(self, **known: object) -> None:
        """Takes columns that have become known."""
        self._columns.update(known)
        self._row = None

    def asks_for(self, requested: str, end_user: str | None = None) -> None:
        """The model is known, as the client spells it, and for whom it asks, where it says so."""
        model = normalized(requested)
        self.note(requested_model=requested, model=model, end_user=end_user)
        self._carrier.metrics.begin(model, self._operation.name)

    def begin(self, node: str, *, resident: bool) -> None:
        """The request goes to a node, its first one or a further one.

        Args:
            node: its name.
            resident: whether it has the model in its memory.

        Raises:
            LedgerFull: it does not go there, because its account could not be kept.
        """
        there: dict[str, Any] = {"node": node, "attempts": self._attempts + 1}
        if self._attempts == 0:
            self._carrier.ledger.started(LedgerRow(**self._columns, **there))
            self._carrier.metrics.live.add(self)
        self._attempts += 1
        self.note(**there)
        self._resident = resident
        self._begun_at = self._carrier.clock()

    def failed(self) -> None:
        """An attempt has failed, and another one will be made."""
        self._own_seconds += max(0.0, self._begun_at - self._ready_at)
        self._failed_at = self._carrier.clock()

    def end(self, report: RelayReport) -> None:
        """The response is over, or its client has gone."""
        usage = report.usage
        answered = report.status is not None and 200 <= report.status < 300
        left = report.outcome == "client_disconnected"
        own = self._own_seconds + max(0.0, report.started_at - self._ready_at) + report.own_seconds
        self._close(
            Course(
                output_token_seconds=output_token_seconds(report),
                not_resident=answered and not self._resident and not self._operation.tells_phases,
                overhead_seconds=None if left else own,
            ),
            outcome=report.outcome,
            status=report.status,
            error_code=report.error_code,
            operation=LOAD if report.loaded else self._columns["operation"],
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            load_seconds=usage.load_seconds,
            prompt_seconds=usage.prompt_seconds,
            output_seconds=usage.output_seconds,
            slot_wait_seconds=_slot_wait(usage),
            first_token_seconds=since(self._request.body_at, report.first_token_at),
        )

    def fail(self, error: GatewayError) -> None:
        """The request is answered with an error of the gateway's."""
        self._close(Course(), outcome=outcome_of(error), status=error.status, error_code=error.code)

    def give_up(self) -> None:
        """The client has gone before anything was sent to it."""
        self._close(Course(), outcome="client_disconnected")

    @property
    def _ready_at(self) -> float:
        """Since when the request has been the gateway's to hand on."""
        return self._request.body_at if self._failed_at is None else self._failed_at

    def _close(self, course: Course, **columns: object) -> None:
        ended_at = self._carrier.clock()
        self.note(
            finished_at=self._carrier.now(),
            duration_seconds=ended_at - self._request.received_at,
            node_seconds=ended_at - self._begun_at if self._attempts else None,
            **columns,
        )
        row = self.row
        self._carrier.ledger.finished(row)
        metrics = self._carrier.metrics
        metrics.live.discard(self)
        try:
            metrics.ended(row, attrs.evolve(course, missing=missing_usage(row)))
        except Exception:  # noqa: BLE001 - a defect here costs this observation, never the request or its row
            self._log.failure("an inference request could not be counted")


def missing_usage(row: LedgerRow) -> MissingUsage | None:
    """Why a request that went to a node has not all of its tokens in its row; None where it has, or none are missed.

    An embedding has only those of its input. A node that refuses a request, or is too busy for it, has done nothing.
    """
    if row.attempts == 0 or row.operation == LOAD:
        return None
    if row.input_tokens is not None and (row.output_tokens is not None or row.operation == "embed"):
        return None
    if row.outcome in GOOD:
        return "not_reported"
    if row.outcome == "client_disconnected" or (row.status is not None and row.status < 300):
        return "aborted"
    return None if row.outcome in _REFUSED else "node_error"


def output_token_seconds(report: RelayReport) -> float | None:
    """How long each token of an answer took; None where that is not known, or there was but one.

    The node's word, or the pace at which a stream of events came: after its first token, which has the prompt's time
    in it.
    """
    usage = report.usage
    tokens = usage.output_tokens
    if tokens is None or tokens < 2:
        return None
    if usage.output_seconds is not None:
        return usage.output_seconds / tokens
    if report.first_token_at is None or report.last_content_at is None:
        return None
    return (report.last_content_at - report.first_token_at) / (tokens - 1)


def outcome_of(error: GatewayError) -> str:
    """The verdict on a request that ends with an error before its response began; the same as in its middle."""
    return "unavailable" if isinstance(error, InternalError) else ending.outcome_of(error)


def since(earlier: float, later: float | None) -> float | None:
    """The seconds from one moment to another; None where that one never came."""
    return None if later is None else later - earlier


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
