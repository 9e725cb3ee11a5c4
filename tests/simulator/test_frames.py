"""JSON, lines and events as bytes."""

from __future__ import annotations

import pytest

from ollamamax.simulator.frames import DONE, data_event, line, named_event, to_json


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b": 1, "a": [True, None, 1.5]}, b'{"b":1,"a":[true,null,1.5]}'),
        ("<a> & b", b'"\\u003ca\\u003e \\u0026 b"'),
        ("straße", '"straße"'.encode()),
        ("\ud800", b'"?"'),
    ],
)
def test_json(value: object, written: bytes) -> None:
    """No spaces, members in order, what HTML would read escaped, other letters as they are."""
    assert to_json(value) == written


def test_maps_are_sorted() -> None:
    """Where Go has a map and no struct, all the way down."""
    assert to_json({"b": {"d": 1, "c": 2}, "a": 0}, sort_keys=True) == b'{"a":0,"b":{"c":2,"d":1}}'


def test_lines_and_events() -> None:
    """A newline ends a line, two end an event."""
    assert line({"b": 1, "a": 2}) == b'{"b":1,"a":2}\n'
    assert data_event({"b": 1, "a": 2}) == b'data: {"b":1,"a":2}\n\n'
    assert named_event("x", {"b": 1, "a": 2}) == b'event: x\ndata: {"b":1,"a":2}\n\n'
    assert named_event("x", {"b": 1, "a": 2}, sort_keys=True) == b'event: x\ndata: {"a":2,"b":1}\n\n'
    assert DONE == b"data: [DONE]\n\n"
