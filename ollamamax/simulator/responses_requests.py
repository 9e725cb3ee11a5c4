"""What OpenAI's Responses API asks for, in the fields of Ollama's own (`openai/responses.go`, 0.33). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .failures import not_understood
from .json_requests import Fields, Shape, elements, json_type, members
from .openai_requests import image_bytes, thinking_of_effort
from .responses_events import Echo

_TOOL = Shape(
    "ResponsesTool",
    {
        "type": "string",
        "name": "string",
        "description": "string",
        "strict": "bool",
        "parameters": "map",
        "tools": "any",
    },
)
_FORMAT = Shape("ResponsesTextFormat", {"type": "string", "name": "string", "schema": "any", "strict": "bool"})
RESPONSES = Shape(
    "ResponsesRequest",
    {
        "model": "string",
        "background": "bool",
        "input": "any",
        "instructions": "string",
        "max_output_tokens": "int",
        "reasoning": "struct",
        "temperature": "float64",
        "text": "struct",
        "top_p": "float64",
        "truncation": "string",
        "tools": "list",
        "stream": "bool",
    },
    {
        "reasoning": "openai.ResponsesReasoning",
        "text": "openai.ResponsesText",
        "tools": "[]openai.ResponsesTool",
    },
    {
        "reasoning": Shape("ResponsesReasoning", {"effort": "string", "summary": "string"}),
        "text": Shape(
            "ResponsesText", {"format": "struct"}, {"format": "openai.ResponsesTextFormat"}, {"format": _FORMAT}
        ),
        "tools": _TOOL,
    },
    package="openai",
)
_TEXTS = ("input_text", "output_text")


def native_chat(fields: Fields) -> dict[str, object]:
    """What `/api/chat` would be asked.

    Raises:
        ApiFailure: 400, what cannot be translated.
    """
    instructions = fields.get("instructions")
    messages: list[dict[str, object]] = [{"role": "system", "content": instructions}] if instructions else []
    given = fields.get("input", "")
    if isinstance(given, str):
        messages += [{"role": "user", "content": given}] if given else []
    elif isinstance(given, list):
        messages += [each for place, item in enumerate(given) for each in _messages(item, f"input[{place}]: ")]
    else:
        raise not_understood(f"input must be a string or array: {_no_list(given)}")
    options: dict[str, object] = {"temperature": fields.get("temperature", 1.0)}
    if "top_p" in fields:
        options["top_p"] = fields["top_p"]
    if "max_output_tokens" in fields:
        options["num_predict"] = fields["max_output_tokens"]
    native: dict[str, object] = {
        "model": fields.get("model", ""),
        "messages": messages,
        "options": options,
        "tools": native_tools(fields),
        "stream": fields.get("stream", False),
    }
    think = thinking_of_effort(str(members(fields.get("reasoning")).get("effort", "")))
    if think is not None:
        native["think"] = think
    asked = members(members(fields.get("text")).get("format"))
    if asked.get("type") == "json_schema" and asked.get("schema") is not None:
        native["format"] = asked["schema"]
    return native


def echo_of(fields: Fields) -> Echo:
    """What the response repeats of its request."""
    reasoning = members(fields.get("reasoning"))
    asked = members(members(fields.get("text")).get("format"))
    wanted = fields.get("max_output_tokens")
    return Echo(
        model=str(fields.get("model", "")),
        instructions=_text(fields.get("instructions")),
        tools=[_told_tool(members(tool)) for tool in elements(fields.get("tools"))],
        truncation=_text(fields.get("truncation")),
        text_format={"type": "", **asked} if asked else None,
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        effort=_text(reasoning.get("effort")),
        summary=_text(reasoning.get("summary")),
        max_output_tokens=wanted if isinstance(wanted, int) else None,
        background=fields.get("background") is True,
    )


def native_tools(fields: Fields) -> list[dict[str, object]]:
    """The functions that were offered; those of a namespace carry its name."""
    return [tool for each in elements(fields.get("tools")) for tool in _functions(members(each))]


def _functions(tool: Mapping[str, object]) -> list[dict[str, object]]:
    name = str(tool.get("name", ""))
    if tool.get("type") != "namespace":
        function = {
            "name": name,
            "description": tool.get("description") or "",
            "parameters": tool.get("parameters") or {},
        }
        return [{"type": tool.get("type", ""), "function": function}]
    found = [member for each in elements(tool.get("tools")) for member in _functions(members(each))]
    for member in found:
        function = dict(members(member["function"]))
        function["name"] = f"{name}.{function['name']}" if name else function["name"]
        member["function"] = function
    return found


def _told_tool(tool: Mapping[str, object]) -> dict[str, object]:
    told = {name: tool.get(name) for name in ("type", "name", "description", "strict", "parameters")}
    return {**told, "type": told["type"] or "", "name": told["name"] or ""}


def _messages(item: object, where: str) -> list[dict[str, object]]:
    """The messages that an item of the input stands for; what is only remembered is none."""
    if item is not None and not isinstance(item, Mapping):
        fields = 'struct { Type string "json:\\"type\\""; Role string "json:\\"role\\"" }'
        raise not_understood(f"{where}json: cannot unmarshal {json_type(item)} into Go value of type {fields}")
    item = members(item)
    role = str(item.get("role", ""))
    kind = str(item.get("type", "")) or ("message" if role else "")
    if kind == "message":
        return [{"role": role, "content": _content(item.get("content"), f"{where}content", "content")}]
    if kind == "function_call":
        _check_arguments(str(item.get("arguments", "")))
        return [{"role": "assistant", "content": ""}]
    if kind == "function_call_output":
        return [{"role": "tool", "content": _content(item.get("output"), f"{where}output", "output")}]
    if kind in ("reasoning", "web_search_call"):
        return []
    if not kind:
        raise not_understood(f"{where}input item missing required 'type' field")
    raise not_understood(f"{where}unknown input item type: {json.dumps(kind, ensure_ascii=False)}")


def _content(content: object, where: str, name: str) -> str:
    """The text of a message, of whatever parts it is made."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise not_understood(f"{where.removesuffix(name)}{name} must be a string or array: {_no_list(content)}")
    return "".join(_part(members(part), f"{where}[{place}]: ") for place, part in enumerate(content))


def _part(part: Mapping[str, object], where: str) -> str:
    kind = part.get("type", "")
    if kind in _TEXTS:
        return str(part.get("text", ""))
    if kind == "input_image":
        url = part.get("image_url")
        if isinstance(url, str) and url:
            image_bytes(url)
        return ""
    if kind == "input_file":
        raise not_understood("file inputs are not currently supported")
    raise not_understood(f"{where}unknown content type: {kind}")


def _check_arguments(arguments: str) -> None:
    if not arguments:
        return
    try:
        json.loads(arguments)
    except ValueError:
        raise not_understood("failed to parse function call arguments: unexpected end of JSON input") from None


def _no_list(value: object) -> str:
    return f"json: cannot unmarshal {json_type(value)} into Go value of type []json.RawMessage"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
