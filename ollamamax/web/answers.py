"""Whole answers: a body with its length, JSON, timestamps, pages of lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from twisted.web.server import Request

from ollamamax.errors import RequestRejected

JSON = b"application/json; charset=utf-8"
PLAIN_JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

_T = TypeVar("_T")


def respond(request: Request, body: bytes, *, status: int = 200, content_type: bytes = JSON) -> bytes:
    """Sets status, type and length of an answer and gives its body back, for Klein to write."""
    request.setResponseCode(status)
    if body:
        request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def respond_json(request: Request, value: object, *, status: int = 200) -> bytes:
    """Answers with a value as JSON."""
    return respond(request, msgspec.json.encode(value), status=status)


def rfc3339(seconds: float | None) -> str | None:
    """A Unix time as RFC 3339 text in UTC with milliseconds; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page(request: Request) -> tuple[int, int]:
    """The `limit` and `offset` that a list was asked with.

    Raises:
        RequestRejected: one of them is no integer within its bounds; the text names it.
    """
    return _integer(request, b"limit", DEFAULT_LIMIT, 1, MAX_LIMIT), _integer(request, b"offset", 0, 0, 2**53)


def listing(name: str, items: Sequence[_T], limit: int, offset: int, total: int) -> Mapping[str, object]:
    """One page of a list, as every list of `/api/v1` answers."""
    return {name: items, "pagination": {"limit": limit, "offset": offset, "count": len(items), "total": total}}


def _integer(request: Request, name: bytes, default: int, low: int, high: int) -> int:
    values = (request.args or {}).get(name)
    if not values:
        return default
    text = values[-1]
    if not (text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
        raise RequestRejected(f"{name.decode('ascii')}: expected an integer from {low} to {high}")
    return int(text)
