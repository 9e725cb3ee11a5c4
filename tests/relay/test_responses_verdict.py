"""What streams of responses mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.bodies import selectable

from ollamamax.relay.responses_verdict import ResponsesVerdict
from ollamamax.relay.usage import NO_USAGE, Usage
from ollamamax.relay.verdict import Verdict

USAGE = b'{"input_tokens":4,"input_tokens_details":{"cached_tokens":1},"output_tokens":6,"total_tokens":10}'


def event(name: bytes, members: bytes = b"", number: int = 4) -> bytes:
    """An event as Ollama writes it."""
    start = b"{" + members + (b"," if members else b"")
    return b'event: %b\ndata: %b"sequence_number":%d,"type":"%b"}\n\n' % (name, start, number, name)


TOKEN = event(b"response.output_text.delta", b'"delta":"a"')
COMPLETED = event(b"response.completed", b'"response":{"error":null,"status":"completed","usage":' + USAGE + b"}", 9)


def judged(*events: bytes) -> Verdict:
    """The verdict on events that came at 0.0, 1.0, 2.0…"""
    judge = ResponsesVerdict()
    for now, each in enumerate(events):
        judge.feed(each, float(now))
    return judge.verdict()


def incomplete(reason: bytes) -> bytes:
    """The end of a response that was cut."""
    details = b'"incomplete_details":{"reason":' + reason + b"}"
    return event(b"response.incomplete", b'"response":{' + details + b',"usage":' + USAGE + b"}", 9)


@pytest.mark.parametrize(
    ("last", "outcome", "error"),
    [
        (COMPLETED, "success", False),
        (incomplete(b'"max_output_tokens"'), "length", False),
        (incomplete(b'"content_filter"'), "success", False),
        (incomplete(b"7"), "success", False),
        (event(b"response.failed", b'"response":{"status":"failed","usage":' + USAGE + b"}", 9), "stream_error", True),
    ],
    ids=["completed", "length", "filtered", "odd", "failed"],
)
def test_terminals(last: bytes, outcome: str, error: bool) -> None:
    """Each of the three ends is one, with its usage; the next event would have the next number."""
    verdict = judged(TOKEN, last)
    assert (verdict.outcome, verdict.done, verdict.error) == (outcome, True, error)
    assert verdict.usage == Usage(4, 6, 1)
    assert (verdict.first_token_at, verdict.next_number) == (0.0, 10)


def test_the_name_alone_tells_of_an_end_that_is_too_long_to_be_read() -> None:
    """A response of many megabytes is whole, though its usage is not known."""
    for end in (b"\n\n", b"\r\n\r\n"):
        verdict = judged(TOKEN, COMPLETED[:60] + end)
        assert (verdict.outcome, verdict.usage) == ("success", NO_USAGE)
    assert judged(TOKEN, b"event: response.failed\ndata: {\n\n").outcome == "stream_error"


@pytest.mark.parametrize("size", [24, 31, 60, len(COMPLETED) - 3])
def test_an_end_that_was_cut_off_is_none(size: int) -> None:
    """A node that breaks off inside of its last event has not sent it."""
    assert judged(TOKEN, COMPLETED[:size]).outcome == "incomplete"
    assert judged(TOKEN, COMPLETED[:-2]).outcome == "success"


def test_data_without_a_name() -> None:
    """The data tell what they are, too."""
    assert judged(COMPLETED.partition(b"\n")[2]).outcome == "success"
    assert judged(COMPLETED.replace(b'"type":"response.completed"', b'"type":""')).outcome == "success"


@pytest.mark.parametrize(
    "last",
    [
        event(b"error", b'"code":"x","message":"y"'),
        b'data: {"type":"error","message":"y"}\n\n',
        b'data: {"error":{"message":"y"}}\n\n',
        event(b"response.output_text.delta", b'"delta":"a","error":{"message":"y"}'),
    ],
    ids=selectable,
)
def test_errors(last: bytes) -> None:
    """An error is one however it is written; it is no end of a response."""
    for verdict in (judged(last), judged(TOKEN, last)):
        assert (verdict.outcome, verdict.done, verdict.error) == ("stream_error", False, True)


@pytest.mark.parametrize(
    "last",
    [
        event(b"response.created", b'"response":{"error":null,"status":"completed"}'),
        event(b"response.output_text.delta", b'"delta":"event: response.completed\\n\\n"'),
        event(b"response.output_text.delta", b'"delta":"\\"type\\":\\"response.completed\\""'),
        event(b"response.output_text.done", b'"text":"a"'),
        b": response.completed\n\n",
        b"event: response.completed\n\n",
        b"data: [1]\n\n",
        b"data: {\n\n",
        b"data: \xff\n\n",
        b'data: {"type":7}\n\n',
        b"",
    ],
    ids=selectable,
)
def test_no_terminal(last: bytes) -> None:
    """Whatever only looks like a terminal or an error is none, and broken events raise nothing."""
    for verdict in (judged(last), judged(TOKEN, last)):
        assert (verdict.outcome, verdict.done, verdict.error) == ("incomplete", False, False)


@pytest.mark.parametrize(
    ("each", "counts"),
    [
        (event(b"response.output_item.added", b'"item":{"type":"message"}'), False),
        (event(b"response.output_item.added", b'"item":7'), False),
        (event(b"response.content_part.added", b'"part":{"text":""}'), False),
        (event(b"response.output_text.delta", b'"delta":""'), False),
        (event(b"response.output_text.delta"), False),
        (event(b"response.output_text.delta", b'"delta":" "'), True),
        (event(b"response.reasoning_summary_text.delta", b'"delta":"a"'), True),
        (event(b"response.function_call_arguments.delta", b'"delta":"{"'), True),
        (event(b"response.output_item.added", b'"item":{"type":"function_call","name":"x"}'), True),
    ],
    ids=range(9),
)
def test_first_token(each: bytes, counts: bool) -> None:
    """The first token is the first event with text, reasoning or a tool call."""
    verdict = judged(event(b"response.created"), each, COMPLETED)
    assert (verdict.first_token_at, verdict.last_content_at) == ((1.0, 1.0) if counts else (None, None))


def test_the_last_content() -> None:
    """Is that of the last event with content: text that need not be read, or a call's words; no event that sums up."""
    done = event(b"response.output_text.done", b'"text":"aa"')
    words = event(b"response.function_call_arguments.delta", b'"delta":"{"')
    assert judged(TOKEN, TOKEN, done, COMPLETED).last_content_at == 1.0
    assert judged(TOKEN, TOKEN, words, done, COMPLETED).last_content_at == 2.0


@pytest.mark.parametrize(
    ("events", "number"),
    [
        ([], 0),
        ([event(b"response.created", number=0)], 1),
        ([TOKEN, event(b"response.output_text.delta", b'"delta":"b"', 41)], 42),
        ([event(b"response.created", number=17), b": ping\n\n"], 18),
        ([TOKEN, TOKEN.replace(b":4,", b":-4,"), TOKEN.replace(b":4,", b":" + b"4" * 5000 + b",")], 3),
        ([TOKEN, TOKEN.replace(b":4,", b':"4",')], 2),
        ([TOKEN, b"data: {\n\n", TOKEN[:50]], 3),
    ],
    ids=range(7),
)
def test_the_next_number(events: list[bytes], number: int) -> None:
    """It follows that of the last event, or their count where that says nothing."""
    assert judged(*events).next_number == number


@given(st.lists(st.binary(max_size=60).map(lambda text: b"data: " + text + b"\n\n") | st.just(TOKEN), max_size=8))
def test_nothing_raises(events: list[bytes]) -> None:
    """No bytes of a node raise an exception."""
    assert judged(*events).outcome == "incomplete"
