"""What a stream of `/v1/responses` meant.

Facts of the wire (Ollama's `openai/responses.go`, OpenAI's reference): named events whose data repeat the name as
`type` and are numbered from 0; the last one is `response.completed`, `response.incomplete` or `response.failed`, with
the whole response and its usage in it. A generation that fails on its way ends without any of these, or in an `error`.
"""

from __future__ import annotations

import msgspec

from ollamamax.relay.events import fields
from ollamamax.relay.raw_json import ABSENT, is_empty, read
from ollamamax.relay.usage import NO_USAGE, token_usage
from ollamamax.relay.verdict import Verdict

_DELTAS = (
    b"event: response.output_text.delta\ndata: ",
    b"event: response.reasoning_summary_text.delta\ndata: ",
)
_BLANK_LINES = (b"\n\n", b"\n\r\n")
_TERMINALS = frozenset({b"response.completed", b"response.incomplete", b"response.failed"})
_MAX_DIGITS = 12


class _Event(msgspec.Struct):
    type: str = ""
    delta: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class ResponseObject(msgspec.Struct):
    """A response, in its last event or as a whole answer."""

    status: msgspec.Raw = ABSENT
    incomplete_details: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT


class _Numbered(msgspec.Struct):
    sequence_number: msgspec.Raw = ABSENT


class _Item(msgspec.Struct):
    type: str = ""


class _Reason(msgspec.Struct):
    reason: str = ""


_read_event = msgspec.json.Decoder(_Event).decode
_read_response = msgspec.json.Decoder(ResponseObject).decode
_read_number = msgspec.json.Decoder(_Numbered).decode
_read_item = msgspec.json.Decoder(_Item).decode
_read_reason = msgspec.json.Decoder(_Reason).decode


class ResponsesVerdict:
    """Judges a stream of a response, event by event."""

    def __init__(self) -> None:
        self._first_token_at: float | None = None
        self._last_content_at: float | None = None
        self._usage = NO_USAGE
        self._length = False
        self._done = False
        self._error = False
        self._count = 0
        self._last = b""

    def feed(self, event: bytes, now: float) -> None:
        """Takes an event, with its blank line, that went to the client at `now`, in seconds of the clock."""
        # Certainly nothing but more text: no line but these two, and no member that is an error.
        if (
            self._first_token_at is not None
            and event.startswith(_DELTAS)
            and event.count(b"\n") == 3
            and b'"error"' not in event
        ):
            self._count += 1
            self._last = event
            self._last_content_at = now
            return
        name, data = fields(event)
        if data:
            self._count += 1
            self._last = event
            self._read(name, data, now, whole=event.endswith(_BLANK_LINES))

    def verdict(self) -> Verdict:
        """Judges what was fed so far."""
        if self._error:
            outcome = "stream_error"
        elif not self._done:
            outcome = "incomplete"
        else:
            outcome = "length" if self._length else "success"
        return Verdict(
            outcome=outcome,
            usage=self._usage,
            done=self._done,
            error=self._error,
            first_token_at=self._first_token_at,
            next_number=self._next_number(),
            last_content_at=self._last_content_at,
        )

    def _read(self, name: bytes, data: bytes, now: float, *, whole: bool) -> None:
        event = read(_read_event, data)
        if event is None:
            # Too long to be read: its name still tells whether it is the last one. Cut off, it is none.
            if whole:
                self._ended(name)
            return
        kind = event.type.encode() or name
        self._ended(kind)
        if kind == b"error" or not is_empty(event.error):
            self._error = True
        if kind in _TERMINALS:
            response = read(_read_response, event.response) or ResponseObject()
            self._usage = token_usage(response.usage)
            self._length = is_cut_by_length(response)
        elif _has_content(kind, event):
            self._last_content_at = now
            if self._first_token_at is None:
                self._first_token_at = now

    def _ended(self, kind: bytes) -> None:
        if kind in _TERMINALS:
            self._done = True
            self._error = self._error or kind == b"response.failed"

    def _next_number(self) -> int:
        numbered = read(_read_number, fields(self._last)[1])
        digits = b"" if numbered is None else bytes(numbered.sequence_number)
        return int(digits) + 1 if digits.isdigit() and len(digits) <= _MAX_DIGITS else self._count


def is_cut_by_length(response: ResponseObject) -> bool:
    """Whether a response ended where its tokens were used up."""
    details = read(_read_reason, response.incomplete_details)
    return details is not None and details.reason == "max_output_tokens"


def _has_content(kind: bytes, event: _Event) -> bool:
    if kind.endswith(b".delta"):
        return not is_empty(event.delta)
    if kind != b"response.output_item.added":
        return False
    item = read(_read_item, event.item)
    return item is not None and item.type.endswith("_call")
