"""What OpenAI's Responses API asks for: translations, echoes, and refusals in the words of a real 0.33."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ollamamax.simulator.failures import ApiFailure
from ollamamax.simulator.json_requests import Fields, read
from ollamamax.simulator.responses_events import Echo
from ollamamax.simulator.responses_requests import RESPONSES, echo_of, native_chat, native_tools

IMAGE = "data:image/png;base64,aGVsbG8="
INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"
STRUCT = 'struct { Type string "json:\\"type\\""; Role string "json:\\"role\\"" }'
NO_LIST = "json: cannot unmarshal number into Go value of type []json.RawMessage"
WEATHER = {"type": "object", "properties": {}}


def given(document: object) -> Fields:
    """The fields of a request."""
    return read(json.dumps(document).encode(), RESPONSES)


REFUSED: list[tuple[object, str]] = [
    ({"input": 5}, f"input must be a string or array: {NO_LIST}"),
    ({"input": [{"x": 5}]}, "input[0]: input item missing required 'type' field"),
    ({"input": [{"type": "zz"}]}, 'input[0]: unknown input item type: "zz"'),
    ({"input": ["x"]}, f"input[0]: json: cannot unmarshal string into Go value of type {STRUCT}"),
    ({"input": [{"role": "user", "content": 5}]}, f"input[0]: content must be a string or array: {NO_LIST}"),
    ({"input": [{"role": "user", "content": [{"type": "zz"}]}]}, "input[0]: content[0]: unknown content type: zz"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "file inputs are not currently supported"),
    ({"reasoning": {"effort": 1}}, INTO.format("number", "ResponsesReasoning.reasoning.effort", "string")),
    ({"input": [None]}, "input[0]: input item missing required 'type' field"),
    (
        {"input": [{"type": "function_call_output", "output": 5}]},
        f"input[0]: output must be a string or array: {NO_LIST}",
    ),
    (
        {"input": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "input_text"}, {}]}]},
        "input[1]: content[1]: unknown content type: ",
    ),
    (
        {"input": [{"type": "function_call", "arguments": "{"}]},
        "failed to parse function call arguments: unexpected end of JSON input",
    ),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "invalid image input"),
    ({"text": {"format": {"type": 1}}}, INTO.format("number", "ResponsesTextFormat.text.format.type", "string")),
]


def test_what_is_refused() -> None:
    """Each for what is wrong with it, and where."""
    for document, words in REFUSED:
        with pytest.raises(ApiFailure) as caught:
            native_chat(given(document))
        assert (caught.value.status, caught.value.message) == (400, words)


PLAIN = {"model": "", "messages": [], "options": {"temperature": 1.0}, "tools": [], "stream": False}


@pytest.mark.parametrize(
    ("document", "native"),
    [
        ({}, {}),
        ({"model": "m", "stream": True}, {"model": "m", "stream": True}),
        ({"input": "a"}, {"messages": [{"role": "user", "content": "a"}]}),
        (
            {"instructions": "b", "input": "a"},
            {"messages": [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]},
        ),
        ({"temperature": 0.5, "top_p": 0.25}, {"options": {"temperature": 0.5, "top_p": 0.25}}),
        ({"max_output_tokens": 3}, {"options": {"temperature": 1.0, "num_predict": 3}}),
        ({"reasoning": {"effort": "xhigh"}}, {"think": "max"}),
        ({"reasoning": {"summary": "auto"}}, {}),
        ({"text": {"format": {"type": "json_schema", "schema": {"a": 1}}}}, {"format": {"a": 1}}),
        ({"text": {"format": {"type": "json_schema"}}}, {}),
        ({"text": {"format": {"type": "text", "schema": {"a": 1}}}}, {}),
    ],
)
def test_what_is_asked_for(document: dict[str, Any], native: dict[str, Any]) -> None:
    """Field by field."""
    assert native_chat(given(document)) == {**PLAIN, **native}


@pytest.mark.parametrize(
    ("item", "messages"),
    [
        ({"role": "user", "content": "a"}, [{"role": "user", "content": "a"}]),
        ({"type": "message", "role": "user"}, [{"role": "user", "content": ""}]),
        ({"type": "message", "content": "a"}, [{"role": "", "content": "a"}]),
        (
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a"}, {"type": "input_text", "text": "b"}],
            },
            [{"role": "assistant", "content": "ab"}],
        ),
        ({"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]}, [{"role": "user", "content": ""}]),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}, [{"role": "user", "content": ""}]),
        ({"type": "function_call", "name": "f"}, [{"role": "assistant", "content": ""}]),
        ({"type": "function_call", "arguments": "{}"}, [{"role": "assistant", "content": ""}]),
        ({"type": "function_call_output", "output": "a"}, [{"role": "tool", "content": "a"}]),
        (
            {"type": "function_call_output", "output": [{"type": "input_text", "text": "a"}]},
            [{"role": "tool", "content": "a"}],
        ),
        ({"type": "reasoning"}, []),
        ({"type": "web_search_call"}, []),
    ],
)
def test_items_of_the_input(item: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """What each kind stands for in a conversation."""
    assert native_chat(given({"input": [item]}))["messages"] == messages


def test_tools() -> None:
    """Functions, and those of a namespace under its name."""
    tools = [
        {"type": "function", "name": "f", "description": "d", "parameters": WEATHER},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
        {"type": "namespace", "tools": [{"type": "function", "name": "h"}]},
    ]
    assert native_tools(given({"tools": tools})) == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": WEATHER}},
        {"type": "function", "function": {"name": "n.g", "description": "", "parameters": {}}},
        {"type": "function", "function": {"name": "h", "description": "", "parameters": {}}},
    ]
    assert native_tools({}) == []


def test_what_is_repeated() -> None:
    """What was said, and nothing for what was not."""
    assert echo_of({}) == Echo("", tools=[])
    document = {
        "model": "m",
        "instructions": "i",
        "tools": [{"type": "function", "name": "f", "parameters": WEATHER}, {}],
        "truncation": "auto",
        "text": {"format": {"name": "n", "schema": {}, "strict": True}},
        "temperature": 0.5,
        "top_p": 1.0,
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": 3,
        "background": True,
    }
    assert echo_of(given(document)) == Echo(
        "m",
        "i",
        [
            {"type": "function", "name": "f", "description": None, "strict": None, "parameters": WEATHER},
            {"type": "", "name": "", "description": None, "strict": None, "parameters": None},
        ],
        "auto",
        {"type": "", "name": "n", "schema": {}, "strict": True},
        0.5,
        1.0,
        "low",
        "auto",
        3,
        background=True,
    )
