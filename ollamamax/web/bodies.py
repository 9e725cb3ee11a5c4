"""What the gateway reads of a JSON body, and which bodies it refuses.

Pure. Ollama's server is written in Go, whose JSON decoder matches keys without regard to case (folding Unicode too) and
takes the last of two equal keys. A check that reads another key than Ollama does is no check, so a body with two keys
that fold to the same is refused, at the top, in `options` and in `stream_options`, and fields are looked up by their
folded name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs
import msgspec

from ollamamax.errors import InvalidBody, MissingBody, ModelRequired

_T = TypeVar("_T")


class _Key:
    """A JSON object's key with an identity of its own, so that equal keys do not overwrite one another."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _key(kind: type, value: object) -> object:
    return kind(value)


_OBJECT = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=_key)
_NESTED_OBJECTS = ("options", "stream_options")
_TRUE = msgspec.Raw(b"true")


@attrs.frozen
class JsonBody:
    """A request's JSON object, decoded one level deep.

    Attributes:
        data: the body as it was received, which is the body that is sent on.
        fields: the raw JSON of each member under its folded name.
        keys: each member's key as the client spelt it, under its folded name.
    """

    data: bytes = attrs.field(repr=False)
    fields: Mapping[str, msgspec.Raw] = attrs.field(repr=False)
    keys: Mapping[str, str] = attrs.field(repr=False)

    def read(self, name: str, kind: type[_T]) -> _T | None:
        """One member, or None where it is absent or null.

        Raises:
            InvalidBody: the member is of another type; the text names it and says what was expected.
        """
        raw = self.fields.get(name)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=kind | None)
        except UnicodeDecodeError:
            raise InvalidBody(f"{name}: invalid UTF-8") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidBody(f"{name}: {error}") from None

    def text(self, *path: str) -> str | None:
        """A text that no node reads, so that nothing is refused for its sake.

        Args:
            path: the names of the members that lead to it, one within the other.

        Returns:
            None where it is not there, or is no text, or an empty one.
        """
        *outer, name = path or ("",)
        try:
            body = self
            for member in outer:
                body = _object(body.fields.get(member, b"null"))
            return body.read(name, str) or None
        except InvalidBody:
            return None

    def model(self, *names: str) -> str:
        """The model that the body names.

        Args:
            names: the members that may hold it, the preferred one first (`model`, then the older `name`).

        Raises:
            ModelRequired: none of them holds a name.
            InvalidBody: one of them is no text.
        """
        for name in names or ("model",):
            text = self.read(name, str)
            if text and text.strip():
                return text
        raise ModelRequired

    def is_empty(self, name: str) -> bool:
        """Whether a member is absent or holds nothing: null, an empty text, an empty list."""
        raw = bytes(self.fields.get(name, b"null")).strip()
        return raw in (b"null", b'""') or (raw[:1] == b"[" and not raw[1:-1].strip())

    def asking_for_usage(self) -> JsonBody | None:
        """This body with `stream_options.include_usage`; every other value stays as it is, byte for byte.

        Returns:
            None where nothing is to be added: it is there already, or something is that Ollama refuses in its own
            words.
        """
        raw = self.fields.get("stream_options", b"null")
        if bytes(raw).strip() == b"null":
            return self.with_member("stream_options", msgspec.Raw(b'{"include_usage":true}'))
        if bytes(raw).lstrip()[:1] != b"{":
            return None
        options = _object(raw)
        if bytes(options.fields.get("include_usage", b"null")).strip() not in (b"null", b"false"):
            return None
        return self.with_member("stream_options", msgspec.Raw(options.with_member("include_usage", _TRUE).data))

    def with_member(self, name: str, value: msgspec.Raw) -> JsonBody:
        """This body with another value of a member, or with one more; the key stays as the client spelt it."""
        fields = {**self.fields, name: value}
        keys = {**self.keys, name: self.keys.get(name, name)}
        return JsonBody(msgspec.json.encode({keys[folded]: raw for folded, raw in fields.items()}), fields, keys)


def parse(data: bytes) -> JsonBody:
    """Reads a body.

    Raises:
        MissingBody: there is none.
        InvalidBody: it is no JSON object, or two of its keys are the same to Ollama.
    """
    if not data.strip():
        raise MissingBody
    body = _object(data)
    for name in _NESTED_OBJECTS:
        nested = body.fields.get(name)
        if nested is not None and bytes(nested).lstrip()[:1] == b"{":
            _object(nested)
    return body


def _object(data: bytes | msgspec.Raw) -> JsonBody:
    try:
        members = _OBJECT.decode(data)
    except UnicodeDecodeError:
        raise InvalidBody("invalid JSON: invalid UTF-8 in a key") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidBody(f"invalid JSON: {error}") from None
    fields: dict[str, msgspec.Raw] = {}
    keys: dict[str, str] = {}
    for key, value in members.items():
        name = key.text.casefold()
        if name in fields:
            raise InvalidBody("invalid JSON: two keys of one object differ in nothing but their case")
        fields[name] = value
        keys[name] = key.text
    return JsonBody(bytes(data), fields, keys)
