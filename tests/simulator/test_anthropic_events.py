"""Messages, against recordings byte by byte and, beyond them, as a real 0.33 answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fidelity import events_of
from simulator.replayed import chunks, comparable, recorded, spoken_again, told_tokens, usage

from ollamamax.simulator.anthropic_events import MessagesWords, stop_reason
from ollamamax.simulator.failures import engine_lost
from ollamamax.simulator.tokens import Token
from ollamamax.simulator.words import Usage

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]


@pytest.mark.parametrize(
    ("version", "name", "words", "told"),
    [
        ("0.33", "v1-messages-stream", lambda: MessagesWords("1", "tiny", 4), usage("stop", 4, 6)),
        ("0.33", "v1-messages-think-stream", lambda: MessagesWords("1", "thinker", 4), usage("stop", 4, 11)),
        ("0.33", "v1-messages-tools-stream", lambda: MessagesWords("1", "thinker", 29, TOOLS), usage("stop", 4, 4)),
        ("0.24", "v1-messages-stream", lambda: MessagesWords("1", "tiny", 4), usage("length", 18, 6)),
    ],
)
def test_recorded_streams(version: str, name: str, words: Callable[[], MessagesWords], told: Usage) -> None:
    """The same chunks, but for identities."""
    exchange = recorded(version, name)
    assert spoken_again(words(), told_tokens(exchange), told) == chunks(exchange)
    assert words().stream_type.decode() == exchange.header("content-type")


def test_a_recorded_whole_answer() -> None:
    """Likewise."""
    exchange = recorded("0.33", "v1-messages-whole")
    words = MessagesWords("1", "tiny", 4)
    texts = ["the", " river", " carries", " small", " stones", " over"]
    said = words.whole(1.0, [Token("content", text) for text in texts], usage("stop", 4, 6))
    assert comparable(said) == comparable(exchange.body)
    assert words.whole_type.decode() == exchange.header("content-type")


def test_a_recorded_stream_that_is_cut() -> None:
    """Nothing more."""
    exchange = recorded("0.33", "v1-messages-cut-mid-stream")
    words = MessagesWords("1", "tiny", 4)
    parts = [part for token in told_tokens(exchange) for part in words.token(token, 1.0)]
    assert tuple(comparable(part) for part in (*parts, *words.lost(engine_lost(), 1.0))) == chunks(exchange)


def test_whole_answers_with_thinking_and_calls() -> None:
    """A block for each, in one order."""
    words = MessagesWords("abc", "thinker", 4, TOOLS)
    said = [Token("silent", "<think>"), Token("thinking", "hm"), Token("content", "so"), Token("tool", "")]
    document = json.loads(words.whole(1.0, said, usage("stop", 1, 4)))
    thinking, text, call = document["content"]
    assert (thinking, text) == ({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"})
    assert list(call) == ["type", "id", "name", "input"]
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "get_weather", {"city": "Paris"})
    assert document["stop_reason"] == "tool_use"
    assert len(document["id"]) == len("msg_") + 24
    assert json.loads(words.whole(1.0, [], usage("stop", 1, 0)))["content"] is None


def test_a_stream_of_nothing_knows_its_prompt() -> None:
    """The number, where it is there before the first token; a load has none and keeps the estimate."""
    for prompt, told in ((7, 7), (0, 4)):
        parts = MessagesWords("1", "tiny", 4).final(1.0, usage("stop", prompt, 0))
        (start,), (delta,), (stop,) = (events_of(part) for part in parts)
        begun: Any = start.document
        assert begun["message"]["usage"] == {"input_tokens": told, "output_tokens": 0}
        assert delta.document == {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": prompt, "output_tokens": 0},
        }
        assert stop.document == {"type": "message_stop"}


def test_tokens_that_add_nothing() -> None:
    """A silent one sends nothing, an empty one no more than the beginning."""
    words = MessagesWords("1", "tiny", 4)
    assert words.token(Token("silent", "<think>"), 1.0) == ()
    assert [events_of(part)[0].name for part in words.token(Token("content", ""), 1.0)] == ["message_start"]
    assert list(words.token(Token("content", ""), 1.0)) == []


def test_a_call_after_a_text() -> None:
    """Closes its block, and has the next index."""
    words = MessagesWords("1", "thinker", 4, TOOLS)
    words.token(Token("content", "so"), 1.0)
    told: list[Any] = [events_of(part)[0].document for part in words.token(Token("tool", ""), 1.0)]
    assert [(each["type"], each["index"]) for each in told] == [
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
    ]
    assert told[1]["content_block"]["input"] == {}


def test_an_error_within_a_stream() -> None:
    """As Anthropic's own clients know it."""
    (event,) = events_of(MessagesWords("1", "tiny", 4).in_band(engine_lost()))
    error = {"type": "api_error", "message": engine_lost().message}
    assert (event.name, event.document) == ("error", {"type": "error", "error": error})


def test_reasons() -> None:
    """Ollama's, in this API's words."""
    told = [stop_reason(reason, called=False) for reason in ("stop", "length", "load")]
    assert told == ["end_turn", "max_tokens", "stop_sequence"]
    assert stop_reason("length", called=True) == "tool_use"
