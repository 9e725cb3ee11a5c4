"""What OpenAI's older formats ask for: translations, and refusals in the words of a real 0.33."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ollamamax.simulator.failures import ApiFailure
from ollamamax.simulator.json_requests import Fields, Shape, read
from ollamamax.simulator.openai_requests import (
    CHAT_COMPLETION,
    COMPLETION,
    EMBEDDING,
    go_type,
    image_bytes,
    native_chat,
    native_embed,
    native_generate,
    thinking_of_effort,
    wants_usage,
)

HELLO = [{"role": "user", "content": "hello LIMIT 6"}]
IMAGE = "data:image/png;base64,aGVsbG8="
INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"
EFFORTS = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
DEFAULTS = {"temperature": 1.0, "top_p": 1.0}


def refused(document: object, shape: Shape, translated: Callable[[Fields], object]) -> str:
    """What is said to a body that cannot be translated."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(ApiFailure) as caught:
        translated(read(body, shape, without_body="EOF"))
    assert caught.value.status == 400
    return caught.value.message


CHATS: list[tuple[object, str]] = [
    (b"", "EOF"),
    (b"[]", "json: cannot unmarshal array into Go value of type openai.ChatCompletionRequest"),
    (b'{"model": "tiny",}', "invalid character '}' looking for beginning of object key string"),
    ({"model": "tiny"}, "[] is too short - 'messages'"),
    ({"max_tokens": "x"}, INTO.format("string", "ChatCompletionRequest.max_tokens", "int")),
    ({"max_tokens": 1.5}, INTO.format("number 1.5", "ChatCompletionRequest.max_tokens", "int")),
    ({"temperature": "x"}, INTO.format("string", "ChatCompletionRequest.temperature", "float64")),
    ({"stream_options": "x"}, INTO.format("string", "ChatCompletionRequest.stream_options", "openai.StreamOptions")),
    (
        {"stream_options": {"include_usage": "x"}},
        INTO.format("string", "StreamOptions.stream_options.include_usage", "bool"),
    ),
    ({"messages": "x"}, INTO.format("string", "ChatCompletionRequest.messages", "[]openai.Message")),
    ({"messages": ["x"]}, INTO.format("string", "ChatCompletionRequest.messages", "openai.Message")),
    ({"messages": [{"role": 1}]}, INTO.format("number", "Message.messages.role", "string")),
    ({"messages": [{"role": "user"}]}, "invalid message content type: <nil>"),
    ({"messages": [{"content": 5}]}, "invalid message content type: float64"),
    ({"messages": [{"content": {}}]}, "invalid message content type: map[string]interface {}"),
    ({"messages": [{"content": [{"type": "text"}]}]}, "invalid message format"),
    ({"messages": [{"content": ["x"]}]}, "invalid message format"),
    ({"messages": [{"content": [{"type": "image_url", "image_url": "x"}]}]}, "invalid image input"),
    (
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]}]},
        "invalid image input",
    ),
    (
        {"messages": [{"content": [{"type": "image_url", "image_url": "http://x/y"}]}]},
        "image URLs are not currently supported, please use base64 encoded data instead",
    ),
    ({"messages": [{"content": [{"type": "input_audio"}]}]}, "invalid input_audio format"),
    (
        {"messages": [{"content": [{"type": "input_audio", "input_audio": {}}]}]},
        "invalid input_audio format: missing data",
    ),
    ({"messages": [{"tool_calls": [{"function": {"arguments": "{"}}]}]}, "invalid tool call arguments"),
    ({"messages": HELLO, "reasoning_effort": "xx"}, f'invalid reasoning value: "xx" (must be {EFFORTS})'),
]
COMPLETIONS: list[tuple[object, str]] = [
    ({"prompt": ["x"]}, INTO.format("array", "CompletionRequest.prompt", "string")),
    ({"prompt": "x", "stop": [1]}, "invalid type for 'stop' field: float64"),
    ({"temperature": "x"}, INTO.format("string", "CompletionRequest.temperature", "float32")),
    ({"logprobs": True}, INTO.format("bool", "CompletionRequest.logprobs", "int")),
]
EMBEDDINGS: list[tuple[object, str]] = [
    ({"model": "tiny"}, "invalid input"),
    ({"model": "tiny", "input": []}, "invalid input"),
    ({"model": 3, "input": "x"}, INTO.format("number", "EmbedRequest.model", "string")),
    (
        {"model": "tiny", "input": "x", "encoding_format": "zz"},
        "Invalid value for 'encoding_format' = zz. Supported values: ['float', 'base64'].",
    ),
]


def test_chats_that_are_refused() -> None:
    """Each for what is wrong with it, first of all for its types."""
    for document, words in CHATS:
        assert refused(document, CHAT_COMPLETION, native_chat) == words


def test_completions_that_are_refused() -> None:
    """Likewise."""
    for document, words in COMPLETIONS:
        assert refused(document, COMPLETION, native_generate) == words


def test_embeddings_that_are_refused() -> None:
    """Likewise."""
    for document, words in EMBEDDINGS:
        assert refused(document, EMBEDDING, native_embed) == words


@pytest.mark.parametrize(
    ("fields", "native"),
    [
        ({}, {"options": DEFAULTS}),
        ({"model": "m"}, {"model": "m", "options": DEFAULTS}),
        ({"stream": True}, {"stream": True, "options": DEFAULTS}),
        ({"max_tokens": 3}, {"options": {**DEFAULTS, "num_predict": 3}}),
        ({"temperature": 0, "top_p": 0.5}, {"options": {"temperature": 0, "top_p": 0.5}}),
        (
            {"seed": 1, "frequency_penalty": 2, "presence_penalty": 3},
            {"options": {**DEFAULTS, "seed": 1, "frequency_penalty": 2, "presence_penalty": 3}},
        ),
        ({"stop": "a"}, {"options": {**DEFAULTS, "stop": ["a"]}}),
        ({"stop": ["a", 1, "b"]}, {"options": {**DEFAULTS, "stop": ["a", "b"]}}),
        ({"tools": [{"x": 1}]}, {"tools": [{"x": 1}], "options": DEFAULTS}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2, "options": DEFAULTS}),
        ({"response_format": {"type": " JSON_object "}}, {"format": "json", "options": DEFAULTS}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": 1}}}},
            {"format": {"a": 1}, "options": DEFAULTS},
        ),
        ({"response_format": {"type": "json_schema"}}, {"options": DEFAULTS}),
        ({"response_format": {"type": "text", "json_schema": {"schema": {"a": 1}}}}, {"options": DEFAULTS}),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, {"think": "high", "options": DEFAULTS}),
        ({"reasoning_effort": "none"}, {"think": False, "options": DEFAULTS}),
        ({"reasoning": {}}, {"options": DEFAULTS}),
    ],
)
def test_what_a_chat_asks_for(fields: dict[str, Any], native: dict[str, Any]) -> None:
    """Field by field; what is not said is not passed on."""
    given = read(json.dumps({"messages": HELLO, **fields}).encode(), CHAT_COMPLETION)
    assert native_chat(given) == {"messages": HELLO, "stream": False, **native}


@pytest.mark.parametrize(
    ("message", "messages"),
    [
        ({"role": "user", "content": "a"}, [{"role": "user", "content": "a"}]),
        ({"content": ""}, [{"role": "", "content": ""}]),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        ),
        ({"content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}, [{"role": "", "content": ""}]),
        ({"content": [{"type": "image_url", "image_url": IMAGE}]}, [{"role": "", "content": ""}]),
        ({"content": [{"type": "input_audio", "input_audio": {"data": "aGk="}}]}, [{"role": "", "content": ""}]),
        ({"tool_calls": [{"function": {"arguments": "{}"}}]}, [{"role": "", "content": ""}]),
        ({"content": "a", "tool_calls": [{"function": {"arguments": "{}"}}]}, [{"role": "", "content": "a"}]),
    ],
)
def test_messages(message: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Each part of a content is a message of its own; pictures and sounds have no words."""
    assert native_chat(read(json.dumps({"messages": [message]}).encode(), CHAT_COMPLETION))["messages"] == messages


def test_what_a_completion_asks_for() -> None:
    """The prompt, what comes after it, and the options."""
    given = {"model": "m", "prompt": "p", "suffix": "s", "stream": True, "stop": "a", "max_tokens": 3, "seed": 4}
    assert native_generate(read(json.dumps(given).encode(), COMPLETION)) == {
        "model": "m",
        "prompt": "p",
        "suffix": "s",
        "stream": True,
        "options": {**DEFAULTS, "stop": ["a"], "num_predict": 3, "seed": 4},
    }
    assert native_generate({}) == {"stream": False, "options": DEFAULTS}


def test_what_an_embedding_asks_for() -> None:
    """An empty text is one text; the format is for the answer."""
    assert native_embed({"model": "m", "input": "", "dimensions": 3}) == {"model": "m", "dimensions": 3, "input": [""]}
    assert native_embed({"input": ["a"], "encoding_format": "BASE64"}) == {"input": ["a"]}
    assert native_embed({"input": "a", "encoding_format": "Float"}) == {"input": "a"}


def test_usage_is_asked_for_in_one_way() -> None:
    """And in no other."""
    assert wants_usage({"stream_options": {"include_usage": True}}) is True
    assert wants_usage({"stream_options": {"include_usage": False}}) is False
    assert wants_usage({}) is False


def test_efforts() -> None:
    """Ollama's own, and those that clients add."""
    told = {effort: thinking_of_effort(effort) for effort in ("", "none", "minimal", "low", "medium", "high", "max")}
    assert list(told.values()) == [None, False, "low", "low", "medium", "high", "max"]
    assert [thinking_of_effort("xhigh"), thinking_of_effort("ultra")] == ["max", "max"]


def test_pictures() -> None:
    """As data URLs of the kinds that Ollama knows, or of none."""
    for kind in ("data:;base64,", *(f"data:image/{each};base64," for each in ("jpeg", "jpg", "png", "webp"))):
        assert image_bytes(kind + "aGVsbG8=") == b"hello"
    for url in ("data:image/gif;base64,aGVsbG8=", "aGVsbG8=", "data:;base64,a", "data:;base64,a!==", ""):
        with pytest.raises(ApiFailure, match=r"\Ainvalid image input\Z"):
            image_bytes(url)
    with pytest.raises(ApiFailure, match="image URLs are not currently supported"):
        image_bytes("https://x")


def test_names_of_go_types() -> None:
    """As they stand in messages."""
    values: list[object] = [None, {}, [], 1, 1.5, "x", True]
    told = ["<nil>", "map[string]interface {}", "[]interface {}", "float64", "float64", "string", "bool"]
    assert [go_type(value) for value in values] == told
