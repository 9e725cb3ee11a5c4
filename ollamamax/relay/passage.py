"""An answer on its way through: what of its bytes goes on, and what they mean.

What an answer is made of follows from its route, from whether a stream was asked for, and from what the node says that
it sends: only `text/event-stream` is cut into events. A node may answer a request for a stream with one object (an
error, a load), and of that nothing may be held or changed.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from ollamamax.relay.answers import Answer
from ollamamax.relay.completions_verdict import CompletionsVerdict
from ollamamax.relay.events import EventFraming
from ollamamax.relay.messages_verdict import MessagesVerdict
from ollamamax.relay.responses_verdict import ResponsesVerdict
from ollamamax.relay.usage_removal import without_usage
from ollamamax.relay.verdict import EventJudge, Judge, ManagementVerdict, NativeVerdict, Verdict
from ollamamax.relay.whole_verdict import WholeVerdict

_NATIVE = frozenset({Answer.CHAT, Answer.GENERATE, Answer.EMBED, Answer.EMBEDDINGS})
# What a transcription may be other than an object: text, subtitles, events of another engine.
_TEXTS = frozenset({b"text/plain", b"text/vtt", b"application/x-subrip", b"text/event-stream"})
_COMPLETIONS = frozenset({Answer.CHAT_COMPLETIONS, Answer.COMPLETIONS})
_EVENTS: dict[Answer, type[CompletionsVerdict | ResponsesVerdict | MessagesVerdict]] = {
    Answer.CHAT_COMPLETIONS: CompletionsVerdict,
    Answer.COMPLETIONS: CompletionsVerdict,
    Answer.RESPONSES: ResponsesVerdict,
    Answer.MESSAGES: MessagesVerdict,
}


class Passage(Protocol):
    """The way of one answer.

    Attributes:
        streaming: whether it is a stream of events, so that it has a last one.
        resized: whether what goes on may be of another length than what came.
    """

    streaming: bool
    resized: bool

    def feed(self, data: bytes, now: float) -> bytes:
        """Takes bytes that came at `now`, in seconds of the clock; gives what goes on."""

    def finish(self, now: float) -> tuple[bytes, Verdict | None]:
        """Gives what still goes on where the answer ends here, and what the answer meant; nothing is fed after it."""


class PlainPassage:
    """An answer whose bytes go on as they come."""

    def __init__(self, judge: Judge | None, *, streaming: bool) -> None:
        """Begins.

        Args:
            judge: reads along; None for what is not read.
            streaming: whether it is a stream of events.
        """
        self.streaming = streaming
        self.resized = False
        self._judge = judge

    def feed(self, data: bytes, now: float) -> bytes:
        """Takes bytes; gives them."""
        if self._judge is not None:
            self._judge.feed(data, now)
        return data

    def finish(self, now: float) -> tuple[bytes, Verdict | None]:
        """Gives nothing more, and the verdict."""
        return b"", None if self._judge is None else self._judge.finish(now)


class EventPassage:
    """A stream of server-sent events: whole ones go on.

    An unfinished event at the end goes on only where the stream is whole without its blank line. So what is sent last
    when a stream breaks off can be parsed.
    """

    streaming = True

    def __init__(self, judge: EventJudge, *, drops_usage: bool, sized: bool) -> None:
        """Begins.

        Args:
            judge: reads the events as they came.
            drops_usage: whether usage is taken out.
            sized: whether the node announced the length of the body: then nothing may be left out of it, unless usage
                is.
        """
        self.resized = drops_usage
        self._judge = judge
        self._framing = EventFraming(without_usage if drops_usage else None)
        self._as_it_came = sized and not drops_usage

    def feed(self, data: bytes, now: float) -> bytes:
        """Takes bytes; gives the events that are complete."""
        passing = self._framing.feed(data)
        for event in self._framing.complete:
            self._judge.feed(event, now)
        return data if self._as_it_came else passing

    def finish(self, now: float) -> tuple[bytes, Verdict | None]:
        """Gives the unfinished event where only its blank line is missing to a whole stream, and the verdict."""
        verdict = self._judge.verdict()
        held = b"" if self._as_it_came else self._framing.held()
        rest = self._framing.rest()
        if verdict.done:
            return held, verdict
        if rest and not verdict.error:
            self._judge.feed(rest, now)
            whole = self._judge.verdict()
            if whole.done or whole.error:
                return held, attrs.evolve(whole, mid_line=True)
        begun = bool(rest) if self._as_it_came else self._framing.mid_event
        return b"", attrs.evolve(verdict, mid_line=begun)


def passage_of(
    answer: Answer,
    *,
    streaming: bool,
    drops_usage: bool,
    status: int,
    content_type: bytes,
    sized: bool,
) -> Passage:
    """The way of an answer.

    Args:
        answer: what was asked for.
        streaming: whether a stream of it was.
        drops_usage: whether usage was asked for that has to be taken out again.
        status: the node's.
        content_type: the node's, empty where it gave none.
        sized: whether it announced a Content-Length.
    """
    if not 200 <= status < 300:
        return PlainPassage(None, streaming=streaming)
    if answer is Answer.PROGRESS:
        return PlainPassage(ManagementVerdict(), streaming=streaming)
    if answer in _NATIVE:
        return PlainPassage(NativeVerdict(answer, streaming), streaming=streaming)
    kind = content_type.partition(b";")[0].strip().lower()
    if streaming and kind == b"text/event-stream" and answer in _EVENTS:
        # The other two always tell their usage.
        return EventPassage(_EVENTS[answer](), drops_usage=drops_usage and answer in _COMPLETIONS, sized=sized)
    if answer is Answer.OPAQUE or (answer is Answer.TRANSCRIPTIONS and kind in _TEXTS):
        return PlainPassage(None, streaming=False)
    return PlainPassage(WholeVerdict(answer), streaming=False)
