"""The settings one by one, as `schema` declares them: what loading, checking and the reference go by. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, get_type_hints

import attrs
import msgspec
from msgspec import Struct

from ollamamax.settings.schema import Settings


@attrs.frozen
class Leaf:
    """One setting, as its class declares it.

    Attributes:
        name: dotted, as in `limits.max_body_bytes`.
        annotation: its type with what bounds it, for `msgspec.convert`.
        default: its value where no source gives one.
        shape: its type for people: `number`, `integer`, `text`, `list of text`, `true or false`, a choice, `table`.
        unit: `seconds`, `bytes`, `bytes per second`, or empty.
        bounds: for people, as in `above 0`; empty where there are none.
        none_word: the word that stands for no value (None); empty where there has to be one.
        description: what it does.
        example: a value other than the default; None where none was declared.
        expected: what it should be, in an error's words.
    """

    name: str
    annotation: object
    default: object
    shape: str
    unit: str
    bounds: str
    none_word: str
    description: str
    example: object
    expected: str


def leaves(struct: type[Struct] = Settings, prefix: str = "") -> Iterator[Leaf]:
    """All settings of a struct, in the order of their declaration; those of a section after one another.

    Args:
        struct: the class that declares them.
        prefix: what stands before each name.
    """
    annotations = get_type_hints(struct, include_extras=True)
    information = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(struct))
    for field in information.fields:
        if isinstance(field.type, msgspec.inspect.StructType):
            yield from leaves(field.type.cls, f"{field.name}.")
        else:
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            yield _leaf(prefix + field.name, annotations[field.name], field.type, default)


def _leaf(name: str, annotation: object, declared: msgspec.inspect.Type, default: object) -> Leaf:
    schema: dict[str, object] = {}
    extra: dict[str, str] = {}
    while isinstance(declared, msgspec.inspect.Metadata | msgspec.inspect.UnionType):
        if isinstance(declared, msgspec.inspect.Metadata):
            schema |= declared.extra_json_schema or {}
            extra |= declared.extra or {}
            declared = declared.type
        else:
            declared = declared.types[0]
    shape, bounds, unit, none_word = _shape(declared), _bounds(declared), extra.get("unit", ""), extra.get("none", "")
    examples = schema.get("examples")
    return Leaf(
        name=name,
        annotation=annotation,
        default=default,
        shape=extra.get("shape", shape),
        unit=unit,
        bounds=bounds,
        none_word=none_word,
        description=str(schema.get("description", "")),
        example=examples[0] if isinstance(examples, list) else None,
        expected=extra.get("expected") or _expected(shape, unit, bounds, none_word),
    )


_SCALARS = {
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.BoolType: "true or false",
}


def _shape(declared: msgspec.inspect.Type) -> str:
    match declared:
        case msgspec.inspect.FloatType() | msgspec.inspect.IntType() | msgspec.inspect.BoolType():
            return _SCALARS[type(declared)]
        case msgspec.inspect.LiteralType(values):
            return " or ".join(f'"{value}"' for value in values)
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StrType()):
            return "list of text"
        case msgspec.inspect.VarTupleType() | msgspec.inspect.DictType():
            return "tables"
        case _:
            return "text"


def _bounds(declared: msgspec.inspect.Type) -> str:
    if not isinstance(declared, msgspec.inspect.FloatType | msgspec.inspect.IntType):
        return ""
    said = {"above": declared.gt, "at least": declared.ge, "at most": declared.le}
    return ", ".join(f"{words} {limit:g}" for words, limit in said.items() if limit is not None)


def _expected(shape: str, unit: str, bounds: str, none_word: str) -> str:
    by_shape = {
        "text": "text",
        "list of text": "a list of text (as a variable: separated by commas)",
        "integer": "a whole number",
        "number": "a number",
    }
    by_unit = {
        "seconds": "a number of seconds",
        "bytes": 'bytes, or a size like "64 MiB"',
        "bytes per second": 'bytes per second, or a size like "64 KiB"',
    }
    what = by_unit.get(unit) or by_shape.get(shape) or shape
    return what + (f", {bounds}" if bounds else "") + (f', or "{none_word}"' if none_word else "")
