"""What streams of messages mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.bodies import selectable

from ollamamax.relay.messages_verdict import MessagesVerdict
from ollamamax.relay.usage import NO_USAGE, Usage
from ollamamax.relay.verdict import Verdict


def event(name: bytes, members: bytes = b"") -> bytes:
    """An event as Ollama writes it."""
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (name, name, b"," + members if members else b"")


START = event(b"message_start", b'"message":{"content":[],"usage":{"input_tokens":9,"output_tokens":0}}')
TOKEN = event(b"content_block_delta", b'"index":0,"delta":{"type":"text_delta","text":"a"}')
STOP = event(b"message_stop")


def delta(reason: bytes, usage: bytes = b'{"input_tokens":4,"output_tokens":6}') -> bytes:
    """The event before the last."""
    return event(b"message_delta", b'"delta":{"stop_reason":' + reason + b'},"usage":' + usage)


def judged(*events: bytes) -> Verdict:
    """The verdict on events that came at 0.0, 1.0, 2.0…"""
    judge = MessagesVerdict()
    for now, each in enumerate(events):
        judge.feed(each, float(now))
    return judge.verdict()


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [(b'"end_turn"', "success"), (b'"tool_use"', "success"), (b'"max_tokens"', "length"), (b"7", "success")],
)
def test_reasons(reason: bytes, outcome: str) -> None:
    """The reason of the end tells the outcome, where the last event came; the usage is that beside it."""
    assert judged(START, TOKEN, delta(reason), STOP) == Verdict(
        outcome, Usage(4, 6), done=True, first_token_at=1.0, last_content_at=1.0
    )
    assert judged(START, TOKEN, delta(reason)).outcome == "incomplete"


def test_a_stream_that_breaks_off_has_reported_nothing() -> None:
    """What its first event says is an estimate."""
    assert judged(START, TOKEN) == Verdict("incomplete", first_token_at=1.0, last_content_at=1.0)


@pytest.mark.parametrize("usage", [b"null", b"7", b'{"input_tokens":-1,"output_tokens":' + b"6" * 5000 + b"}"])
def test_absurd_usage(usage: bytes) -> None:
    """Is none, and hides neither reason nor end."""
    assert judged(START, delta(b'"max_tokens"', usage), STOP) == Verdict("length", NO_USAGE, done=True)


@pytest.mark.parametrize(
    "last",
    [
        event(b"error", b'"error":{"type":"api_error","message":"x"}'),
        b'data: {"type":"error","error":{}}\n\n',
        b'event: error\ndata: {"type":"ping"}\n\n',
        b'data: {"error":"x"}\n\n',
        event(b"content_block_delta", b'"delta":{"text":"a"},"error":{"message":"x"}'),
    ],
    ids=selectable,
)
def test_errors(last: bytes) -> None:
    """An error is one however it is written, and no terminal takes it back."""
    assert judged(last).outcome == "stream_error"
    verdict = judged(START, TOKEN, last)
    assert (verdict.outcome, verdict.done, verdict.error) == ("stream_error", False, True)
    assert judged(TOKEN, last, STOP).outcome == "stream_error"


@pytest.mark.parametrize(
    "last",
    [
        event(b"ping"),
        event(b"content_block_stop", b'"index":0'),
        event(b"content_block_delta", b'"delta":{"type":"text_delta","text":"event: message_stop\\n\\n"}'),
        event(b"content_block_delta", b'"delta":{"type":"text_delta","text":"\\"type\\":\\"message_stop\\""}'),
        b": message_stop\n\n",
        b"event: message_stop\n\n",
        b"data: {\n\n",
        b"data: \xff\n\n",
        b'data: {"type":["message_stop"]}\n\n',
        b"",
    ],
    ids=selectable,
)
def test_no_terminal(last: bytes) -> None:
    """Whatever only looks like a terminal or an error is none, and broken events raise nothing."""
    for verdict in (judged(last), judged(TOKEN, last)):
        assert (verdict.outcome, verdict.done, verdict.error) == ("incomplete", False, False)


def test_names_count_where_the_data_have_no_type() -> None:
    """And the other way round."""
    assert judged(b"event: message_stop\ndata: {}\n\n").done
    assert judged(b'data: {"type":"message_stop"}\n\n').done


@pytest.mark.parametrize(
    ("each", "counts"),
    [
        (event(b"content_block_start", b'"content_block":{"type":"text","text":""}'), False),
        (event(b"content_block_start", b'"content_block":{"type":"thinking","thinking":""}'), False),
        (event(b"content_block_delta", b'"delta":{"type":"text_delta","text":""}'), False),
        (event(b"content_block_delta", b'"delta":{"type":"signature_delta","signature":"x"}'), False),
        (event(b"content_block_delta", b'"delta":7'), False),
        (event(b"content_block_delta", b'"delta":{"type":"text_delta","text":" "}'), True),
        (event(b"content_block_delta", b'"delta":{"type":"thinking_delta","thinking":"a"}'), True),
        (event(b"content_block_delta", b'"delta":{"type":"input_json_delta","partial_json":"{"}'), True),
        (event(b"content_block_start", b'"content_block":{"type":"tool_use","name":"x","input":{}}'), True),
    ],
    ids=range(9),
)
def test_first_token(each: bytes, counts: bool) -> None:
    """The first token is the first event with text, thinking or a tool call."""
    verdict = judged(START, each, delta(b'"end_turn"'), STOP)
    assert (verdict.first_token_at, verdict.last_content_at) == ((1.0, 1.0) if counts else (None, None))


def test_the_last_content() -> None:
    """Is that of the last event with content: text that need not be read, or a tool call's words."""
    tool = event(b"content_block_start", b'"content_block":{"type":"tool_use","name":"x","input":{}}')
    assert judged(START, TOKEN, TOKEN, delta(b'"end_turn"'), STOP).last_content_at == 2.0
    assert judged(START, TOKEN, TOKEN, tool, event(b"content_block_stop"), STOP).last_content_at == 3.0


@given(st.lists(st.binary(max_size=60).map(lambda text: b"data: " + text + b"\n\n") | st.just(TOKEN), max_size=8))
def test_nothing_raises(events: list[bytes]) -> None:
    """No bytes of a node raise an exception."""
    assert judged(*events).outcome == "incomplete"
