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
from ollamamax.relay.ending import Ending, ending, error_line, outcome_of, outcome_of_status
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
    assert end == Ending(outcome, error.code, error_line(error), broken=True)


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
