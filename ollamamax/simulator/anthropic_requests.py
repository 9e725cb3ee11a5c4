"""What Anthropic's Messages API asks for, in the fields of Ollama's own (`anthropic/anthropic.go`, 0.33). Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from .failures import not_understood
from .json_requests import Fields, Shape, elements, json_type, members

_TOOL = Shape(
    "Tool",
    {"type": "string", "name": "string", "description": "string", "input_schema": "any", "max_uses": "int"},
)
_BLOCK = Shape(
    "MessagesRequest",
    {
        "type": "string",
        "text": "string",
        "source": "struct",
        "id": "string",
        "name": "string",
        "input": "any",
        "tool_use_id": "string",
        "content": "any",
        "is_error": "bool",
        "thinking": "string",
        "signature": "string",
    },
    {"source": "anthropic.ImageSource"},
    {"source": Shape("ImageSource", {"type": "string", "media_type": "string", "data": "string", "url": "string"})},
)
MESSAGES = Shape(
    "MessagesRequest",
    {
        "model": "string",
        "max_tokens": "int",
        "messages": "list",
        "system": "any",
        "stream": "bool",
        "temperature": "float64",
        "top_p": "float64",
        "top_k": "int",
        "stop_sequences": "list",
        "tools": "list",
        "thinking": "struct",
        "output_config": "struct",
    },
    {
        "messages": "[]anthropic.MessageParam",
        "stop_sequences": "[]string",
        "tools": "[]anthropic.Tool",
        "thinking": "anthropic.ThinkingConfig",
        "output_config": "anthropic.OutputConfig",
    },
    {
        "messages": Shape("MessagesRequest", {"role": "string", "content": "any"}),
        "tools": _TOOL,
        "thinking": Shape("ThinkingConfig", {"type": "string", "budget_tokens": "int"}),
        "output_config": Shape("OutputConfig", {"effort": "string"}),
    },
    package="anthropic",
)
_EFFORTS = ("high", "medium", "low", "max")


def native_chat(fields: Fields) -> dict[str, object]:
    """What `/api/chat` would be asked.

    Raises:
        ApiFailure: 400, what is missing or cannot be translated.
    """
    given = elements(fields.get("messages"))
    for message in given:
        _check_content(members(message))
    wanted = fields.get("max_tokens", 0)
    if not fields.get("model"):
        raise not_understood("model is required")
    if not isinstance(wanted, int) or wanted <= 0:
        raise not_understood("max_tokens is required and must be positive")
    if not given:
        raise not_understood("messages is required")
    system = _system_text(fields.get("system"))
    messages: list[dict[str, object]] = [{"role": "system", "content": system}] if system else []
    messages += [told for message in given for told in _messages(members(message))]
    options = {name: fields[name] for name in ("temperature", "top_p", "top_k") if name in fields}
    stops = elements(fields.get("stop_sequences"))
    native: dict[str, object] = {
        "model": fields["model"],
        "messages": messages,
        "options": {**options, "num_predict": wanted, **({"stop": list(stops)} if stops else {})},
        "tools": native_tools(fields),
        "stream": fields.get("stream", False),
    }
    think = _think(fields)
    return native if think is None else {**native, "think": think}


def native_tools(fields: Fields) -> list[dict[str, object]]:
    """The functions that were offered."""
    tools: list[dict[str, object]] = []
    for each in map(members, elements(fields.get("tools"))):
        function = {
            "name": each.get("name", ""),
            "description": each.get("description", ""),
            "parameters": each.get("input_schema") or {},
        }
        tools.append({"type": "function", "function": function})
    return tools


def estimated_tokens(fields: Fields) -> int:
    """A quarter of the characters, at least one: what a stream begins with."""
    length = _length(fields.get("system"))
    for message in map(members, elements(fields.get("messages"))):
        length += len(str(message.get("role", "")).encode()) + _length(message.get("content"))
    for tool in map(members, elements(fields.get("tools"))):
        named = f"{tool.get('name', '')}{tool.get('description', '')}"
        schema = json.dumps(tool["input_schema"]) if "input_schema" in tool else ""
        length += len(named.encode()) + len(schema)
    return max(1, length // 4)


def _check_content(message: Mapping[str, object]) -> None:
    """A message's content: a text, or blocks."""
    content = message.get("content")
    if content is None:
        raise not_understood("unexpected end of JSON input")
    if isinstance(content, str):
        return
    where = "json: cannot unmarshal {} into Go struct field MessagesRequest.messages{} of type {}"
    if not isinstance(content, list):
        raise not_understood(where.format(json_type(content), "", "[]anthropic.ContentBlock"))
    for block in content:
        if not isinstance(block, Mapping):
            raise not_understood(where.format(json_type(block), "", "anthropic.ContentBlock"))
        for name, kind in _BLOCK.fields.items():
            value = block.get(name)
            if kind == "string" and value is not None and not isinstance(value, str):
                raise not_understood(where.format(json_type(value), f".{name}", "string"))


def _messages(message: Mapping[str, object]) -> list[dict[str, object]]:
    """One message as one or several: what tools gave is apart, before what a user says to it."""
    role, content = str(message.get("role", "")).lower(), message.get("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}] if content else []
    text, others, results = "", False, list[dict[str, object]]()
    for block in map(members, elements(content)):
        kind = block.get("type")
        if kind == "text":
            text += str(block.get("text") or "")
        elif kind == "image":
            _check_image(block.get("source"))
            others = True
        elif kind in ("tool_use", "server_tool_use"):
            for name in ("id", "name") if kind == "tool_use" else ():
                if not block.get(name):
                    raise not_understood(f"tool_use block missing required '{name}' field")
            others = True
        elif kind in ("tool_result", "web_search_tool_result"):
            results.append({"role": "tool", "content": _result_text(block.get("content"))})
        elif kind == "thinking":
            others = others or bool(block.get("thinking"))
    said: list[dict[str, object]] = [{"role": role, "content": text}] if text or others else []
    return [*results, *said] if role == "user" else [*said, *results]


def _check_image(source: object) -> None:
    if not isinstance(source, Mapping):
        raise not_understood("invalid image source")
    kind = source.get("type", "")
    if kind != "base64":
        raise not_understood(f"invalid image source type: {kind}. Only base64 images are supported.")
    try:
        base64.b64decode(str(source.get("data", "")), validate=True)
    except (binascii.Error, ValueError):
        raise not_understood("invalid base64 image data: illegal base64 data at input byte 0") from None


def _result_text(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = map(members, elements(content))
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _system_text(system: object) -> str:
    return system if isinstance(system, str) else _result_text(system)


def _think(fields: Fields) -> object:
    """What is asked of thinking; None where nothing is."""
    kind = members(fields.get("thinking")).get("type")
    if kind in ("enabled", "disabled"):
        return kind == "enabled"
    effort = str(members(fields.get("output_config")).get("effort", "")).strip().lower()
    effort = "high" if effort == "xhigh" else effort
    return effort if effort in _EFFORTS else None


def _length(content: object) -> int:
    if isinstance(content, str):
        return len(content.encode())
    length = 0
    for block in map(members, elements(content)):
        length += len(str(block.get("text") or "").encode()) + len(str(block.get("thinking") or "").encode())
        if block.get("type") in ("tool_use", "tool_result"):
            length += len(json.dumps(dict(block), separators=(",", ":")))
    return length
