"""The last members of an object that is not held."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.relay.tail import MAX_KEPT_BYTES, BodyTail

_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.lists(st.text(max_size=4), max_size=3)


def tail_of(data: bytes, kept: int, piece: int = 16) -> bytes:
    """What is left of bytes that came in pieces."""
    tail = BodyTail(kept)
    for start in range(0, len(data), piece):
        tail.feed(data[start : start + piece])
    return tail.members()


def test_nothing_was_fed() -> None:
    """No bytes are no object."""
    assert BodyTail().members() == b""


@given(st.binary(max_size=300), st.integers(1, 50))
def test_what_is_short_is_kept_as_it_came(data: bytes, piece: int) -> None:
    """Up to the limit every byte is there, whatever it is."""
    assert tail_of(data, 300, piece) == data


def test_the_limit_is_a_quarter_of_a_mebibyte() -> None:
    """An answer of exactly the limit is kept, and so are longer ones whose first piece is still needed for it."""
    start, rest = b'{"a":"', b"x" * (MAX_KEPT_BYTES - 20)
    tail = BodyTail()
    tail.feed(start)
    tail.feed(rest)
    tail.feed(b'","done":true}')
    assert tail.members() == start + rest + b'","done":true}'
    tail.feed(b" " * MAX_KEPT_BYTES)
    assert tail.members() == b""


def test_a_piece_goes_when_the_limit_is_met_without_it() -> None:
    """At least the limit's number of bytes stays, in whole pieces."""
    tail = BodyTail(8)
    for piece in (b'{"a":1,', b'"b":2,', b'"c":3,', b'"d":4}'):
        tail.feed(piece)
    assert tail.members() == b'{"d":4}'
    tail = BodyTail(6)
    tail.feed(b'{"a":1')
    tail.feed(b',"b":2')
    tail.feed(b"}")
    assert json.loads(tail.members()) == {"b": 2}


@pytest.mark.parametrize(
    ("end", "members"),
    [
        (b'"],"done":true}', {"done": True}),
        (b'"],"done":true,"n":1}\n', {"done": True, "n": 1}),
        (b'"],"message":{"a":1,"b":2},"n":1}', {"message": {"a": 1, "b": 2}, "n": 1}),
        (b'"],"x":"a,\\"b\\":1","n":1}', {"x": 'a,"b":1', "n": 1}),
        (b'"],"x":[{"a":1,"n":7},{"a":2,"n":8}]}', {"x": [{"a": 1, "n": 7}, {"a": 2, "n": 8}]}),
        (b'"],"x":1', None),
        (b'"]}', None),
        (b'","x"]}', None),
        (b'"],"' + b"x" * 50 + b'":1}', {"x" * 50: 1}),
        (b'"],"n":1} trailing', None),
        (b"", None),
    ],
)
def test_members_behind_a_large_one(end: bytes, members: dict[str, object] | None) -> None:
    """What follows the last comma of the object itself is read; a broken end, or none, gives nothing."""
    left = tail_of(b'{"embeddings":["' + b"z" * 1000 + end, 100)
    assert (json.loads(left) if left else None) == members


def test_at_most_64_commas_are_tried() -> None:
    """Of an object with more members the last 64 are read, so that reading stays cheap."""
    members = {f"m{number}": number for number in range(100)}
    tail = BodyTail(100)
    tail.feed(b'{"large":"' + b"x" * 100)
    tail.feed(b'",' + json.dumps(members, separators=(",", ":")).encode()[1:])
    assert json.loads(tail.members()) == {name: number for name, number in members.items() if number >= 36}


def test_deep_nesting_is_no_member() -> None:
    """Values nested without end behind the commas are passed over."""
    assert tail_of(b'{"a":"' + b"x" * 100 + b'","b":' + b"[" * 100_000, 99_990) == b""


@given(st.dictionaries(st.text(max_size=6), _VALUES, min_size=1, max_size=8), st.integers(1, 120), st.integers(1, 30))
def test_whatever_is_read_is_true(members: dict[str, object], kept: int, piece: int) -> None:
    """Wherever the limit and the cuts fall, what is read are the object's own last members, none of them invented."""
    data = json.dumps(members, separators=(",", ":")).encode()
    left = tail_of(data, kept, piece)
    if left:
        names = list(members)
        found = json.loads(left)
        assert found == {name: members[name] for name in names[len(names) - len(found) :]}
    else:
        assert len(data) > kept


@pytest.mark.parametrize(
    ("data", "cut"),
    [
        (b"", True),
        (b'{"a": 1', True),
        (b'{"a": "\xff', True),
        (b"[1, 2]", True),
        (b"hello", True),
        (b"{}", False),
        (b' {"a": 1}\n', False),
        (b'{"a":' * 100_000, False),
        (b'{"a": "' + b"x" * 600 + b'"}', False),
        (b'{"a": "' + b"x" * 600 + b'"}\n ', False),
        (b'{"a": "' + b"x" * 600, True),
    ],
)
def test_what_is_no_whole_object(data: bytes, cut: bool) -> None:
    """What was kept whole is read; of what was not, the end tells; what cannot be read for its depth is let pass."""
    tail = BodyTail(max(500, len(data) if data.startswith(b'{"a":{') else 0))
    tail.feed(data[:300])
    tail.feed(data[300:])
    assert tail.is_cut() is cut
