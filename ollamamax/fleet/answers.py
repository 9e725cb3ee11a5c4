"""What a node answers to a probe, read and checked.

A node may be anything that listens: whatever it sends, reading it ends with checked values or with `BadAnswer`. The
entries of the lists stay dictionaries in the node's own order, with the fields that are unknown here, because merged
lists show them as the node sent them; the fields that the gateway reads are known to be of their types afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired, TypedDict, TypeVar, cast

import attrs
import msgspec

from ollamamax.names import normalized

# Beyond it JSON numbers lose digits in most programs; as bytes it is 9 PB.
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_MAX_NESTING = 16
_MAX_NAME_CHARACTERS = 1024


class ModelEntry(TypedDict):
    """One model of `/api/tags`, with whatever else the node says of it.

    `digest` and `size` are absent from no version known, but a node without them is not useless.
    """

    name: str
    model: NotRequired[str]
    modified_at: NotRequired[str]
    size: NotRequired[_Size]
    digest: NotRequired[str]
    details: NotRequired[dict[str, object] | None]
    capabilities: NotRequired[list[str] | None]


class ResidentEntry(TypedDict):
    """One model of `/api/ps`, with whatever else the node says of it; sizes in bytes."""

    name: str
    model: NotRequired[str]
    size: NotRequired[_Size]
    digest: NotRequired[str]
    details: NotRequired[dict[str, object] | None]
    expires_at: NotRequired[str]
    size_vram: NotRequired[_Size]
    context_length: NotRequired[int]


Models = Mapping[str, ModelEntry]
Residents = Mapping[str, ResidentEntry]


@attrs.frozen
class Observation:
    """What one round of probes learnt of a node.

    Attributes:
        version: as the node gave it.
        models: what it has, by normalised name, in the node's order.
        resident: what is in its memory, by normalised name, in the node's order.
    """

    version: str
    models: Models
    resident: Residents


class BadAnswer(ValueError):
    """A node's answer is not what Ollama answers; the text says how, without quoting it."""


class _VersionAnswer(msgspec.Struct):
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class _ListAnswer(msgspec.Struct):
    models: list[dict[str, object]] | None  # Go writes a list that was never made as null


_Answer = TypeVar("_Answer")
_Entry = TypeVar("_Entry", ModelEntry, ResidentEntry)


def read_version(body: bytes) -> str:
    """Reads the answer of `/api/version`.

    Raises:
        BadAnswer: for anything that is no `{"version": "…"}`.
    """
    version = _decoded(body, _VersionAnswer).version
    if not version.isprintable():
        raise BadAnswer("the version holds control characters")
    return version


def read_models(body: bytes) -> Models:
    """Reads the answer of `/api/tags`.

    Raises:
        BadAnswer: for anything that is no list of models.
    """
    return _entries(body, ModelEntry)


def read_residents(body: bytes) -> Residents:
    """Reads the answer of `/api/ps`.

    Raises:
        BadAnswer: for anything that is no list of resident models.
    """
    return _entries(body, ResidentEntry)


def _decoded(body: bytes, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadAnswer(f"unexpected JSON: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadAnswer("not JSON") from None
    except RecursionError:
        raise BadAnswer("nested too deeply") from None


def _entries(body: bytes, kind: type[_Entry]) -> Mapping[str, _Entry]:
    found: dict[str, _Entry] = {}
    for raw in _decoded(body, _ListAnswer).models or ():
        try:
            # Only checked: what it returns lacks the fields that are unknown here.
            name = msgspec.convert(raw, kind)["name"]
        except msgspec.ValidationError as error:
            raise BadAnswer(f"unexpected entry: {error}") from None
        if not _is_shallow(raw, _MAX_NESTING):
            raise BadAnswer("nested too deeply")
        key = normalized(name)
        if not key or len(name) > _MAX_NAME_CHARACTERS or not name.isprintable():
            raise BadAnswer("a model's name is empty, too long or holds control characters")
        found.setdefault(key, cast("_Entry", raw))
    return found


def _is_shallow(value: object, levels: int) -> bool:
    """Whether encoding a value needs little stack; what was decoded near the stack's limit may not encode elsewhere."""
    if isinstance(value, dict):
        return levels > 0 and all(_is_shallow(member, levels - 1) for member in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_shallow(member, levels - 1) for member in value)
    return True
