"""What OpenAI's older formats ask for, in the fields of Ollama's own API (`openai/openai.go`, 0.33). Pure.

`max_completion_tokens` is not among what Ollama reads: like all that it does not know, it is passed over.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

from .failures import not_understood
from .json_requests import Fields, Shape, elements, json_type, members

_STREAM_OPTIONS = Shape("StreamOptions", {"include_usage": "bool"})
_FUNCTION = Shape("", {"name": "string", "arguments": "string"})
_TOOL_CALL = Shape(
    "ToolCall",
    {"id": "string", "index": "int", "type": "string", "function": "struct"},
    {"function": 'struct { Name string "json:\\"name\\""; Arguments string "json:\\"arguments\\"" }'},
    {"function": _FUNCTION},
)
_MESSAGE = Shape(
    "Message",
    {
        "role": "string",
        "content": "any",
        "reasoning": "string",
        "tool_calls": "list",
        "name": "string",
        "tool_call_id": "string",
    },
    {"tool_calls": "[]openai.ToolCall"},
    {"tool_calls": _TOOL_CALL},
)
_RESPONSE_FORMAT = Shape(
    "ResponseFormat",
    {"type": "string", "json_schema": "struct"},
    {"json_schema": "openai.JsonSchema"},
    {"json_schema": Shape("JsonSchema", {"schema": "any"})},
)
CHAT_COMPLETION = Shape(
    "ChatCompletionRequest",
    {
        "model": "string",
        "messages": "list",
        "stream": "bool",
        "stream_options": "struct",
        "max_tokens": "int",
        "seed": "int",
        "stop": "any",
        "temperature": "float64",
        "frequency_penalty": "float64",
        "presence_penalty": "float64",
        "top_p": "float64",
        "response_format": "struct",
        "tools": "list",
        "reasoning": "struct",
        "reasoning_effort": "string",
        "logprobs": "bool",
        "top_logprobs": "int",
    },
    {
        "messages": "[]openai.Message",
        "tools": "[]api.Tool",
        "stream_options": "openai.StreamOptions",
        "response_format": "openai.ResponseFormat",
        "reasoning": "openai.Reasoning",
    },
    {
        "messages": _MESSAGE,
        "stream_options": _STREAM_OPTIONS,
        "response_format": _RESPONSE_FORMAT,
        "reasoning": Shape("Reasoning", {"effort": "string"}),
    },
    package="openai",
)
COMPLETION = Shape(
    "CompletionRequest",
    {
        "model": "string",
        "prompt": "string",
        "frequency_penalty": "float32",
        "max_tokens": "int",
        "presence_penalty": "float32",
        "seed": "int",
        "stop": "any",
        "stream": "bool",
        "stream_options": "struct",
        "temperature": "float32",
        "top_p": "float32",
        "suffix": "string",
        "logprobs": "int",
    },
    {"stream_options": "openai.StreamOptions"},
    {"stream_options": _STREAM_OPTIONS},
    package="openai",
)
EMBEDDING = Shape(
    "EmbedRequest",
    {"model": "string", "input": "any", "dimensions": "int", "encoding_format": "string"},
    package="openai",
)

_EFFORTS: Mapping[str, object] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
_GO_VALUES = {
    "object": "map[string]interface {}",
    "array": "[]interface {}",
    "number": "float64",
    "string": "string",
    "bool": "bool",
}
_IMAGES = ("data:;base64,", *(f"data:image/{kind};base64," for kind in ("jpeg", "jpg", "png", "webp")))


def native_chat(fields: Fields) -> dict[str, object]:
    """What `/api/chat` would be asked.

    Raises:
        ApiFailure: 400, what cannot be translated.
    """
    given = elements(fields.get("messages"))
    if not given:
        raise not_understood("[] is too short - 'messages'")
    messages = [message for each in given for message in _messages(members(each))]
    chosen: dict[str, object] = {"temperature": 1.0, "top_p": 1.0, **_options(fields)}
    if "stop" in fields:
        chosen["stop"] = [each for each in _stops(fields["stop"]) if isinstance(each, str)]
    reasoning = fields.get("reasoning")
    effort = reasoning.get("effort", "") if isinstance(reasoning, Mapping) else fields.get("reasoning_effort", "")
    return {
        **_without_none(
            model=fields.get("model"),
            tools=fields.get("tools"),
            format=_format(members(fields.get("response_format"))),
            think=thinking_of_effort(str(effort)),
            logprobs=fields.get("logprobs"),
            top_logprobs=fields.get("top_logprobs"),
        ),
        "messages": messages,
        "stream": fields.get("stream", False),
        "options": chosen,
    }


def native_generate(fields: Fields) -> dict[str, object]:
    """What `/api/generate` would be asked.

    Raises:
        ApiFailure: 400, what cannot be translated.
    """
    chosen: dict[str, object] = {"temperature": 1.0, "top_p": 1.0, **_options(fields)}
    if "stop" in fields:
        stops = _stops(fields["stop"])
        for each in stops:
            if not isinstance(each, str):
                raise not_understood(f"invalid type for 'stop' field: {go_type(each)}")
        chosen["stop"] = list(stops)
    return {
        **_without_none(model=fields.get("model"), prompt=fields.get("prompt"), suffix=fields.get("suffix")),
        "stream": fields.get("stream", False),
        "options": chosen,
    }


def native_embed(fields: Fields) -> dict[str, object]:
    """What `/api/embed` would be asked.

    Raises:
        ApiFailure: 400, an input or a format that is none.
    """
    encoding = str(fields.get("encoding_format", ""))
    if encoding and encoding.casefold() not in ("float", "base64"):
        raise not_understood(
            f"Invalid value for 'encoding_format' = {encoding}. Supported values: ['float', 'base64']."
        )
    given = fields.get("input")
    if given is None or given == []:
        raise not_understood("invalid input")
    return {
        **_without_none(model=fields.get("model"), dimensions=fields.get("dimensions")),
        "input": [""] if given == "" else given,
    }


def wants_usage(fields: Fields) -> bool:
    """Whether a stream is to tell its usage."""
    return members(fields.get("stream_options")).get("include_usage") is True


def thinking_of_effort(effort: str) -> object:
    """The `think` that a reasoning effort stands for; None where nothing was said.

    Raises:
        ApiFailure: 400, it is none.
    """
    if not effort:
        return None
    if effort not in _EFFORTS:
        known = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
        raise not_understood(f"invalid reasoning value: {json.dumps(effort, ensure_ascii=False)} (must be {known})")
    return _EFFORTS[effort]


def image_bytes(url: str) -> bytes:
    """The picture in a data URL.

    Raises:
        ApiFailure: 400, it is none.
    """
    if url.startswith(("http://", "https://")):
        raise not_understood("image URLs are not currently supported, please use base64 encoded data instead")
    prefix = next((each for each in _IMAGES if url.startswith(each)), None)
    if prefix is None:
        raise not_understood("invalid image input")
    try:
        return base64.b64decode(url.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise not_understood("invalid image input") from None


def go_type(value: object) -> str:
    """The Go type that a value of unknown shape is decoded to."""
    return "<nil>" if value is None else _GO_VALUES[json_type(value)]


def _messages(message: Mapping[str, object]) -> list[dict[str, object]]:
    """One message as one or several: each part of its content is one."""
    role, content = message.get("role", ""), message.get("content")
    calls = message.get("tool_calls")
    if isinstance(content, str):
        _check_calls(calls)
        return [{"role": role, "content": content}]
    if isinstance(content, list):
        return [{"role": role, **_part(part)} for part in content]
    if calls is None:
        raise not_understood(f"invalid message content type: {go_type(content)}")
    _check_calls(calls)
    return [{"role": role, "content": ""}]


def _part(part: object) -> dict[str, object]:
    """A part of a message's content: a text, a picture or a sound."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if isinstance(part, Mapping) and kind == "text" and isinstance(part.get("text"), str):
        return {"content": part["text"]}
    if isinstance(part, Mapping) and kind == "image_url":
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, Mapping) else url
        if isinstance(url, str):
            image_bytes(url)
            return {"content": ""}
    if isinstance(part, Mapping) and kind == "input_audio":
        _check_audio(part.get("input_audio"))
        return {"content": ""}
    raise not_understood("invalid message format")


def _check_audio(audio: object) -> None:
    if not isinstance(audio, Mapping):
        raise not_understood("invalid input_audio format")
    data = audio.get("data")
    if not isinstance(data, str):
        raise not_understood("invalid input_audio format: missing data")
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise not_understood("invalid input_audio base64 data: illegal base64 data at input byte 0") from None


def _check_calls(calls: object) -> None:
    """Earlier tool calls: their arguments are JSON objects."""
    for call in elements(calls):
        arguments = members(members(call).get("function")).get("arguments", "")
        try:
            told = json.loads(str(arguments))
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise not_understood("invalid tool call arguments")


def _options(fields: Fields) -> dict[str, object]:
    told = {name: fields[name] for name in ("seed", "frequency_penalty", "presence_penalty") if name in fields}
    told |= {name: fields[name] for name in ("temperature", "top_p") if name in fields}
    return {**told, "num_predict": fields["max_tokens"]} if "max_tokens" in fields else told


def _stops(stop: object) -> Sequence[object]:
    return [stop] if isinstance(stop, str) else elements(stop)


def _format(asked: Mapping[str, object]) -> object:
    kind = str(asked.get("type", "")).strip().lower()
    if kind == "json_object":
        return "json"
    return members(asked.get("json_schema")).get("schema") if kind == "json_schema" else None


def _without_none(**members: object) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
