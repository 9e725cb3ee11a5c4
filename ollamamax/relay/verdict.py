"""What an answer of Ollama's own API meant, read from its bytes on their way to the client.

Facts of the wire: a stream is NDJSON whose last line has `done: true` (`types.go`, `ChatResponse`, `GenerateResponse`);
an error inside of it is a line `{"error": …}` after which nothing follows. Nothing that a node may send raises an
exception here.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import msgspec

from ollamamax.relay.answers import Answer
from ollamamax.relay.framing import NdjsonLines
from ollamamax.relay.raw_json import ABSENT, is_empty, read
from ollamamax.relay.tail import BodyTail
from ollamamax.relay.usage import NO_USAGE, NativeAnswer, Usage, reported_usage

__all__ = ["NO_USAGE", "EventJudge", "Judge", "ManagementVerdict", "NativeVerdict", "Usage", "Verdict"]

_GENERATIONS = frozenset({Answer.CHAT, Answer.GENERATE})


@attrs.frozen
class Verdict:
    """What an answer with a 2xx status meant.

    Attributes:
        outcome: `success`, `length`, `stream_error` or `incomplete`.
        usage: what was reported.
        loaded: whether the answer says that a model was only loaded or unloaded.
        done: whether the terminal was seen.
        error: whether an in-band error was.
        mid_line: whether what the client has ends inside of a line, or of an event (streams only).
        cut: whether the bytes are no whole object (whole answers only).
        first_token_at: the `now` of the first content; None for whole answers and where there was none.
        next_number: the `sequence_number` of an event that would come next (Responses only).
        last_content_at: the `now` of the last content so far; of streams of events alone, as an answer of Ollama's own
            API tells by itself how long it was generated.
    """

    outcome: str
    usage: Usage = NO_USAGE
    loaded: bool = False
    done: bool = False
    error: bool = False
    mid_line: bool = False
    cut: bool = False
    first_token_at: float | None = None
    next_number: int = 0
    last_content_at: float | None = None


class EventJudge(Protocol):
    """Reads a stream of server-sent events on its way."""

    def feed(self, event: bytes, now: float) -> None:
        """Takes an event, with its blank line, that went to the client at `now`, in seconds of the clock."""

    def verdict(self) -> Verdict:
        """Judges what was fed so far."""


class Judge(Protocol):
    """Reads an answer on its way, wherever its bytes are cut."""

    def feed(self, data: bytes, now: float) -> None:
        """Takes bytes that went to the client at `now`, in seconds of the clock."""

    def finish(self, now: float) -> Verdict:
        """Judges what was fed; nothing is fed after it."""


class _Message(msgspec.Struct):
    content: msgspec.Raw = ABSENT
    thinking: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT


_read_answer = msgspec.json.Decoder(NativeAnswer).decode
_read_message = msgspec.json.Decoder(_Message).decode


class NativeVerdict:
    """Judges an answer of chat, generate, embed or embeddings."""

    def __init__(self, answer: Answer, streaming: bool) -> None:
        """Begins.

        Args:
            answer: `CHAT`, `GENERATE`, `EMBED` or `EMBEDDINGS`.
            streaming: whether the answer is NDJSON; else it is one JSON object.
        """
        self._answer = answer
        self._generates = answer in _GENERATIONS
        self._streaming = streaming
        self._lines = NdjsonLines()
        self._tail = BodyTail()
        self._first_token_at: float | None = None
        self._last: NativeAnswer | None = None
        self._error = False

    def feed(self, data: bytes, now: float) -> None:
        """Takes bytes that went to the client at `now`, in seconds of the clock."""
        if not self._streaming:
            self._tail.feed(data)
            return
        for line in self._lines.feed(data):
            # Certainly no terminal and no error: the object's last member says so, and no escape hides another.
            if (
                self._first_token_at is None
                or not line.endswith(b'"done":false}')
                or b'"error"' in line
                or b"\\" in line
            ):
                self._read(line, now)

    def finish(self, now: float = 0.0) -> Verdict:
        """Judges what was fed.

        Args:
            now: the clock, for a last line that no line feed ended.
        """
        if self._streaming:
            if self._lines.mid_line:
                self._read(self._lines.rest(), now)
        else:
            self._read(self._tail.members(), now)
            self._first_token_at = None
        last = self._last
        done = last is not None
        cut = not self._streaming and self._tail.is_cut()
        loaded = False
        if self._error:
            outcome = "stream_error"
        elif cut or (not done and self._generates):
            outcome = "incomplete"
        else:
            outcome = "success"
        if last is not None and self._generates:
            reason = bytes(last.done_reason)
            if reason == b'"length"' and not self._error:
                outcome = "length"
            elif reason in (b'"load"', b'"unload"'):
                loaded = True
        usage = NO_USAGE if last is None else reported_usage(last, self._generates)
        if self._answer is Answer.EMBEDDINGS:
            usage = NO_USAGE
        return Verdict(outcome, usage, loaded, done, self._error, self._lines.mid_line, cut, self._first_token_at)

    def _read(self, line: bytes, now: float) -> None:
        answer = _answer(line)
        if answer is None:
            return
        if not is_empty(answer.error):
            self._error = True
        if self._first_token_at is None and self._generates and _has_content(answer):
            self._first_token_at = now
        if not self._generates or bytes(answer.done) == b"true":
            self._last = answer


class ManagementVerdict:
    """Judges the progress stream of a pull, push or create, which ends in `success` or in an error line."""

    def __init__(self) -> None:
        self._lines = NdjsonLines()
        self._done = False
        self._error = False

    def feed(self, data: bytes, now: float) -> None:
        """Takes bytes that went to the client at `now`."""
        for line in self._lines.feed(data):
            if b'"success"' in line or b'"error"' in line or b"\\" in line:
                self._read(line)

    def finish(self, now: float = 0.0) -> Verdict:
        """Judges what was fed."""
        if self._lines.mid_line:
            self._read(self._lines.rest())
        outcome = "stream_error" if self._error else "success" if self._done else "incomplete"
        return Verdict(outcome, done=self._done, error=self._error, mid_line=self._lines.mid_line)

    def _read(self, line: bytes) -> None:
        answer = _answer(line)
        if answer is not None:
            self._error = self._error or not is_empty(answer.error)
            self._done = self._done or bytes(answer.status) == b'"success"'


def _answer(text: bytes) -> NativeAnswer | None:
    return read(_read_answer, text)


def _has_content(answer: NativeAnswer) -> bool:
    if not (is_empty(answer.response) and is_empty(answer.thinking) and is_empty(answer.tool_calls)):
        return True
    message = read(_read_message, answer.message)
    return message is not None and not (
        is_empty(message.content) and is_empty(message.thinking) and is_empty(message.tool_calls)
    )
