"""Answers as Go's HTTP server and gin write them: media types, lengths and chunks."""

from __future__ import annotations

import json
from collections.abc import Mapping

from twisted.web.server import Request

from .failures import ApiFailure

BUFFER_BYTES = 2048
"""A whole body up to this size gets a Content-Length, a larger one is chunked (`bufferBeforeChunkingSize`)."""

JSON = b"application/json; charset=utf-8"
BARE_JSON = b"application/json"
NDJSON = b"application/x-ndjson"
PLAIN = b"text/plain"


def to_json(value: object) -> bytes:
    """A value as Go's `encoding/json` writes it: no spaces, HTML's characters escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        if character in text:
            text = text.replace(character, escaped)
    return text.encode("utf-8", "replace")


def answer(request: Request, body: bytes, media_type: bytes | None = None, status: int = 200) -> None:
    """Write a whole answer; the caller ends the request."""
    request.setResponseCode(status)
    if media_type is not None:
        request.setHeader(b"Content-Type", media_type)
    if len(body) <= BUFFER_BYTES:
        request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)


def answer_json(request: Request, value: object, *, media_type: bytes = JSON, status: int = 200) -> None:
    """Write a whole JSON answer."""
    answer(request, to_json(value), media_type, status)


def answer_failure(request: Request, failure: ApiFailure) -> None:
    """Write a failure in the framing that it has in Ollama."""
    body = to_json(failure.document())
    if failure.style != "chunked":
        answer(request, body, JSON if failure.style == "whole" else BARE_JSON, failure.status)
        return
    request.setResponseCode(failure.status)
    request.setHeader(b"Content-Type", BARE_JSON)
    request.write(body)


class NdjsonStream:
    """An answer of lines, each its own chunk; the head goes out with the first one.

    Args:
        request: the request that is answered.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.started = False

    def line(self, event: Mapping[str, object]) -> None:
        """Send one line."""
        if not self.started:
            self.started = True
            self._request.setHeader(b"Content-Type", NDJSON)
        self._request.write(to_json(event) + b"\n")
