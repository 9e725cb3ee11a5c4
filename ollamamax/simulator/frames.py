"""JSON, lines and server-sent events as bytes, as Go's `encoding/json` and Ollama write them. Pure."""

from __future__ import annotations

import json

DONE = b"data: [DONE]\n\n"
"""The last event of a stream in OpenAI's older formats."""


def to_json(value: object, *, sort_keys: bool = False) -> bytes:
    """A value as Go writes it: no spaces, HTML's characters escaped.

    Args:
        value: what is written.
        sort_keys: as Go writes a map, while a struct has the order of its fields.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    for character, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        if character in text:
            text = text.replace(character, escaped)
    return text.encode("utf-8", "replace")


def line(value: object) -> bytes:
    """A line of its own."""
    return to_json(value) + b"\n"


def data_event(value: object) -> bytes:
    """An event without a name."""
    return b"data: " + to_json(value) + b"\n\n"


def named_event(name: str, value: object, *, sort_keys: bool = False) -> bytes:
    """An event with its name."""
    return b"event: " + name.encode("ascii") + b"\ndata: " + to_json(value, sort_keys=sort_keys) + b"\n\n"
