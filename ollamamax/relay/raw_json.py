"""JSON from nodes, read no further than it is needed.

A member stays unread until somebody asks for it, so that a number of 5,000 digits or a wrong type hides no other
member; and nothing that a node may send raises an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

_Read = TypeVar("_Read")

ABSENT = msgspec.Raw(b"")
# Go and other engines spell "nothing" in all of these ways.
EMPTY = frozenset({b"", b'""', b"null", b"[]", b"{}", b"false"})


def read(decode: Callable[[bytes | msgspec.Raw], _Read], text: bytes | msgspec.Raw) -> _Read | None:
    """What a decoder makes of a text; None where it is not what the decoder expects."""
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return None


def is_empty(member: msgspec.Raw) -> bool:
    """Whether a member is missing, or there in name only."""
    return bytes(member) in EMPTY
