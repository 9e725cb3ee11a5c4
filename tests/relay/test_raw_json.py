"""JSON that is read no further than it is needed."""

from __future__ import annotations

import msgspec
import pytest

from ollamamax.relay.raw_json import ABSENT, is_empty, read

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@pytest.mark.parametrize("text", [b"", b"[1]", b'{"a":', b"\xff", b'{"a":' + b"[" * 100_000, b'{"\xff":1}', b"7"])
def test_what_cannot_be_read(text: bytes) -> None:
    """Whatever it is, there is nothing in it, and nothing is raised."""
    assert read(_members, text) is None


def test_what_stays_unread_hides_nothing() -> None:
    """A member that makes no sense leaves the others readable."""
    members = read(_members, b'{"a":' + b"9" * 5000 + b',"b":1}')
    assert members is not None
    assert bytes(members["b"]) == b"1"


def test_a_member_may_be_there_in_name_only() -> None:
    """Nothing is spelt in several ways; a zero and a space are something."""
    assert all(map(is_empty, map(msgspec.Raw, [b'""', b"null", b"[]", b"{}", b"false"])))
    assert is_empty(ABSENT)
    assert not any(map(is_empty, map(msgspec.Raw, [b"0", b'" "', b"[0]", b'{"a":0}', b"true"])))
