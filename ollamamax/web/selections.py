"""What the two routes that read the ledger are asked for, as a query says it."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import msgspec

from ollamamax.errors import RequestRejected
from ollamamax.metrics.catalogue import OPERATIONS
from ollamamax.names import normalized
from ollamamax.store import queries, usage
from ollamamax.store.ledger_row import OUTCOMES
from ollamamax.store.queries import Order, Position, Selection
from ollamamax.store.text import storable_text
from ollamamax.store.usage import DIMENSIONS, UsageQuery
from ollamamax.web.parameters import Parameters, prefers_csv, status_range

ORDERS: tuple[Order, ...] = ("started", "finished")
DEFAULT_BY = ("day", "model")
DEFAULT_USAGE_SECONDS = 30 * 86400.0

_CHOICES = {"outcome": OUTCOMES, "operation": OPERATIONS}
_PAGE = ("limit", "offset", "cursor")
_CURSOR = msgspec.json.Decoder(tuple[Literal["started", "finished"], float, str])


def selection_of(given: Mapping[bytes, Sequence[bytes]], now: float) -> Selection:
    """Which rows are asked for.

    Args:
        given: the query's parameters.
        now: the present moment in unix seconds.

    Raises:
        RequestRejected: a parameter is unknown, or its value not what it should be.
    """
    parameters = Parameters(given)
    parameters.allow(*queries.FILTERS, "status", "since", "until", "finished", "finished_since", "order", *_PAGE)
    since, until = _times(parameters, now)
    finished = parameters.choice("finished", ("true", "false"))
    order = cast("Order", parameters.choice("order", ORDERS) or "started")
    return Selection(
        among=_among(parameters, queries.FILTERS),
        statuses=tuple(_status(text) for text in parameters.texts("status")),
        since=since,
        until=until,
        finished_since=parameters.moment("finished_since", now),
        finished=None if finished is None else finished == "true",
        order=order,
        after=_position(parameters, order),
    )


def usage_query_of(given: Mapping[bytes, Sequence[bytes]], now: float) -> UsageQuery:
    """Of what usage is asked for; arguments and errors as for `selection_of`."""
    parameters = Parameters(given)
    parameters.allow("by", *usage.FILTERS, "since", "until", "format")
    since, until = _times(parameters, now)
    by = parameters.listed("by", DIMENSIONS)
    start = max(0.0, (now if until is None else until) - DEFAULT_USAGE_SECONDS) if since is None else since
    return UsageQuery(
        by=DEFAULT_BY if by is None else by, among=_among(parameters, usage.FILTERS), since=start, until=until
    )


def format_of(given: Mapping[bytes, Sequence[bytes]], accept: str) -> str:
    """`json` or `csv`: the parameter's word counts, else the `Accept` header's; errors as for `selection_of`."""
    named = Parameters(given).choice("format", ("json", "csv"))
    return named or ("csv" if prefers_csv(accept) else "json")


def cursor_of(selection: Selection, position: Position) -> str:
    """What leads to the rows behind a place, as a client gives it back."""
    return (
        base64.urlsafe_b64encode(msgspec.json.encode((selection.order, position.at, position.id))).decode().rstrip("=")
    )


def _among(parameters: Parameters, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    found = {
        name: parameters.choices(name, _CHOICES[name])
        if name in _CHOICES
        else parameters.texts(name, _model if name == "model" else storable_text)
        for name in names
    }
    return {name: values for name, values in found.items() if values}


def _model(text: str) -> str:
    return storable_text(normalized(text))


def _times(parameters: Parameters, now: float) -> tuple[float | None, float | None]:
    since, until = parameters.moment("since", now), parameters.moment("until", now)
    if since is not None and until is not None and since >= until:
        raise RequestRejected("until: expected a time after since")
    return since, until


def _status(text: str) -> tuple[int, int]:
    found = status_range(text)
    if found is None:
        raise RequestRejected("status: expected a status as 404, or a class of them as 5xx")
    return found


def _position(parameters: Parameters, order: Order) -> Position | None:
    texts = parameters.texts("cursor")
    if not texts:
        return None
    if parameters.given.get(b"offset"):
        raise RequestRejected("offset: expected none beside a cursor")
    try:
        padded = texts[-1] + "=" * (-len(texts[-1]) % 4)
        of_order, at, identifier = _CURSOR.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        of_order, at, identifier = order, math.nan, ""
    if not math.isfinite(at) or of_order != order:
        raise RequestRejected("cursor: expected pagination.next of an answer in the same order")
    return Position(at, storable_text(identifier))
