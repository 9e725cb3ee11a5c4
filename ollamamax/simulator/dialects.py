"""A failure in the words of the API that was called (`openai/openai.go`, `anthropic/anthropic.go`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .failures import ApiFailure
from .frames import line, to_json
from .words import BARE_JSON, JSON, made_up_hexadecimal

Dialect = Literal["native", "openai", "anthropic"]

_OPENAI_TYPES: Mapping[int, str] = {400: "invalid_request_error", 404: "not_found_error"}
_ANTHROPIC_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_OTHER_TYPE = "api_error"


def openai_error(failure: ApiFailure) -> dict[str, object]:
    """The document of OpenAI's API."""
    kind = _OPENAI_TYPES.get(failure.status, _OTHER_TYPE)
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": None}}


def anthropic_error(failure: ApiFailure, identity: str = "") -> dict[str, object]:
    """The document of Anthropic's API; with an identity it names the request."""
    kind = _ANTHROPIC_TYPES.get(failure.status, _OTHER_TYPE)
    document: dict[str, object] = {"type": "error", "error": {"type": kind, "message": failure.message}}
    return {**document, "request_id": f"req_{made_up_hexadecimal(identity)}"} if identity else document


def failure_body(failure: ApiFailure, dialect: Dialect, identity: str = "") -> tuple[bytes, bytes]:
    """A failure's body and its media type.

    What the native route found is translated back by an encoder, which ends it with a newline and sets no charset.
    """
    if dialect == "native" or failure.layer == "proxy":
        return to_json(failure.document()), JSON if failure.style == "whole" else BARE_JSON
    document = openai_error(failure) if dialect == "openai" else anthropic_error(failure, identity)
    return (to_json(document), JSON) if failure.layer == "dialect" else (line(document), BARE_JSON)
