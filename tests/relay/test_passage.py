"""Answers on their way: what goes on, and what it means, for every answer that was recorded."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay.bodies import Body, split_at

from ollamamax.relay.answers import Answer
from ollamamax.relay.passage import Passage, passage_of
from ollamamax.relay.usage import NO_USAGE, Usage
from ollamamax.relay.verdict import Verdict

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    Answer.CHAT_COMPLETIONS,
    Answer.COMPLETIONS,
    Answer.RESPONSES,
    Answer.MESSAGES,
)
# By hand, from the recordings: answer, streaming, outcome, (input, output, cached), the chunk of the body with the
# first content (None: no first token).
TABLE: dict[tuple[str, str], tuple[Answer, bool, str, tuple[int | None, int | None, int | None], int | None]] = {
    ("0.24", "v1-chat-whole"): (CHAT, False, "length", (18, 6, None), None),
    ("0.33", "v1-chat-whole"): (CHAT, False, "success", (4, 6, None), None),
    ("0.24", "v1-chat-stream"): (CHAT, True, "length", (None, None, None), 0),
    ("0.33", "v1-chat-stream"): (CHAT, True, "success", (None, None, None), 0),
    ("0.24", "v1-chat-stream-usage"): (CHAT, True, "length", (18, 6, None), 0),
    ("0.33", "v1-chat-stream-usage"): (CHAT, True, "success", (4, 6, None), 0),
    ("0.33", "v1-chat-think-stream"): (CHAT, True, "success", (None, None, None), 0),
    ("0.33", "v1-chat-tools-stream"): (CHAT, True, "success", (None, None, None), 0),
    ("0.33", "v1-chat-cut-mid-stream"): (CHAT, True, "incomplete", (None, None, None), 0),
    ("0.33", "v1-chat-engine-dies-mid-stream"): (CHAT, True, "incomplete", (None, None, None), 0),
    ("0.24", "v1-completions-whole"): (COMPLETIONS, False, "length", (18, 6, None), None),
    ("0.33", "v1-completions-whole"): (COMPLETIONS, False, "success", (4, 6, None), None),
    ("0.24", "v1-completions-stream-usage"): (COMPLETIONS, True, "length", (18, 6, None), 0),
    ("0.33", "v1-completions-stream-usage"): (COMPLETIONS, True, "success", (4, 6, None), 0),
    ("0.24", "v1-embeddings"): (Answer.V1_EMBEDDINGS, False, "success", (10, None, None), None),
    ("0.33", "v1-embeddings"): (Answer.V1_EMBEDDINGS, False, "success", (4, None, None), None),
    ("0.24", "v1-embeddings-base64"): (Answer.V1_EMBEDDINGS, False, "success", (7, None, None), None),
    ("0.33", "v1-embeddings-base64"): (Answer.V1_EMBEDDINGS, False, "success", (2, None, None), None),
    # Ollama calls a response `completed` also where its tokens were used up.
    ("0.24", "v1-responses-whole"): (RESPONSES, False, "success", (18, 6, 0), None),
    ("0.33", "v1-responses-whole"): (RESPONSES, False, "success", (4, 6, 0), None),
    ("0.24", "v1-responses-stream"): (RESPONSES, True, "success", (18, 6, 0), 4),
    ("0.33", "v1-responses-stream"): (RESPONSES, True, "success", (4, 6, 0), 4),
    ("0.33", "v1-responses-cut-mid-stream"): (RESPONSES, True, "incomplete", (None, None, None), 4),
    ("0.24", "v1-messages-whole"): (MESSAGES, False, "length", (18, 6, None), None),
    ("0.33", "v1-messages-whole"): (MESSAGES, False, "success", (4, 6, None), None),
    ("0.24", "v1-messages-stream"): (MESSAGES, True, "length", (18, 6, None), 2),
    ("0.33", "v1-messages-stream"): (MESSAGES, True, "success", (4, 6, None), 2),
    ("0.33", "v1-messages-think-stream"): (MESSAGES, True, "success", (4, 11, None), 2),
    ("0.33", "v1-messages-tools-stream"): (MESSAGES, True, "success", (4, 4, None), 1),
    ("0.33", "v1-messages-cut-mid-stream"): (MESSAGES, True, "incomplete", (None, None, None), 2),
}


def passage_for(
    answer: Answer, streaming: bool, *, body: Body | None = None, drops_usage: bool = False, **changed: Any
) -> Passage:
    """The passage of a recorded answer, or of a stream of events."""
    given: dict[str, Any] = {"status": 200, "content_type": b"text/event-stream", "sized": False}
    if body is not None:
        given["status"] = body.head.status
        given["content_type"] = body.head.first(b"content-type") or b""
        given["sized"] = body.head.first(b"content-length") is not None
    return passage_of(answer, streaming=streaming, drops_usage=drops_usage, **given | changed)


def passed(passage: Passage, pieces: list[bytes]) -> tuple[bytes, Verdict]:
    """What goes on of pieces that come at 0.0, 1.0, 2.0…, and the verdict."""
    gone = b"".join(passage.feed(piece, float(now)) for now, piece in enumerate(pieces))
    last, verdict = passage.finish(float(len(pieces)))
    assert verdict is not None
    return gone + last, verdict


def test_every_recorded_inference_is_in_the_table(recorded: dict[tuple[str, str], Any]) -> None:
    """Nothing that a real server answered well is left out."""
    well = {key for key, each in recorded.items() if key[1].startswith("v1-") and each.raw.startswith(b"HTTP/1.1 200 ")}
    assert {key for key in well if key[1] not in ("v1-models", "v1-model")} == set(TABLE)


@pytest.mark.parametrize("key", TABLE, ids=lambda key: f"{key[1]}-{key[0]}")
def test_recorded_answers(key: tuple[str, str], recorded: dict[tuple[str, str], Any]) -> None:
    """Every recorded answer passes unchanged, chunk by chunk, and means what a person reads in it."""
    answer, streaming, outcome, usage, first = TABLE[key]
    body = Body(recorded[key].raw)
    passage = passage_for(answer, streaming, body=body)
    for now, piece in enumerate(body.pieces):
        assert passage.feed(piece, float(now)) is piece
    last, verdict = passage.finish(99.0)
    assert verdict is not None
    assert (last, verdict.outcome, verdict.usage) == (b"", outcome, Usage(*usage))
    assert verdict.first_token_at == (None if first is None else float(first))
    assert (verdict.done, verdict.error, verdict.loaded) == (outcome != "incomplete", False, False)
    assert verdict.mid_line is False
    if answer is RESPONSES and streaming:
        assert verdict.next_number == len(body.pieces)
    assert (passage.streaming, passage.resized) == (streaming, False)


@settings(max_examples=60)
@given(key=st.sampled_from(sorted(TABLE)), drops_usage=st.booleans(), data=st.data())
def test_any_split_means_the_same(
    key: tuple[str, str], drops_usage: bool, recorded: dict[tuple[str, str], Any], data: st.DataObject
) -> None:
    """Neither what goes on nor the verdict depends on how an answer was cut on its way."""
    body = Body(recorded[key].raw)
    whole = b"".join(body.pieces)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=30))
    made = [passage_for(*TABLE[key][:2], body=body, drops_usage=drops_usage) for _ in range(3)]
    ways = [[whole], split_at(whole, cuts), [whole[at : at + 1] for at in range(len(whole))]]
    found = [passed(passage, way) for passage, way in zip(made, ways, strict=True)]
    assert len({text for text, _ in found}) == 1
    assert found[0][0] == whole or (drops_usage and key[1].endswith("stream-usage"))
    verdicts = [attrs.evolve(verdict, first_token_at=None, last_content_at=None) for _, verdict in found]
    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert verdicts[0].usage == Usage(*TABLE[key][3])
    assert len({verdict.first_token_at is None for _, verdict in found}) == 1


@pytest.mark.parametrize("key", [key for key in TABLE if TABLE[key][1]], ids=lambda key: f"{key[1]}-{key[0]}")
def test_a_stream_cut_anywhere(key: tuple[str, str], recorded: dict[tuple[str, str], Any]) -> None:
    """Of a stream that ends anywhere whole events have gone on, and it is whole only where its last one came."""
    body = Body(recorded[key].raw)
    whole = b"".join(body.pieces)
    size = len(whole)
    # Everywhere in the last bytes, and here and there in the last event and before it.
    for cut in (*range(0, size - 1200, 97), *range(size - 1200, size - 60, 7), *range(size - 60, size - 2)):
        text = whole[: max(cut, 0)]
        gone, verdict = passed(passage_for(*TABLE[key][:2], body=body), [text])
        assert gone == text[: text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0]
        assert (verdict.outcome, verdict.done, verdict.mid_line) == ("incomplete", False, False)


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
