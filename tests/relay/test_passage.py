"""Answers on their way: what goes on, and who reads it; recorded ones are in `test_recorded_verdicts`."""

from __future__ import annotations

from typing import Any

import pytest

from ollamamax.relay.answers import Answer
from ollamamax.relay.passage import Passage, passage_of
from ollamamax.relay.usage import NO_USAGE
from ollamamax.relay.verdict import Verdict

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    Answer.CHAT_COMPLETIONS,
    Answer.COMPLETIONS,
    Answer.RESPONSES,
    Answer.MESSAGES,
)


def passage_for(answer: Answer, streaming: bool, *, drops_usage: bool = False, **changed: Any) -> Passage:
    """The passage of an answer; of a stream of events where nothing else is said."""
    given: dict[str, Any] = {"status": 200, "content_type": b"text/event-stream", "sized": False}
    return passage_of(answer, streaming=streaming, drops_usage=drops_usage, **given | changed)


def passed(passage: Passage, pieces: list[bytes]) -> tuple[bytes, Verdict]:
    """What goes on of pieces that come at 0.0, 1.0, 2.0…, and the verdict."""
    gone = b"".join(passage.feed(piece, float(now)) for now, piece in enumerate(pieces))
    last, verdict = passage.finish(float(len(pieces)))
    assert verdict is not None
    return gone + last, verdict


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (CHAT, b"data: [DONE]"),
        (COMPLETIONS, b"data: [DONE]\n"),
        (RESPONSES, b'event: response.completed\ndata: {"type":"response.completed"}'),
        (MESSAGES, b'event: message_stop\r\ndata: {"type":"message_stop"}\r\n'),
    ],
)
@pytest.mark.parametrize("drops_usage", [False, True])
def test_a_last_event_that_no_blank_line_ends(answer: Answer, last: bytes, drops_usage: bool) -> None:
    """It counts, and goes on at the end; a part of it does neither."""
    gone, verdict = passed(passage_for(answer, True, drops_usage=drops_usage), [b": x\n\n" + last[:9], last[9:]])
    assert (gone, verdict.outcome) == (b": x\n\n" + last, "success")
    gone, verdict = passed(passage_for(answer, True, drops_usage=drops_usage), [b": x\n\n" + last[:9]])
    assert (gone, verdict.outcome) == (b": x\n\n", "incomplete")


def test_what_comes_behind_the_last_event_goes_on() -> None:
    """A whole stream is whole, whatever follows."""
    gone, verdict = passed(passage_for(CHAT, True), [b'data: [DONE]\n\ndata: {"error":"x"}'])
    assert (gone, verdict.outcome) == (b'data: [DONE]\n\ndata: {"error":"x"}', "success")


def test_an_unfinished_event_has_reached_nobody() -> None:
    """Content in it is no first token, an error in it is one that goes on, behind an error it is nothing."""
    token = b'data: {"choices":[{"delta":{"content":"a"}}]}'
    assert passed(passage_for(CHAT, True), [token]) == (b"", Verdict("incomplete"))
    error = b'data: {"error":"x"}'
    assert passed(passage_for(CHAT, True), [error]) == (error, Verdict("stream_error", error=True, mid_line=True))
    whole = error + b"\n\n"
    assert passed(passage_for(CHAT, True), [whole, b"data: "]) == (whole, Verdict("stream_error", error=True))


def test_a_part_of_a_long_event_has() -> None:
    """Where it went on before it was whole, the end is inside of it."""
    long = b'data: {"choices":[{"delta":{"content":"' + b"x" * 300_000
    assert passed(passage_for(CHAT, True), [long]) == (long, Verdict("incomplete", mid_line=True))
    _, verdict = passed(passage_for(CHAT, True), [long, b'"}}]}\n\ndata: [DONE]\n\n'])
    assert (verdict.outcome, verdict.first_token_at) == ("success", 1.0)


# Who is read how.


@pytest.mark.parametrize("answer", [CHAT, COMPLETIONS, RESPONSES, MESSAGES])
@pytest.mark.parametrize("content_type", [b"application/json", b"application/json; charset=utf-8", b"", b"text/html"])
def test_no_stream_in_spite_of_the_request(answer: Answer, content_type: bytes) -> None:
    """A node that answers with one object is taken at its word: nothing is held, and there is no last event."""
    passage = passage_for(answer, True, content_type=content_type, drops_usage=True)
    assert passage.feed(b'{"error":', 0.0) == b'{"error":'
    assert passage.feed(b'{"message":"x"},"usage":{}}', 0.0) == b'{"message":"x"},"usage":{}}'
    last, verdict = passage.finish(1.0)
    assert (last, verdict, passage.streaming) == (b"", Verdict("stream_error", error=True), False)


@pytest.mark.parametrize(
    "content_type", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8", b"text/event-stream ;x"]
)
def test_streams(content_type: bytes) -> None:
    """The type counts, not its parameters; and only where a stream was asked for."""
    assert passage_for(CHAT, True, content_type=content_type).feed(b"data: ", 0.0) == b""
    assert passage_for(CHAT, False, content_type=content_type).feed(b"data: ", 0.0) == b"data: "


def test_a_stream_of_known_length() -> None:
    """Nothing is held of it, unless usage is taken out: then its length is another."""
    passage = passage_for(CHAT, True, sized=True)
    assert (passage.feed(b"data: [DO", 0.0), passage.feed(b"NE]\n\n", 1.0)) == (b"data: [DO", b"NE]\n\n")
    assert passage.resized is False
    last, verdict = passage.finish(2.0)
    assert (last, verdict) == (b"", Verdict("success", done=True))
    half = passage_for(CHAT, True, sized=True)
    assert passed(half, [b"data: "]) == (b"data: ", Verdict("incomplete", mid_line=True))
    edited = passage_for(COMPLETIONS, True, sized=True, drops_usage=True)
    assert edited.resized is True
    assert passed(edited, [b'data: {"choices":[],"usage":{}}\n\ndata: [DONE]\n\n'])[0] == b"data: [DONE]\n\n"


@pytest.mark.parametrize("status", [199, 300, 404, 500])
def test_refusals_are_not_read(status: int) -> None:
    """They pass."""
    passage = passage_for(CHAT, True, status=status)
    assert passage.feed(b"data: x", 0.0) == b"data: x"
    assert passage.finish(0.0) == (b"", None)


@pytest.mark.parametrize(
    ("content_type", "body", "outcome"),
    [
        (b"application/json", b'{"text":"a"}\n', "success"),
        (b"application/json", b"", "incomplete"),
        # What is left of one that failed on its way.
        (b"application/x-ndjson", b"", "incomplete"),
        (b"text/plain", b"", None),
        (b"text/plain; charset=utf-8", b"a", None),
        (b"text/event-stream", b"data: x", None),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_transcriptions(content_type: bytes, body: bytes, outcome: str | None, streaming: bool) -> None:
    """An object is read, anything else passes unread; there is no last event."""
    passage = passage_for(Answer.TRANSCRIPTIONS, streaming, content_type=content_type)
    assert passage.feed(body, 0.0) == body
    verdict = passage.finish(0.0)[1]
    assert (None if verdict is None else verdict.outcome, passage.streaming) == (outcome, False)


@pytest.mark.parametrize("streaming", [True, False])
def test_ollamas_own_answers(streaming: bool) -> None:
    """They are read as before, whatever type they have; what is opaque is not."""
    final = b'{"done":true,"total_duration":1,"eval_count":3}\n'
    passage = passage_for(Answer.CHAT, streaming)
    gone, verdict = passed(passage, [final])
    assert (gone, verdict.outcome, verdict.usage.output_tokens, passage.streaming) == (final, "success", 3, streaming)
    assert passed(passage_for(Answer.PROGRESS, True), [b'{"status":"success"}\n'])[1].outcome == "success"
    assert passage_for(Answer.OPAQUE, False).finish(0.0) == (b"", None)


def test_nothing_came() -> None:
    """A stream without an event is not whole."""
    assert passed(passage_for(RESPONSES, True), []) == (b"", Verdict("incomplete", NO_USAGE))
