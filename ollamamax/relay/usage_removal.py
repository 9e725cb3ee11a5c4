"""Usage that was asked for by the gateway alone, taken out of a stream of completions again.

Facts of the wire (Ollama's `middleware/openai.go`): with `stream_options.include_usage` both routes send another event,
with `"choices":[]`, before `[DONE]`; on `/v1/completions` every other event has a `usage` of zeros besides.
"""

from __future__ import annotations

import msgspec

from ollamamax.relay.raw_json import read

_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def without_usage(event: bytes) -> bytes:
    """An event as it would have been, had nobody asked for usage.

    Text that only talks about usage is in a string, where its quotes are escaped.

    Args:
        event: a whole event, with its blank line.

    Returns:
        The event, unchanged by a byte where it has no usage of its own; empty where it was sent for the usage alone.
    """
    if b'"usage"' not in event:
        return event
    # An object in several lines of data is no completion of Ollama's.
    lines = event.split(b"\n")
    for at, line in enumerate(lines):
        if not line.startswith(b"data:"):
            continue
        members = read(_read_members, line[5:])
        if members is None or "usage" not in members:
            continue
        if bytes(members.get("choices", b"")) == b"[]":
            return b""
        del members["usage"]
        lines[at] = line[: line.index(b"{")] + msgspec.json.encode(members) + (b"\r" if line.endswith(b"\r") else b"")
        return b"\n".join(lines)
    return event
