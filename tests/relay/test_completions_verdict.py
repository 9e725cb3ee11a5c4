"""What streams of completions mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.bodies import selectable

from ollamamax.relay.completions_verdict import CompletionsVerdict
from ollamamax.relay.usage import NO_USAGE, Usage
from ollamamax.relay.verdict import Verdict

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def judged(*events: bytes) -> Verdict:
    """The verdict on events that came at 0.0, 1.0, 2.0…"""
    judge = CompletionsVerdict()
    for now, event in enumerate(events):
        judge.feed(event, float(now))
    return judge.verdict()


def data(text: bytes) -> bytes:
    """An event with these data."""
    return b"data: " + text + b"\n\n"


@pytest.mark.parametrize(
    ("reason", "outcome", "loaded"),
    [
        (b'"stop"', "success", False),
        (b'"tool_calls"', "success", False),
        (b'"length"', "length", False),
        (b'"load"', "success", True),
        (b'"unload"', "success", True),
        (b"null", "success", False),
        (b"7", "success", False),
    ],
)
def test_reasons(reason: bytes, outcome: str, loaded: bool) -> None:
    """The last reason given says how a whole stream ended; an empty prompt only loads, and loads have no usage."""
    end = data(b'{"choices":[{"text":"","finish_reason":' + reason + b"}]}")
    usage = data(b'{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}')
    verdict = judged(TOKEN, end, usage, DONE)
    assert (verdict.outcome, verdict.loaded, verdict.done) == (outcome, loaded, True)
    assert verdict.usage == (NO_USAGE if loaded else Usage(0, 0))
    assert judged(TOKEN, end).outcome == "incomplete"


@pytest.mark.parametrize("terminal", [DONE, b"data:[DONE]\r\n\r\n", b": x\ndata: [DONE] \n\n", b"data: [DONE]"])
def test_terminals(terminal: bytes) -> None:
    """Only `[DONE]` ends a stream, however it is written."""
    assert judged(TOKEN, terminal).outcome == "success"


@pytest.mark.parametrize(
    "event",
    [
        data(b"[DONE"),
        data(b'"[DONE]"'),
        data(b'{"choices":[{"delta":{"content":"data: [DONE]\\n\\ndata: [DONE]"},"finish_reason":null}]}'),
        data(b'{"choices":[{"delta":{"content":"\\"error\\":{}"},"finish_reason":null}]}'),
        data(b'{"choices":[{"delta":{"content":"data: [DONE]"},"finish_reason":null}]}'),
        data(b'{"error":null,"choices":[]}'),
        data(b'{"choices":{"error":7}}'),
        data(b'{"choices":[7]}'),
        data(b"[]"),
        data(b'{"choices":' + b"[" * 100_000),
        data(b"\xff\xfe"),
        b": [DONE]\n\n",
        b"event: done\n\n",
        b"[DONE]\n\n",
    ],
    ids=selectable,
)
@pytest.mark.parametrize("first", [True, False])
def test_no_terminal(event: bytes, first: bool) -> None:
    """Whatever only looks like a terminal or an error is none, and broken events raise nothing."""
    verdict = judged(*([event] if first else [TOKEN, event]))
    assert (verdict.outcome, verdict.done, verdict.error) == ("incomplete", False, False)


@pytest.mark.parametrize(
    "event",
    [
        data(b'{"error":{"message":"x"}}'),
        data(b'{"error":"x"}'),
        data(b'{"\\u0065rror":"x"}'),
        data(b'{"choices":[{"finish_reason":null}],"error":{"message":"x"}}'),
        data(b'{"choices":[{"finish_reason":null}],"\\u0065rror":{"message":"x"}}'),
        b"event: error\n" + data(b'{"error":{}, "error" : {"a":1}}'),
    ],
    ids=selectable,
)
def test_errors(event: bytes) -> None:
    """An error is found however it is written, and no terminal takes it back."""
    assert judged(event).outcome == "stream_error"
    assert judged(TOKEN, event).outcome == "stream_error"
    verdict = judged(TOKEN, event, STOP, DONE)
    assert (verdict.outcome, verdict.error, verdict.done) == ("stream_error", True, True)


@pytest.mark.parametrize(
    ("choice", "counts"),
    [
        (b'"delta":{"role":"assistant","content":""}', False),
        (b'"delta":{}', False),
        (b'"delta":null', False),
        (b'"text":""', False),
        (b'"delta":{"content":null,"tool_calls":[]}', False),
        (b'"delta":{"content":" "}', True),
        (b'"delta":{"content":"","reasoning":"a"}', True),
        (b'"delta":{"content":"","reasoning_content":"a"}', True),
        (b'"delta":{"content":"","tool_calls":[{"index":0}]}', True),
        (b'"text":"a"', True),
    ],
    ids=selectable,
)
def test_first_token(choice: bytes, counts: bool) -> None:
    """The first token is the first event with text, reasoning or tool calls; not the first event."""
    empty = data(b'{"choices":[{"delta":{"content":""},"finish_reason":null}]}')
    event = data(b'{"choices":[{"index":0,' + choice + b',"finish_reason":null}]}')
    verdict = judged(empty, event, DONE)
    assert (verdict.first_token_at, verdict.last_content_at) == ((1.0, 1.0) if counts else (None, None))


@pytest.mark.parametrize(
    "last", [TOKEN, data(b'{"choices":[{"delta":{"content":"\\n"},"finish_reason":null}]}')], ids=["plain", "escaped"]
)
def test_the_last_content(last: bytes) -> None:
    """Is that of the last event with content, whether it is read or only known to be more text; not its reason."""
    verdict = judged(TOKEN, TOKEN, last, STOP, DONE)
    assert (verdict.first_token_at, verdict.last_content_at) == (0.0, 2.0)


ZERO = b'"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
SOME = b'"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}'


def test_the_last_usage_counts() -> None:
    """Zeros beside text only keep its place: a stream that breaks off has reported nothing."""
    placeholder = data(b'{"choices":[{"text":"a","finish_reason":null}],' + ZERO + b"}")
    assert judged(placeholder, placeholder).usage == NO_USAGE
    assert judged(placeholder, data(b'{"choices":[],' + SOME + b"}"), DONE).usage == Usage(4, 6)
    running = data(b'{"choices":[{"text":"a","finish_reason":null}],' + SOME + b"}")
    assert judged(placeholder, running.replace(b":4,", b":0,")).usage == Usage(0, 6)
    more = running.replace(b":6,", b":7,")
    assert judged(placeholder, running, more).usage == Usage(4, 7)
    assert judged(more, data(b'{"choices":[{"text":"a","finish_reason":null}],"usage":null}')).usage == Usage(4, 7)


def test_usage_that_a_text_talks_about() -> None:
    """Is none."""
    text = data(b'{"choices":[{"text":"{\\"usage\\":{\\"prompt_tokens\\":4}}","finish_reason":null}]}')
    assert judged(TOKEN, text, DONE).usage == NO_USAGE


@given(st.lists(st.binary(max_size=60).map(data) | st.sampled_from([TOKEN, STOP, DONE]), max_size=8))
def test_nothing_raises(events: list[bytes]) -> None:
    """No bytes of a node raise an exception."""
    assert judged(*events).done == (DONE in events or data(b"[DONE]") in events)
