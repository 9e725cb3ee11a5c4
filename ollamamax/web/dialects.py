"""A failure in the words of the API that was called.

The one place that turns a `GatewayError` into a response. Shapes as Ollama's own servers answer: its native API, and
the ones that are compatible with OpenAI's and Anthropic's, whose answers but for a 400 name no charset and end a line;
`/api/v1` has a shape of its own.
"""

from __future__ import annotations

from enum import Enum
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.web.server import Request

from ollamamax.errors import GatewayError, RequestRejected
from ollamamax.web.answers import JSON, PLAIN_JSON, respond

RETRY_AFTER_SECONDS = 1

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class Dialect(Enum):
    """The APIs that are spoken here."""

    NATIVE = "native"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    CONTROL = "control"


_COMPATIBLE = frozenset({Dialect.OPENAI, Dialect.ANTHROPIC})


def dialect_of(path: bytes) -> Dialect:
    """The API that a path belongs to, percent-encoded or not, whether or not it is a route."""
    path = unquote_to_bytes(path)
    if path == b"/api/v1" or path.startswith(b"/api/v1/"):
        return Dialect.CONTROL
    if path == b"/v1/messages" or path.startswith(b"/v1/messages/"):
        return Dialect.ANTHROPIC
    if path == b"/v1" or path.startswith(b"/v1/"):
        return Dialect.OPENAI
    if path in (b"/metrics", b"/metrics.json", b"/health", b"/ready"):
        return Dialect.CONTROL
    return Dialect.NATIVE


def encode(error: GatewayError, dialect: Dialect, request_id: str) -> bytes:
    """An error's JSON body."""
    message = error.public_message
    body: dict[str, object]
    if dialect is Dialect.CONTROL:
        body = {"error": {"code": error.code, "message": message, "request_id": request_id}}
    elif dialect is Dialect.ANTHROPIC:
        body = {
            "type": "error",
            "error": {"type": _anthropic_type(error), "message": message},
            "request_id": request_id,
        }
    elif dialect is Dialect.OPENAI:
        # What the client did has no code at Ollama; what only a gateway can say has.
        code = None if isinstance(error, RequestRejected) else error.code
        body = {"error": {"message": message, "type": _openai_type(error), "param": None, "code": code}}
    else:
        body = {"error": message}
    return msgspec.json.encode(body)


def answer(request: Request, error: GatewayError, dialect: Dialect, request_id: str) -> bytes:
    """Sets status and headers of an error's answer and gives its body back, for Klein to write."""
    for name, value in error.headers():
        request.setHeader(name, value)
    if error.retriable is not None:
        request.setHeader(b"X-Should-Retry", b"true" if error.retriable else b"false")
    if error.retriable:
        request.setHeader(b"Retry-After", b"%d" % RETRY_AFTER_SECONDS)
    body = encode(error, dialect, request_id)
    if dialect in _COMPATIBLE and error.status != 400:
        return respond(request, body + b"\n", status=error.status, content_type=PLAIN_JSON)
    return respond(request, body, status=error.status, content_type=JSON)


def _openai_type(error: GatewayError) -> str:
    if error.status == 404:
        return "not_found_error"
    return "invalid_request_error" if error.status < 500 else "api_error"


def _anthropic_type(error: GatewayError) -> str:
    return _ANTHROPIC_TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
