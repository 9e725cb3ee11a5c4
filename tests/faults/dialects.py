"""The APIs in which a fault can reach a client: a request, a good answer in its parts, and how a failure is told.

Requests and answers are recorded ones wherever there is a recording.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from functools import cache
from typing import Any, Literal

import attrs
from faults.steps import Close, Script, Send, chunks, head, json_head, last_chunk, reads, script
from fidelity import Recorded, recordings
from real.wire import request

Api = Literal["native", "openai", "responses", "anthropic"]
Framing = Literal["own", "chunked", "length", "close"]
"""How an answer's body is framed: as Ollama does it, or otherwise; `close` ends it where the connection ends."""

_BOUNDARY = "faults-boundary"
_PIECES = 3


class Shape(Enum):
    """How an answer is made up.

    Attributes:
        NDJSON: a stream of lines.
        SSE: a stream of events.
        WHOLE: one body, which says nothing until it is all there.
    """

    NDJSON = "ndjson"
    SSE = "sse"
    WHOLE = "whole"


@attrs.frozen
class Dialect:
    """One way of asking for an inference.

    Attributes:
        name: of the tests.
        path: of the route.
        api: whose errors it speaks.
        shape: of its answers.
        parts: a good answer: its events, or a whole body in three pieces.
        terminal: what only a complete stream has in it.
        body: the request's JSON but for its model; None where it is a form.
        in_band: an error as Ollama itself tells it in the middle of a stream; empty where it has no words for it.
    """

    name: str
    path: str
    api: Api
    shape: Shape
    parts: tuple[bytes, ...] = attrs.field(repr=False)
    terminal: bytes = b""
    body: dict[str, Any] | None = attrs.field(default=None, repr=False)
    in_band: bytes = b""

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        return self.shape is not Shape.WHOLE

    @property
    def good(self) -> bytes:
        """The body of a good answer."""
        return b"".join(self.parts)

    def request(
        self, model: str, request_id: str, *, body: bytes | None = None, content_type: str | None = None
    ) -> bytes:
        """The request for a model, as bytes.

        Args:
            model: as the client spells it.
            request_id: the client's own.
            body: what is sent instead.
            content_type: what is said of it instead.
        """
        own_type = "application/json"
        data = body
        if data is None and self.body is None:
            data = form(("model", model), ("file", "RIFFdata"))
        elif data is None:
            data = json.dumps({**(self.body or {}), "model": model}).encode()
        if self.body is None:
            own_type = f"multipart/form-data; boundary={_BOUNDARY}"
        headers = [("Content-Type", content_type or own_type), ("X-Request-Id", request_id)]
        return request("POST", self.path, data, headers=headers, host="localhost")

    # What a node answers.

    def head(self, framing: Framing = "own", *, kept: bool = False) -> Send:
        """The head of an answer.

        Args:
            framing: of its body.
            kept: whether the connection may carry another request.
        """
        kinds = {Shape.NDJSON: b"application/x-ndjson", Shape.SSE: b"text/event-stream"}
        content_type = b"Content-Type: " + kinds.get(self.shape, b"application/json")
        if framing == "close":
            return head(content_type)
        if framing == "length" or (framing == "own" and not self.streams):
            return head(content_type, b"Content-Length: %d" % len(self.good), kept=kept)
        return head(content_type, b"Transfer-Encoding: chunked", kept=kept)

    def begun(self, count: int, framing: Framing = "own", *, kept: bool = False) -> Script:
        """A good answer up to so many of its parts; the request was read whole."""
        parts = self.parts[:count]
        chunked = framing == "chunked" or (framing == "own" and self.streams)
        return reads(self.head(framing, kept=kept), chunks(*parts) if chunked else tuple(map(Send, parts)))

    def answered(self, framing: Framing = "own", *, kept: bool = False) -> Script:
        """A good answer."""
        chunked = framing == "chunked" or (framing == "own" and self.streams)
        end = [last_chunk()] if chunked else [Close()] if framing == "close" else []
        return script(self.begun(len(self.parts), framing, kept=kept), *end)

    def event(self, text: bytes) -> bytes:
        """A text as an event of a stream."""
        return text + b"\n" if self.shape is Shape.NDJSON else b"data: " + text + b"\n\n"

    def error(self, status: bytes, message: str, *lines: bytes) -> Script:
        """An error of the node's own, before the answer began."""
        data = json.dumps(self.error_document(message)).encode()
        return reads(json_head(len(data), *lines, status=status), Send(data))

    def error_document(self, message: str) -> dict[str, Any]:
        """An error as Ollama tells it."""
        if self.api == "native":
            return {"error": message}
        if self.api == "anthropic":
            return {"type": "error", "error": {"type": "api_error", "message": message}, "request_id": "req_1"}
        return {"error": {"message": message, "type": "api_error", "param": None, "code": None}}

    # What a client reads.

    def error_message(self, body: bytes) -> str:
        """The message of an error in its own body, which has to be in this API's shape."""
        document = json.loads(body)
        if self.api == "native":
            assert list(document) == ["error"], document
            return str(document["error"])
        if self.api == "anthropic":
            assert document["type"] == "error", document
            assert document["request_id"], document
            assert document["error"]["type"], document
        else:
            assert list(document) == ["error"], document
            assert set(document["error"]) == {"message", "type", "param", "code"}, document
        return str(document["error"]["message"])

    def frame_message(self, frame: bytes, events_before: int) -> str:
        """The message of an error frame in a stream, which has to be in this API's shape.

        Args:
            frame: all that came after the last good event.
            events_before: how many those were.
        """
        if self.api == "native":
            assert frame.endswith(b"\n"), frame
            assert frame.count(b"\n") == 1, frame
            return self.error_message(frame)
        text = frame.decode()
        assert text.endswith("\n\n"), text
        assert text.count("\n\n") == 1, text
        lines = text.rstrip("\n").split("\n")
        document = json.loads(lines[-1].removeprefix("data: "))
        message = str(document["error"]["message"])
        if self.api == "openai":
            assert len(lines) == 1, text
            return message
        assert lines[0] == "event: error", text
        assert len(lines) == 2, text
        assert document["type"] == "error", text
        if self.api == "anthropic":
            assert document["error"]["type"] == "api_error", text
        else:
            assert document["message"] == message, text
            assert document["code"], text
            assert document["sequence_number"] == events_before, text
        return message

    def __str__(self) -> str:
        return self.name


def form(*fields: tuple[str, str]) -> bytes:
    """A multipart body; the field `file` is one."""
    parts = []
    for name, value in fields:
        file = '; filename="speech.wav"\r\nContent-Type: audio/wav' if name == "file" else ""
        parts.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n')
    return "".join([*parts, f"--{_BOUNDARY}--\r\n"]).encode()


@cache
def _recorded() -> dict[str, Recorded]:
    return {each.name: each for each in recordings("0.33")}


def _dialect(recording: str, api: Api, shape: Shape, terminal: bytes = b"", in_band: bytes = b"") -> Dialect:
    """A dialect as it was recorded; the recording's name is its own."""
    recorded = _recorded()[recording]
    first, _, rest = recorded.request.partition(b"\r\n")
    body = json.loads(rest.partition(b"\r\n\r\n")[2])
    path = first.split(b" ")[1].decode()
    if shape is Shape.NDJSON:
        body["stream"] = True
    return Dialect(recording, path, api, shape, _parts(recorded.exchange.body, shape), terminal, body, in_band)


def _parts(body: bytes, shape: Shape) -> tuple[bytes, ...]:
    if shape is Shape.NDJSON:
        return tuple(body.splitlines(keepends=True))
    if shape is Shape.SSE:
        return tuple(event + b"\n\n" for event in body.split(b"\n\n")[:-1])
    size = len(body) // _PIECES
    return (body[:size], body[size : 2 * size], body[2 * size :])


_ERROR = "an error was encountered while running the model: unexpected EOF"
_NATIVE_ERROR = json.dumps({"error": _ERROR}).encode() + b"\n"
_OPENAI_ERROR = b'data: {"error":{"message":"%b","type":"api_error","param":null,"code":null}}\n\n' % _ERROR.encode()
_ANTHROPIC_ERROR = (
    b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"%b"}}\n\n' % _ERROR.encode()
)
_RESPONSES_ERROR = (
    b'event: error\ndata: {"type":"error","code":"server_error","message":"%b","param":null,"sequence_number":5}\n\n'
    % _ERROR.encode()
)
_DONE = b"data: [DONE]"

CHAT = _dialect("chat-stream", "native", Shape.NDJSON, b'"done":true', _NATIVE_ERROR)
CHAT_WHOLE = _dialect("chat-whole", "native", Shape.WHOLE)
NATIVE: Sequence[Dialect] = (
    CHAT,
    CHAT_WHOLE,
    _dialect("generate-stream", "native", Shape.NDJSON, b'"done":true', _NATIVE_ERROR),
    _dialect("generate-whole", "native", Shape.WHOLE),
    _dialect("embed-one", "native", Shape.WHOLE),
    _dialect("embeddings", "native", Shape.WHOLE),
)
V1: Sequence[Dialect] = (
    _dialect("v1-chat-stream-usage", "openai", Shape.SSE, _DONE, _OPENAI_ERROR),
    _dialect("v1-chat-whole", "openai", Shape.WHOLE),
    _dialect("v1-completions-stream-usage", "openai", Shape.SSE, _DONE, _OPENAI_ERROR),
    _dialect("v1-completions-whole", "openai", Shape.WHOLE),
    _dialect("v1-embeddings", "openai", Shape.WHOLE),
    _dialect("v1-responses-stream", "responses", Shape.SSE, b"response.completed", _RESPONSES_ERROR),
    _dialect("v1-responses-whole", "responses", Shape.WHOLE),
    _dialect("v1-messages-stream", "anthropic", Shape.SSE, b"message_stop", _ANTHROPIC_ERROR),
    _dialect("v1-messages-whole", "anthropic", Shape.WHOLE),
    Dialect(
        "v1-transcriptions-whole",
        "/v1/audio/transcriptions",
        "openai",
        Shape.WHOLE,
        _parts(b'{"text":"the river carries small stones over and the hill waits for the rain to pass"}', Shape.WHOLE),
    ),
)

SERVED: Sequence[Dialect] = (*NATIVE, *V1)
"""Every test of a fault goes through all of them that it can reach."""

IN_MEMORY = [dialect for dialect in SERVED if dialect.body is not None]
"""Those whose requests are read whole; a form streams on, so that it cannot be sent twice."""

STREAMS = [dialect for dialect in SERVED if dialect.streams]
WHOLES = [dialect for dialect in SERVED if not dialect.streams]
