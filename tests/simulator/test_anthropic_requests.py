"""What Anthropic's Messages API asks for: translations, estimates, and refusals in the words of a real 0.33."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ollamamax.simulator.anthropic_requests import MESSAGES, estimated_tokens, native_chat, native_tools
from ollamamax.simulator.failures import ApiFailure
from ollamamax.simulator.json_requests import Fields, read

HELLO = [{"role": "user", "content": "hello LIMIT 6"}]
INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"
WEATHER = {"type": "object", "properties": {}}


def given(document: object) -> Fields:
    """The fields of a request."""
    return read(json.dumps(document).encode(), MESSAGES)


def message(*blocks: object) -> dict[str, object]:
    """A request whose only message has these blocks."""
    return {"model": "tiny", "max_tokens": 3, "messages": [{"role": "User", "content": list(blocks)}]}


REFUSED: list[tuple[object, str]] = [
    ({"messages": HELLO, "max_tokens": 3}, "model is required"),
    ({"model": "tiny", "messages": HELLO}, "max_tokens is required and must be positive"),
    ({"model": "tiny", "messages": HELLO, "max_tokens": -1}, "max_tokens is required and must be positive"),
    ({"model": "tiny", "max_tokens": 3}, "messages is required"),
    ({"max_tokens": "x"}, INTO.format("string", "MessagesRequest.max_tokens", "int")),
    ({"messages": "x"}, INTO.format("string", "MessagesRequest.messages", "[]anthropic.MessageParam")),
    ({"messages": [{"role": 5}]}, INTO.format("number", "MessagesRequest.messages.role", "string")),
    ({"messages": [{"role": "user"}]}, "unexpected end of JSON input"),
    ({"messages": [{"content": 5}]}, INTO.format("number", "MessagesRequest.messages", "[]anthropic.ContentBlock")),
    ({"messages": [{"content": [{"type": 5}]}]}, INTO.format("number", "MessagesRequest.messages.type", "string")),
    (
        {"model": "tiny", "max_tokens": 3, "messages": [{"content": [{"type": "image", "source": {"type": "url"}}]}]},
        "invalid image source type: url. Only base64 images are supported.",
    ),
    (
        {"model": "tiny", "max_tokens": 3, "messages": [{"content": [{"type": "tool_use"}]}]},
        "tool_use block missing required 'id' field",
    ),
    (message("x"), INTO.format("string", "MessagesRequest.messages", "anthropic.ContentBlock")),
    (message({"type": "image"}), "invalid image source"),
    (
        message({"type": "image", "source": {"type": "base64", "data": "?"}}),
        "invalid base64 image data: illegal base64 data at input byte 0",
    ),
    (message({"type": "tool_use", "id": "1"}), "tool_use block missing required 'name' field"),
    ({"thinking": {"type": 1}}, INTO.format("number", "ThinkingConfig.thinking.type", "string")),
]


def test_what_is_refused() -> None:
    """Each for what is wrong with it, contents before anything else."""
    for document, words in REFUSED:
        with pytest.raises(ApiFailure) as caught:
            native_chat(given(document))
        assert (caught.value.status, caught.value.message) == (400, words)


PLAIN = {"model": "m", "messages": HELLO, "options": {"num_predict": 3}, "tools": [], "stream": False}


@pytest.mark.parametrize(
    ("document", "native"),
    [
        ({}, {}),
        ({"stream": True}, {"stream": True}),
        ({"system": "s"}, {"messages": [{"role": "system", "content": "s"}, *HELLO]}),
        (
            {"system": [{"type": "text", "text": "s"}, {"type": "image"}, {"type": "text", "text": "t"}]},
            {"messages": [{"role": "system", "content": "st"}, *HELLO]},
        ),
        ({"system": ""}, {}),
        (
            {"temperature": 0.5, "top_p": 0.25, "top_k": 4},
            {"options": {"num_predict": 3, "temperature": 0.5, "top_p": 0.25, "top_k": 4}},
        ),
        ({"stop_sequences": ["a"]}, {"options": {"num_predict": 3, "stop": ["a"]}}),
        ({"stop_sequences": []}, {}),
        ({"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}}, {"think": True}),
        ({"thinking": {"type": "disabled"}}, {"think": False}),
        ({"output_config": {"effort": " XHIGH "}}, {"think": "high"}),
        ({"output_config": {"effort": "max"}}, {"think": "max"}),
        ({"output_config": {"effort": "all"}}, {}),
    ],
)
def test_what_is_asked_for(document: dict[str, Any], native: dict[str, Any]) -> None:
    """Field by field."""
    fields = given({"model": "m", "max_tokens": 3, "messages": HELLO, **document})
    assert native_chat(fields) == {**PLAIN, **native}


@pytest.mark.parametrize(
    ("role", "content", "messages"),
    [
        ("User", "a", [{"role": "user", "content": "a"}]),
        ("user", "", []),
        ("user", [], []),
        ("user", [{"type": "unknown"}], []),
        (
            "user",
            [{"type": "text", "text": "a"}, {"type": "text"}, {"type": "text", "text": "b"}],
            [{"role": "user", "content": "ab"}],
        ),
        ("user", [{"type": "image", "source": {"type": "base64", "data": "aGk="}}], [{"role": "user", "content": ""}]),
        ("assistant", [{"type": "tool_use", "id": "1", "name": "f"}], [{"role": "assistant", "content": ""}]),
        ("assistant", [{"type": "server_tool_use"}], [{"role": "assistant", "content": ""}]),
        ("assistant", [{"type": "thinking", "thinking": "t"}], [{"role": "assistant", "content": ""}]),
        ("assistant", [{"type": "thinking"}], []),
        (
            "user",
            [{"type": "text", "text": "a"}, {"type": "tool_result", "content": "r"}],
            [{"role": "tool", "content": "r"}, {"role": "user", "content": "a"}],
        ),
        (
            "assistant",
            [
                {"type": "web_search_tool_result", "content": [{"type": "text", "text": "r"}]},
                {"type": "text", "text": "a"},
            ],
            [{"role": "assistant", "content": "a"}, {"role": "tool", "content": "r"}],
        ),
        ("user", [{"type": "tool_result"}], [{"role": "tool", "content": ""}]),
    ],
)
def test_messages(role: str, content: object, messages: list[dict[str, Any]]) -> None:
    """What tools gave is apart from what is said, for a user before it."""
    document = {"model": "m", "max_tokens": 3, "messages": [{"role": role, "content": content}]}
    assert native_chat(given(document))["messages"] == messages


def test_tools() -> None:
    """As functions."""
    tools = [{"name": "f", "description": "d", "input_schema": WEATHER}, {}]
    assert native_tools(given({"tools": tools})) == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": WEATHER}},
        {"type": "function", "function": {"name": "", "description": "", "parameters": {}}},
    ]


@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        ({}, 1),
        ({"messages": [{"role": "user", "content": "x"}]}, 1),
        ({"messages": [{"role": "user", "content": "hello LIMIT 6"}]}, 4),
        ({"system": "s" * 40}, 10),
        ({"system": "ß" * 20}, 10),
        ({"system": [{"type": "text", "text": "s" * 40}]}, 10),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 36}]}]}, 10),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x" * 36}]}]}, 10),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1"}]}]}, 8),
        ({"tools": [{"name": "n" * 10, "description": "d" * 28, "input_schema": {}}]}, 10),
        ({"tools": [{"name": "n" * 10, "description": "d" * 30}]}, 10),
    ],
)
def test_estimates(document: dict[str, Any], tokens: int) -> None:
    """A quarter of the bytes that count, and never nothing."""
    assert estimated_tokens(given(document)) == tokens
