"""What a stream of `/v1/chat/completions` or `/v1/completions` meant.

Facts of the wire (Ollama's `middleware/openai.go`): events of `data:` alone. The last one with a choice has its
`finish_reason`, then comes the usage, if it was asked for, then `[DONE]`. A generation that fails on its way ends
without these.
"""

from __future__ import annotations

import msgspec

from ollamamax.relay.events import fields
from ollamamax.relay.raw_json import ABSENT, is_empty, read
from ollamamax.relay.usage import NO_USAGE, Usage, token_usage
from ollamamax.relay.verdict import Verdict

_CHAT_GOES_ON = b'"finish_reason":null}]}\n\n'
_NOTHING_USED = b'"usage":{"prompt_tokens":0,"completion_tokens":0,'


class _Chunk(msgspec.Struct):
    choices: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class Choice(msgspec.Struct):
    """One of an answer's choices, of a stream or whole."""

    finish_reason: msgspec.Raw = ABSENT
    delta: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT


class _Delta(msgspec.Struct):
    content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT


_read_chunk = msgspec.json.Decoder(_Chunk).decode
_read_choices = msgspec.json.Decoder(list[Choice]).decode
_read_delta = msgspec.json.Decoder(_Delta).decode


class CompletionsVerdict:
    """Judges a stream of completions, event by event."""

    def __init__(self) -> None:
        self._first_token_at: float | None = None
        self._last_content_at: float | None = None
        self._reason = b""
        self._usage = NO_USAGE
        self._done = False
        self._error = False

    def feed(self, event: bytes, now: float) -> None:
        """Takes an event, with its blank line, that went to the client at `now`, in seconds of the clock."""
        if self._first_token_at is None or not _is_more_text(event):
            self._read(fields(event)[1], now)
        else:
            self._last_content_at = now

    def verdict(self) -> Verdict:
        """Judges what was fed so far."""
        loaded = is_load(self._reason)
        return Verdict(
            outcome=outcome_of_reason(self._reason, done=self._done, error=self._error),
            usage=NO_USAGE if loaded else self._usage,
            loaded=loaded,
            done=self._done,
            error=self._error,
            first_token_at=self._first_token_at,
            last_content_at=self._last_content_at,
        )

    def _read(self, data: bytes, now: float) -> None:
        if data.strip() == b"[DONE]":
            self._done = True
            return
        chunk = read(_read_chunk, data)
        if chunk is None:
            return
        self._error = self._error or not is_empty(chunk.error)
        choices = choices_of(chunk.choices)
        for choice in choices:
            goes_on = is_empty(choice.finish_reason)
            if not goes_on:
                self._reason = bytes(choice.finish_reason)
            # Once there is text, whatever goes on is more of it, here as where it is not read.
            if (goes_on and self._first_token_at is not None) or _has_content(choice):
                self._last_content_at = now
                if self._first_token_at is None:
                    self._first_token_at = now
        usage = token_usage(chunk.usage)
        # Beside text stand zeros that only keep the place of the usage to come.
        if usage != NO_USAGE and not (choices and _is_zero(usage)):
            self._usage = usage


def _is_more_text(event: bytes) -> bool:
    """Whether an event has certainly nothing in it but more text.

    Without a backslash no string has a quote in it, so that what is looked for are members.
    """
    if b"\\" in event or b'"error"' in event:
        return False
    return event.endswith(_CHAT_GOES_ON) or (
        b'"finish_reason":null' in event
        and b'"finish_reason":"' not in event
        and (b'"usage"' not in event or _NOTHING_USED in event)
    )


def choices_of(member: msgspec.Raw) -> list[Choice]:
    """An answer's choices; none where there is nothing to be read."""
    return read(_read_choices, member) or []


def outcome_of_reason(reason: bytes, *, done: bool, error: bool) -> str:
    """The outcome of an answer of which a `finish_reason` is known, as JSON."""
    if error:
        return "stream_error"
    if not done:
        return "incomplete"
    return "length" if reason == b'"length"' else "success"


def is_load(reason: bytes) -> bool:
    """Whether a `finish_reason`, as JSON, says that a model was only loaded or unloaded: an empty prompt does that."""
    return reason in (b'"load"', b'"unload"')


def _is_zero(usage: Usage) -> bool:
    return not (usage.input_tokens or usage.output_tokens)


def _has_content(choice: Choice) -> bool:
    if not is_empty(choice.text):
        return True
    delta = read(_read_delta, choice.delta)
    return delta is not None and not (
        is_empty(delta.content)
        and is_empty(delta.reasoning)
        and is_empty(delta.reasoning_content)
        and is_empty(delta.tool_calls)
    )
