"""One inference request, as the ledger keeps it.

What a row is made of comes from clients and nodes, so a row makes itself storable when it is built: text of bounded
length without what a database refuses, numbers that a column can hold. A row that exists can be written.
"""

from __future__ import annotations

import math

import attrs

from ollamamax.store.text import storable_text

GOOD = ("success", "length")
CALLERS = ("client_error", "client_disconnected")
ERRORS = ("unavailable", "timeout", "node_error", "stream_error", "incomplete", "interrupted")
OUTCOMES = (*GOOD, *CALLERS, *ERRORS)
"""How a request may end: as it should, by its caller's doing, or by ours."""

_INTEGER_LIMIT = 2**63


def _optional_text(value: str | None) -> str | None:
    return None if value is None else storable_text(value)


def _integer(value: int | None) -> int | None:
    return value if value is None or -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else None


def _number(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


@attrs.frozen(kw_only=True)
class LedgerRow:
    """A request's row; `started` while `finished_at` is None, final afterwards.

    Attributes:
        id: the request's own id, which is its `X-Request-Id`.
        client_request_id: the id that a trusted client gave it.
        started_at: when it was sent to a node (or rejected), in unix seconds, UTC.
        finished_at: when it was over, likewise.
        outcome: the verdict, one of the values that the metrics use.
        status: the HTTP status that the client got.
        error_code: the code of the error that the client got.
        operation: chat, generate, embed…
        endpoint: the route's pattern.
        node: the name of the node that served it last.
        model: the model's normalised name.
        requested_model: the model as the client spelt it.
        input_tokens: tokens of the prompt.
        output_tokens: tokens generated.
        cached_tokens: the part of the input that the node had in its cache.
        attempts: how often it was sent to a node.
        client_address: the client's address, as far as the settings want it kept.
        key_id: the key that it came with.
        owner: whom that key belongs to.
        end_user: the user whom the client named.
        queue_seconds: in the gateway's queue.
        slot_wait_seconds: at the node, before its work began.
        load_seconds: loading the model.
        prompt_seconds: evaluating the prompt.
        output_seconds: generating.
        first_token_seconds: from the request's last byte to the first content for the client.
        duration_seconds: all of it, as the gateway saw it.
        node_seconds: for how long the node that served it last had it; None where no node got it.
        instance: the process that took the request; None until the ledger writes the row.
    """

    id: str = attrs.field(converter=storable_text)
    client_request_id: str | None = attrs.field(default=None, converter=_optional_text)
    started_at: float
    finished_at: float | None = None
    outcome: str | None = attrs.field(default=None, converter=_optional_text)
    status: int | None = None
    error_code: str | None = attrs.field(default=None, converter=_optional_text)
    operation: str | None = attrs.field(default=None, converter=_optional_text)
    endpoint: str = attrs.field(converter=storable_text)
    node: str | None = attrs.field(default=None, converter=_optional_text)
    model: str | None = attrs.field(default=None, converter=_optional_text)
    requested_model: str | None = attrs.field(default=None, converter=_optional_text)
    input_tokens: int | None = attrs.field(default=None, converter=_integer)
    output_tokens: int | None = attrs.field(default=None, converter=_integer)
    cached_tokens: int | None = attrs.field(default=None, converter=_integer)
    attempts: int = 0
    client_address: str | None = attrs.field(default=None, converter=_optional_text)
    key_id: str | None = attrs.field(default=None, converter=_optional_text)
    owner: str | None = attrs.field(default=None, converter=_optional_text)
    end_user: str | None = attrs.field(default=None, converter=_optional_text)
    queue_seconds: float | None = attrs.field(default=None, converter=_number)
    slot_wait_seconds: float | None = attrs.field(default=None, converter=_number)
    load_seconds: float | None = attrs.field(default=None, converter=_number)
    prompt_seconds: float | None = attrs.field(default=None, converter=_number)
    output_seconds: float | None = attrs.field(default=None, converter=_number)
    first_token_seconds: float | None = attrs.field(default=None, converter=_number)
    duration_seconds: float | None = attrs.field(default=None, converter=_number)
    node_seconds: float | None = attrs.field(default=None, converter=_number)
    instance: str | None = attrs.field(default=None, converter=_optional_text)

    @property
    def is_final(self) -> bool:
        """Whether the request is over."""
        return self.finished_at is not None
