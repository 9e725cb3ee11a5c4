"""Usage that nobody but the gateway asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay.bodies import Body, selectable, split_at

from ollamamax.relay.events import EventFraming
from ollamamax.relay.usage_removal import without_usage

USAGE = b'"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}'


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"choices":[],' + USAGE + b"}\n\n", b""),
        (b'data: {"choices":[],' + USAGE + b"}\r\n\r\n", b""),
        (b': x\ndata:{"choices":[],' + USAGE + b"}\n\n", b""),
        (
            b'data: {"choices":[{"text":"a"}],"model":"m",' + USAGE + b"}\n\n",
            b'data: {"choices":[{"text":"a"}],"model":"m"}\n\n',
        ),
        (b"data: {" + USAGE + b',"b":1.50,"a":"\\u00e9\\/"}\n\n', b'data: {"b":1.50,"a":"\\u00e9\\/"}\n\n'),
        (b'event: x\r\ndata: {"a":1,"usage":null}\r\n\r\n', b'event: x\r\ndata: {"a":1}\r\n\r\n'),
        (b'\ndata:  {"usage":{}}\n\n', b"\ndata:  {}\n\n"),
    ],
    ids=selectable,
)
def test_what_is_taken_out(event: bytes, expected: bytes) -> None:
    """An event for the usage alone is dropped; of another one only the member goes, all else as it was written."""
    assert without_usage(event) == expected


@pytest.mark.parametrize(
    "event",
    [
        b"data: [DONE]\n\n",
        b'data: {"choices":[]}\n\n',
        b'data: {"choices":[{"delta":{"content":"{\\"choices\\":[],\\"usage\\":{}}"}}]}\n\n',
        b'data: {"choices":[{"delta":{"role":"usage"}}]}\n\n',
        b'data: {"choices":[{"delta":{"usage":{"a":1}}}]}\n\n',
        b'data: {"choices":[],"usage":\n\n',
        b'data: ["usage"]\n\n',
        b'data: "usage"\n\n',
        b': "usage"\n\n',
        b'event: "usage"\ndata: {"a" : 1}\n\n',
        b'{"usage":1}\n\n',
    ],
    ids=selectable,
)
def test_what_stays(event: bytes) -> None:
    """What only talks about usage, or cannot be read, is the same object."""
    assert without_usage(event) is event


@settings(max_examples=40)
@given(
    version=st.sampled_from(["0.24", "0.33"]),
    name=st.sampled_from(["v1-chat-stream-usage", "v1-completions-stream-usage"]),
    data=st.data(),
)
def test_recordings(version: str, name: str, recorded: dict[tuple[str, str], Any], data: st.DataObject) -> None:
    """However it is cut, a recorded stream becomes the bytes that it would have had without the usage, and no other."""
    whole = b"".join(Body(recorded[version, name].raw).pieces)
    events = re.findall(rb".+?\n\n", whole, re.DOTALL)
    last = [event for event in events if b'"choices":[]' in event]
    assert len(last) == 1
    expected = b"".join(re.sub(rb',"usage":\{[^}]*\}', b"", event) for event in events if event not in last)
    assert b"usage" not in expected
    framing = EventFraming(without_usage)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=30))
    assert b"".join(framing.feed(piece) for piece in split_at(whole, cuts)) == expected


@pytest.mark.parametrize("version", ["0.24", "0.33"])
def test_the_shape_is_that_of_a_stream_without_usage(version: str, recorded: dict[tuple[str, str], Any]) -> None:
    """Event by event, member by member, what is left has the shape of the stream that was recorded without usage."""

    def shape(name: str) -> list[object]:
        framing = EventFraming(without_usage)
        text = b"".join(framing.feed(piece) for piece in Body(recorded[version, name].raw).pieces)
        found: list[object] = []
        for event in text.decode().split("\n\n")[:-1]:
            data = event.removeprefix("data: ")
            if data != "[DONE]":
                chunk = json.loads(data)
                found.append([list(chunk), [[list(each), list(each["delta"])] for each in chunk["choices"]]])
            else:
                found.append(data)
        return found

    assert shape("v1-chat-stream-usage") == shape("v1-chat-stream")
