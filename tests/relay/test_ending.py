"""How answers end."""

from __future__ import annotations

import pytest

from ollamamax.errors import (
    GatewayError,
    InternalError,
    NodeProtocolError,
    NodeTimedOut,
    NodeTruncated,
    RequestTimedOut,
    ShuttingDown,
)
from ollamamax.relay.answers import Answer
from ollamamax.relay.ending import Ending, ending, error_frame, outcome_of, outcome_of_status
from ollamamax.relay.verdict import Verdict

OPEN = Verdict("incomplete")
DONE = Verdict("length", done=True)
ERROR = Verdict("stream_error", error=True)
TRUNCATED = b'{"error":"the node ended the response before it was complete"}\n'


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (300, "node_error"),
        (301, "node_error"),
        (400, "client_error"),
        (404, "client_error"),
        (499, "client_error"),
        (500, "node_error"),
        (502, "node_error"),
        (503, "unavailable"),
    ],
)
def test_statuses(status: int, outcome: str) -> None:
    """A node's own refusal passes as it is; its status says whose fault it is."""
    assert outcome_of_status(status) == outcome
    assert ending(status, Answer.CHAT, None, None, streaming=True, sized=False) == Ending(
        outcome, f"node_status_{status}"
    )
    assert ending(status, Answer.CHAT, None, NodeTruncated(), streaming=True, sized=False).broken


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NodeTimedOut("idle", 3), "timeout"),
        (NodeTruncated(), "incomplete"),
        (NodeProtocolError(), "node_error"),
        (ShuttingDown(), "unavailable"),
        (RequestTimedOut(), "client_error"),
        (InternalError(), "node_error"),
    ],
)
def test_failures(error: GatewayError, outcome: str) -> None:
    """Each failure has its outcome, and shows in a stream as an error line and a broken end."""
    assert outcome_of(error) == outcome
    end = ending(200, Answer.CHAT, OPEN, error, streaming=True, sized=False)
    assert end == Ending(outcome, error.code, error_frame(Answer.CHAT, error), broken=True)


def test_streams() -> None:
    """A terminal makes a stream whole whatever follows; an in-band error is not doubled; neither is a broken end."""
    for error in (None, NodeTruncated()):
        assert ending(200, Answer.CHAT, DONE, error, streaming=True, sized=False) == Ending("length")
        assert ending(200, Answer.CHAT, ERROR, error, streaming=True, sized=False) == Ending(
            "stream_error", "node_stream_error", broken=True
        )
        assert ending(200, Answer.CHAT, OPEN, error, streaming=True, sized=False) == Ending(
            "incomplete", "node_stream_incomplete", TRUNCATED, broken=True
        )
    inside = ending(200, Answer.CHAT, Verdict("incomplete", mid_line=True), None, streaming=True, sized=False)
    assert inside.frame == b"\n" + TRUNCATED


EVENTS = [Answer.CHAT_COMPLETIONS, Answer.COMPLETIONS, Answer.RESPONSES, Answer.MESSAGES]
RESPONSES = (
    b'event: error\ndata: {"type":"error","code":"shutting_down","message":"the gateway is shutting down",'
    b'"error":{"message":"the gateway is shutting down","code":"shutting_down"},"sequence_number":17}\n\n'
)
MESSAGES = (
    b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"the gateway is shutting down"}}\n\n'
)
OPENAI = (
    b'data: {"error":{"message":"the gateway is shutting down","type":"api_error","param":null,"code":"shutting_down"}}'
    b"\n\n"
)


@pytest.mark.parametrize(
    ("answer", "frame"),
    [
        (Answer.CHAT, b'{"error":"the gateway is shutting down"}\n'),
        (Answer.PROGRESS, b'{"error":"the gateway is shutting down"}\n'),
        (Answer.CHAT_COMPLETIONS, OPENAI),
        (Answer.COMPLETIONS, OPENAI),
        (Answer.RESPONSES, RESPONSES),
        (Answer.MESSAGES, MESSAGES),
    ],
)
def test_frames(answer: Answer, frame: bytes) -> None:
    """Each API has its own words for a failure in the middle of a stream; none has an end after them."""
    error = ShuttingDown()
    assert error_frame(answer, error, 17) == frame
    open_verdict = Verdict("incomplete", next_number=17)
    assert ending(200, answer, open_verdict, error, streaming=True, sized=False).frame == frame
    gap = b"\n\n" if answer in EVENTS else b"\n"
    inside = Verdict("incomplete", mid_line=True, next_number=17)
    assert ending(200, answer, inside, error, streaming=True, sized=False).frame == gap + frame


@pytest.mark.parametrize("answer", EVENTS)
def test_events(answer: Answer) -> None:
    """A terminal makes a stream whole; an in-band error is not doubled, but ended; sized answers get no frame."""
    for error in (None, NodeTruncated()):
        assert ending(200, answer, DONE, error, streaming=True, sized=False) == Ending("length")
        assert ending(200, answer, ERROR, error, streaming=True, sized=False) == Ending(
            "stream_error", "node_stream_error", broken=True
        )
        for sized in (False, True):
            unended = Verdict("stream_error", error=True, mid_line=True)
            assert ending(200, answer, unended, error, streaming=True, sized=sized) == Ending(
                "stream_error", "node_stream_error", None if sized else b"\n\n", broken=True
            )
            end = ending(200, answer, OPEN, error, streaming=True, sized=sized)
            assert (end.outcome, end.frame is None) == ("incomplete", sized)
            assert end.broken == (not sized or error is not None)


def test_a_response_that_failed_has_ended() -> None:
    """`response.failed` is an end of a response's own; with any other API an error and an end are no good end."""
    failed = Verdict("stream_error", done=True, error=True)
    for answer in (*EVENTS, Answer.CHAT):
        end = ending(200, answer, failed, None, streaming=True, sized=False)
        assert end == Ending("stream_error", "node_stream_error", broken=answer is not Answer.RESPONSES)


def test_management() -> None:
    """An error line is an ordinary end of a pull; a missing one is not."""
    assert ending(200, Answer.PROGRESS, ERROR, None, streaming=True, sized=False) == Ending(
        "stream_error", "node_stream_error"
    )
    assert ending(200, Answer.PROGRESS, DONE, None, streaming=True, sized=False).broken is False
    assert ending(200, Answer.PROGRESS, OPEN, None, streaming=True, sized=False).frame == TRUNCATED


def test_sized_answers_get_no_line() -> None:
    """Behind an announced length nothing can be said: the end is broken where the body is short, else it is as is."""
    assert ending(200, Answer.CHAT, OPEN, None, streaming=True, sized=True) == Ending(
        "incomplete", "node_stream_incomplete"
    )
    assert ending(200, Answer.CHAT, OPEN, NodeTruncated(), streaming=True, sized=True) == Ending(
        "incomplete", "node_stream_incomplete", broken=True
    )


def test_whole_answers() -> None:
    """A whole answer ends as its framing does."""
    assert ending(200, Answer.CHAT, None, None, streaming=False, sized=True) == Ending("success")
    assert ending(200, Answer.CHAT, DONE, None, streaming=False, sized=True) == Ending("length")
    assert ending(200, Answer.CHAT, OPEN, None, streaming=False, sized=True) == Ending(
        "incomplete", "node_stream_incomplete"
    )
    assert ending(200, Answer.CHAT, ERROR, None, streaming=False, sized=True) == Ending(
        "stream_error", "node_stream_error"
    )
    assert ending(200, Answer.CHAT, DONE, NodeTruncated(), streaming=False, sized=True) == Ending(
        "incomplete", "node_stream_incomplete", broken=True
    )


def test_a_whole_answer_that_is_cut() -> None:
    """Its framing may have ended well (where the connection ends, say): for its client it does not."""
    found = ending(200, Answer.EMBED, Verdict("incomplete", cut=True), None, streaming=False, sized=False)
    assert found == Ending("incomplete", NodeTruncated.code, broken=True)
    odd = ending(200, Answer.CHAT, Verdict("incomplete"), None, streaming=False, sized=False)
    assert odd == Ending("incomplete", NodeTruncated.code, broken=False)
