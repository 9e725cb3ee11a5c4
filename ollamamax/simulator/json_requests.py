"""JSON bodies as Go reads them into its structs: names in any case, the last one wins, errors in its words. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import attrs

from .durations import keep_alive_seconds
from .failures import ApiFailure

Fields = Mapping[str, object]
"""A request's fields by their proper names; those that are absent or null are not there."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int": (int,),
    "float32": (int, float),
    "float64": (int, float),
    "map": (dict,),
    "list": (list,),
}
_GO_TYPES = {
    "string": "string",
    "bool": "bool",
    "int": "int",
    "float32": "float32",
    "float64": "float64",
    "map": "map[string]interface {}",
}


@attrs.frozen
class Shape:
    """A Go struct.

    Attributes:
        name: its name in messages.
        fields: its fields; a kind is `string`, `bool`, `int`, `float32`, `float64`, `map`, `any`, `keep_alive`,
            `think`, `list` or `struct`.
        go_types: Go's names for the lists and structs among them.
        items: the shapes of lists' elements, and of structs.
        package: where Go has it.
    """

    name: str
    fields: Mapping[str, str]
    go_types: Mapping[str, str] = attrs.Factory(dict)
    items: Mapping[str, Shape] = attrs.Factory(dict)
    package: str = "api"


_MESSAGE = Shape(
    "ChatRequest",
    {"role": "string", "content": "string", "thinking": "string", "images": "list", "tool_calls": "list"},
    {"images": "[]api.ImageData", "tool_calls": "[]api.ToolCall"},
)
_COMMON = {
    "model": "string",
    "stream": "bool",
    "format": "any",
    "keep_alive": "keep_alive",
    "options": "map",
    "think": "think",
    "truncate": "bool",
    "shift": "bool",
    "logprobs": "bool",
    "top_logprobs": "int",
}
GENERATE = Shape(
    "GenerateRequest",
    {
        **_COMMON,
        "prompt": "string",
        "suffix": "string",
        "system": "string",
        "template": "string",
        "context": "list",
        "raw": "bool",
        "images": "list",
    },
    {"context": "[]int", "images": "[]api.ImageData"},
)
CHAT = Shape(
    "ChatRequest",
    {**_COMMON, "messages": "list", "tools": "list"},
    {"messages": "[]api.Message", "tools": "api.Tools"},
    {"messages": _MESSAGE},
)
EMBED = Shape(
    "EmbedRequest",
    {
        "model": "string",
        "input": "any",
        "keep_alive": "keep_alive",
        "truncate": "bool",
        "dimensions": "int",
        "options": "map",
    },
)
EMBEDDINGS = Shape(
    "EmbeddingRequest", {"model": "string", "prompt": "string", "keep_alive": "keep_alive", "options": "map"}
)
SHOW = Shape(
    "ShowRequest",
    {
        "model": "string",
        "name": "string",
        "system": "string",
        "verbose": "bool",
        "options": "map",
        "template": "string",
    },
)
COPY = Shape("CopyRequest", {"source": "string", "destination": "string"})
DELETE = Shape("DeleteRequest", {"model": "string", "name": "string"})
PULL = Shape("PullRequest", {"model": "string", "name": "string", "insecure": "bool", "stream": "bool"})
PUSH = Shape("PushRequest", {"model": "string", "name": "string", "insecure": "bool", "stream": "bool"})
CREATE = Shape(
    "CreateRequest",
    {
        "model": "string",
        "name": "string",
        "stream": "bool",
        "quantize": "string",
        "from": "string",
        "files": "map",
        "adapters": "map",
        "template": "string",
        "license": "any",
        "system": "string",
        "parameters": "map",
        "messages": "list",
    },
    {"messages": "[]api.Message"},
)


class _Pairs(list[tuple[str, object]]):
    """A JSON object's members in order, doubled ones included."""


def read(body: bytes, shape: Shape, *, without_body: str = "missing request body") -> Fields:
    """The fields of a request's body.

    Args:
        body: all of it.
        shape: what it is read into.
        without_body: what is said when there is none.

    Raises:
        ApiFailure: 400, in the words of Go's decoder.
    """
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise ApiFailure(400, without_body)
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise ApiFailure(400, _syntax_words(error)) from None
    except RecursionError:
        raise ApiFailure(400, "exceeded max depth") from None
    if not isinstance(value, _Pairs):
        if value is None:
            return {}
        raise ApiFailure(
            400, f"json: cannot unmarshal {json_type(value)} into Go value of type {shape.package}.{shape.name}"
        )
    return _fields(value, shape, "")


def plain(value: object) -> object:
    """A value without the order of its objects' members: dictionaries."""
    if isinstance(value, _Pairs):
        return {name: plain(member) for name, member in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def elements(value: object) -> Sequence[object]:
    """A list's elements; none of what is no list."""
    return value if isinstance(value, list) else ()


def members(value: object) -> Mapping[str, object]:
    """An object's members; none of what is no object."""
    return value if isinstance(value, Mapping) else {}


def _fields(pairs: _Pairs, shape: Shape, path: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        proper = name if name in shape.fields else name.casefold()
        kind = shape.fields.get(proper)
        if kind is None or value is None:
            continue
        found[proper] = _field(value, kind, shape, proper, path)
    return found


def _field(value: object, kind: str, shape: Shape, name: str, path: str) -> object:
    if kind == "keep_alive":
        try:
            return keep_alive_seconds(plain(value))
        except ValueError as error:
            raise ApiFailure(400, str(error)) from None
    if kind == "think":
        return _think(value)
    if kind == "any":
        return plain(value)
    if kind == "struct" and isinstance(value, _Pairs):
        return _fields(value, shape.items[name], f"{path}{name}.")
    shown = dict if isinstance(value, _Pairs) else type(value)
    if shown not in _KINDS.get(kind, ()):
        wanted = _GO_TYPES.get(kind) or shape.go_types[name]
        number = f" {json.dumps(value)}" if kind == "int" and shown is float else ""
        raise _misfit(f"{json_type(value)}{number}", f"{shape.name}.{path}{name}", wanted)
    item_shape = shape.items.get(name)
    if item_shape is None or not isinstance(value, list):
        return plain(value)
    items: list[object] = []
    for item in value:
        if not isinstance(item, _Pairs):
            wanted = shape.go_types[name].removeprefix("[]")
            raise _misfit(json_type(item), f"{shape.name}.{path}{name}", wanted)
        items.append(_fields(item, item_shape, f"{path}{name}."))
    return items


def _think(value: object) -> object:
    if isinstance(value, bool) or value in ("high", "medium", "low", "max"):
        return value
    raise ApiFailure(
        400, f'invalid think value: {json.dumps(plain(value))} (must be true, false, "high", "medium", or "low")'
    )


def _misfit(what: str, field: str, wanted: str) -> ApiFailure:
    return ApiFailure(400, f"json: cannot unmarshal {what} into Go struct field {field} of type {wanted}")


def json_type(value: object) -> str:
    """What Go's decoder calls a value."""
    if isinstance(value, _Pairs | dict):
        return "object"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "number", float: "number", list: "array"}[type(value)]


def _refused(constant: str) -> object:
    raise json.JSONDecodeError("Expecting value", constant, 0)


def _finite(number: str) -> float:
    """A number that a float64 can hold, as all of Go's decoder.

    Raises:
        ApiFailure: 400 for any other.
    """
    value = float(number)
    if math.isinf(value):
        raise ApiFailure(400, f"json: cannot unmarshal number {number} into Go value of type float64")
    return value


def _whole(number: str) -> int:
    _finite(number)
    return int(number)


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_refused, parse_float=_finite, parse_int=_whole)


_TRAILING_COMMAS = {
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
}


def _syntax_words(error: json.JSONDecodeError) -> str:
    """What Go's scanner says where Python's says something else (`encoding/json/scanner.go`)."""
    if error.msg.startswith("Unterminated string") or error.pos >= len(error.doc):
        return "unexpected EOF"
    position = error.pos
    if error.msg in _TRAILING_COMMAS:
        # Where Python names the comma, from 3.13 on, Go names what follows it.
        position = len(error.doc) - len(error.doc[position + 1 :].lstrip(" \t\r\n"))
    found = error.doc[position]
    quoted = "'\\''" if found == "'" else repr(found).replace('"', "'") if found != '"' else "'\"'"
    where = {
        "Expecting value": "looking for beginning of value",
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
        **_TRAILING_COMMAS,
        "Expecting ':' delimiter": "after object key",
        "Expecting ',' delimiter": "after object key:value pair" if _in_object(error) else "after array element",
    }.get(error.msg, "in string literal")
    return f"invalid character {quoted} {where}"


def _in_object(error: json.JSONDecodeError) -> bool:
    """Whether the innermost thing that is open where the error lies is an object."""
    open_things: list[str] = []
    in_string = escaped = False
    for character in error.doc[: error.pos]:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            open_things.append(character)
        elif character in "}]" and open_things:
            open_things.pop()
    return open_things[-1:] == ["{"]
