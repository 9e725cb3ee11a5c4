"""What a client's own eyes see in the bytes of an answer: with nothing but `json`, and none of the server's code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

NATIVE = ("chat", "generate", "embed", "embeddings")


@attrs.define
class Reading:
    """What a body says.

    Attributes:
        text: of the answer and of the thoughts.
        calls: whether a tool is called.
        done: whether its end is there.
        reason: why the text ended, where that is told: `stop`, `length`, `load`…
        usage: input and output tokens, where they are told.
        error: whether an error is told.
        code: the error's code, where it has one.
        final: the last line of Ollama's own API.
        first_end: how many bytes the body had when the first text, thought or call was complete.
    """

    text: str = ""
    calls: bool = False
    done: bool = False
    reason: str | None = None
    usage: tuple[int | None, int | None] | None = None
    error: bool = False
    code: str | None = None
    final: dict[str, Any] | None = None
    first_end: int | None = None

    @property
    def words(self) -> int:
        """How many words the text has; a simulated token is a word."""
        return len(self.text.split())

    def says(self, text: str, end: int, *, calls: bool = False) -> None:
        """A piece of the answer ends here."""
        self.text += text
        self.calls = self.calls or calls
        if self.first_end is None and (text or calls):
            self.first_end = end

    def fails(self, error: object) -> None:
        """An error is told."""
        self.error = True
        code = error.get("code") if isinstance(error, dict) else None
        self.code = code if isinstance(code, str) else None


def read(dialect: str, body: bytes, *, stream: bool) -> Reading:
    """Reads an answer.

    Args:
        dialect: a key of `asks.WAYS`.
        body: what came of it.
        stream: whether it is a stream.
    """
    reading = Reading()
    if not stream:
        document = _document(body)
        if document is not None:
            _whole(dialect, document, reading, len(body))
    elif dialect in NATIVE:
        # An answer to a request for a stream may be one object that no line feed ends.
        for line, end in _split(body + b"\n", b"\n"):
            document = _document(line)
            if document is not None:
                _native(document, reading, end)
    else:
        one = {"v1_chat": _completion, "v1_completions": _completion, "responses": _response, "messages": _message}
        for event, end in _split(body, b"\n\n"):
            data = b"".join(line[6:] for line in event.split(b"\n") if line.startswith(b"data: "))
            if data == b"[DONE]":
                reading.done = True
            document = _document(data)
            if document is not None:
                one[dialect](document, reading, end)
    return reading


def _split(body: bytes, separator: bytes) -> Iterator[tuple[bytes, int]]:
    """Pieces and where each ends; what no separator ends is none."""
    start = 0
    while (found := body.find(separator, start)) >= 0:
        yield body[start:found], found + len(separator)
        start = found + len(separator)


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _native(line: dict[str, Any], reading: Reading, end: int) -> None:
    if line.get("error"):
        reading.fails(line["error"])
    message = line.get("message") or {}
    told = [line.get("response"), line.get("thinking"), message.get("thinking"), message.get("content")]
    reading.says("".join(text or "" for text in told), end, calls=bool(message.get("tool_calls")))
    if line.get("done"):
        reading.done, reading.reason, reading.final = True, line.get("done_reason"), line
        if "eval_count" in line or "prompt_eval_count" in line:
            reading.usage = (line.get("prompt_eval_count", 0), line.get("eval_count", 0))


def _completion(event: dict[str, Any], reading: Reading, end: int) -> None:
    if event.get("error"):
        reading.fails(event["error"])
    for choice in event.get("choices", ()):
        part = choice.get("delta") or choice.get("message") or {}
        told = [choice.get("text"), part.get("reasoning"), part.get("content")]
        reading.says("".join(text or "" for text in told), end, calls=bool(part.get("tool_calls")))
        reading.reason = choice.get("finish_reason") or reading.reason
    if event.get("usage") and not event.get("choices"):
        reading.usage = _usage(event["usage"])


def _response(event: dict[str, Any], reading: Reading, end: int) -> None:
    kind = event.get("type", "")
    if kind.endswith("_text.delta"):
        reading.says(event["delta"], end)
    if kind == "response.output_item.added" and event["item"]["type"] == "function_call":
        reading.says("", end, calls=True)
    if kind == "response.completed":
        reading.done, reading.usage = True, _usage(event["response"]["usage"])
    if kind in ("response.failed", "error"):
        reading.fails(event.get("error") or {})


def _message(event: dict[str, Any], reading: Reading, end: int) -> None:
    kind = event.get("type", "")
    if kind == "content_block_delta":
        reading.says(event["delta"].get("text", "") + event["delta"].get("thinking", ""), end)
    if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
        reading.says("", end, calls=True)
    if kind == "message_delta":
        reading.reason, reading.usage = event["delta"]["stop_reason"], _usage(event["usage"])
    reading.done = reading.done or kind == "message_stop"
    if kind == "error":
        reading.fails(event["error"])


def _whole(dialect: str, document: dict[str, Any], reading: Reading, end: int) -> None:
    """An answer that is one object; there is no first token to be seen in it."""
    if document.get("error"):
        reading.fails(document["error"])
        return
    if dialect in NATIVE:
        _native(document, reading, end)
    elif dialect in ("v1_chat", "v1_completions"):
        _completion(document, reading, end)
        reading.usage = _usage(document["usage"])
    elif dialect == "responses":
        for item in document["output"]:
            parts = [*item.get("content", ()), *item.get("summary", ())]
            reading.says(" ".join(part["text"] for part in parts) + " ", end, calls=item["type"] == "function_call")
        reading.usage = _usage(document["usage"])
    elif dialect == "messages":
        for block in document["content"]:
            reading.says(block.get("text", "") + " " + block.get("thinking", "") + " ", end)
            reading.calls = reading.calls or block["type"] == "tool_use"
        reading.reason, reading.usage = document["stop_reason"], _usage(document["usage"])
    elif dialect == "v1_embeddings":
        reading.usage = (document["usage"]["prompt_tokens"], None)
    elif dialect == "transcriptions":
        reading.text = document["text"]
    reading.done = True
    reading.first_end = None


def _usage(told: dict[str, Any]) -> tuple[int | None, int | None]:
    if "prompt_tokens" in told:
        return told["prompt_tokens"], told.get("completion_tokens")
    return told["input_tokens"], told["output_tokens"]
