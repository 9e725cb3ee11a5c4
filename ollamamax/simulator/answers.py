"""Answers as Go's HTTP server and gin write them: media types, lengths and chunks."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.server import Request

from .dialects import Dialect, failure_body
from .failures import ApiFailure
from .frames import line, to_json
from .words import JSON, NDJSON

BUFFER_BYTES = 2048
"""A whole body up to this size gets a Content-Length, a larger one is chunked (`bufferBeforeChunkingSize`)."""


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


def answer_failure(request: Request, failure: ApiFailure, dialect: Dialect = "native", identity: str = "") -> None:
    """Write a failure in the words and the framing that it has in Ollama.

    Args:
        request: the request that is answered.
        failure: what there is to say.
        dialect: the API that was called.
        identity: what a request's made-up name depends on.
    """
    body, media_type = failure_body(failure, dialect, identity)
    if failure.style != "chunked":
        answer(request, body, media_type, failure.status)
        return
    request.setResponseCode(failure.status)
    request.setHeader(b"Content-Type", media_type)
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
        self._request.write(line(event))
