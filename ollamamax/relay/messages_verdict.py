"""What a stream of `/v1/messages` meant.

Facts of the wire (Ollama's `anthropic/anthropic.go`, Anthropic's reference): named events whose data repeat the name as
`type`; `message_delta` has the reason of the end and the usage, `message_stop` is the last. A generation that fails on
its way ends without these, or in an `error`.
"""

from __future__ import annotations

import msgspec

from ollamamax.relay.events import fields
from ollamamax.relay.raw_json import ABSENT, is_empty, read
from ollamamax.relay.usage import NO_USAGE, token_usage
from ollamamax.relay.verdict import Verdict

_DELTA = b"event: content_block_delta\ndata: "


class _Event(msgspec.Struct):
    type: str = ""
    delta: msgspec.Raw = ABSENT
    content_block: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Content(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = ABSENT
    thinking: msgspec.Raw = ABSENT
    partial_json: msgspec.Raw = ABSENT
    stop_reason: msgspec.Raw = ABSENT


_read_event = msgspec.json.Decoder(_Event).decode
_read_content = msgspec.json.Decoder(_Content).decode


class MessagesVerdict:
    """Judges a stream of a message, event by event."""

    def __init__(self) -> None:
        self._first_token_at: float | None = None
        self._last_content_at: float | None = None
        self._usage = NO_USAGE
        self._reason = b""
        self._done = False
        self._error = False

    def feed(self, event: bytes, now: float) -> None:
        """Takes an event, with its blank line, that went to the client at `now`, in seconds of the clock."""
        # Certainly nothing but more text: no line but these two, and no member that is an error.
        if (
            self._first_token_at is None
            or not event.startswith(_DELTA)
            or event.count(b"\n") != 3
            or b'"error"' in event
        ):
            self._read(*fields(event), now)
        else:
            self._last_content_at = now

    def verdict(self) -> Verdict:
        """Judges what was fed so far."""
        if self._error:
            outcome = "stream_error"
        elif not self._done:
            outcome = "incomplete"
        else:
            outcome = outcome_of_stop(self._reason)
        return Verdict(
            outcome=outcome,
            usage=self._usage,
            done=self._done,
            error=self._error,
            first_token_at=self._first_token_at,
            last_content_at=self._last_content_at,
        )

    def _read(self, name: bytes, data: bytes, now: float) -> None:
        event = read(_read_event, data)
        if event is None:
            return
        kind = event.type.encode() or name
        if kind == b"error" or name == b"error" or not is_empty(event.error):
            self._error = True
        elif kind == b"message_stop":
            self._done = True
        elif kind == b"message_delta":
            self._usage = token_usage(event.usage)
            delta = read(_read_content, event.delta)
            self._reason = b"" if delta is None else bytes(delta.stop_reason)
        elif _has_content(event):
            self._last_content_at = now
            if self._first_token_at is None:
                self._first_token_at = now


def outcome_of_stop(reason: bytes) -> str:
    """The outcome of a whole message by its `stop_reason`, as JSON."""
    return "length" if reason == b'"max_tokens"' else "success"


def _has_content(event: _Event) -> bool:
    for member in (event.delta, event.content_block):
        content = read(_read_content, member)
        if content is not None and not (
            is_empty(content.text)
            and is_empty(content.thinking)
            and is_empty(content.partial_json)
            and not content.type.endswith("tool_use")
        ):
            return True
    return False
