"""The ids of requests."""

from __future__ import annotations

import time
from uuid import RFC_4122, UUID

import pytest

from ollamamax.identifiers import request_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Each is one, and says when it was made, to the millisecond."""
    before = time.time_ns() // 1_000_000
    made = [request_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    for text in made:
        known = UUID(text)
        assert (str(known), known.version, known.variant) == (text, 7, RFC_4122)
        assert before <= known.int >> 80 <= after
    assert len(set(made)) == len(made)


def test_all_that_may_be_random_is() -> None:
    """Over many ids each of the 74 bits is both 0 and 1."""
    ones, zeros = 0, 0
    for _ in range(200):
        ones |= UUID(request_id()).int
        zeros |= ~UUID(request_id()).int
    assert (ones & zeros & (1 << 80) - 1).bit_count() == 74


def test_later_ids_are_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    """As text too, which is what the database sorts."""
    made = []
    for milliseconds in (0, 1, 255, 1_764_115_200_000, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda now=milliseconds: now * 1_000_000 + 999_999)
        made.append(request_id())
    assert made == sorted(made)
    assert made[0].startswith("00000000-0000-7")
