"""Failures in the words of each API, and in the form of the layer that found them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ollamamax.simulator.dialects import anthropic_error, failure_body, openai_error
from ollamamax.simulator.failures import ApiFailure, model_absent, not_understood

CHARSET, BARE = b"application/json; charset=utf-8", b"application/json"


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "api_error", "authentication_error"),
        (403, "api_error", "permission_error"),
        (404, "not_found_error", "not_found_error"),
        (429, "api_error", "rate_limit_error"),
        (500, "api_error", "api_error"),
        (503, "api_error", "overloaded_error"),
        (529, "api_error", "overloaded_error"),
    ],
)
def test_kinds(status: int, openai: str, anthropic: str) -> None:
    """By status."""
    failure = ApiFailure(status, "words")
    assert openai_error(failure) == {"error": {"message": "words", "type": openai, "param": None, "code": None}}
    assert anthropic_error(failure) == {"type": "error", "error": {"type": anthropic, "message": "words"}}
    named: Any = anthropic_error(failure, "7")
    assert (list(named), len(named["request_id"])) == (["type", "error", "request_id"], len("req_") + 24)


def test_forms() -> None:
    """The native form for the native API and the proxy; a charset for a dialect's own checks, else a newline."""
    proxy = ApiFailure(403, "no", extra={"more": "x"}, layer="proxy")
    for dialect in ("native", "openai", "anthropic"):
        assert failure_body(proxy, dialect) == (b'{"error":"no","more":"x"}', CHARSET)
    assert failure_body(model_absent("x"), "native") == (b'{"error":"model \'x\' not found"}', CHARSET)
    assert failure_body(ApiFailure(400, "x", style="bare"), "native") == (b'{"error":"x"}', BARE)
    for dialect, told in (("openai", openai_error), ("anthropic", lambda failure: anthropic_error(failure, "7"))):
        body, media_type = failure_body(not_understood("<x>"), dialect, "7")  # type: ignore[arg-type]
        assert (json.loads(body), media_type, body[-1:]) == (told(not_understood("<x>")), CHARSET, b"}")
        assert b"\\u003cx\\u003e" in body
        body, media_type = failure_body(model_absent("x"), dialect, "7")  # type: ignore[arg-type]
        assert (json.loads(body), media_type, body[-2:]) == (told(model_absent("x")), BARE, b"}\n")
