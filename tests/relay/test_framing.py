"""Lines out of bytes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.bodies import split_at

from ollamamax.relay.framing import NdjsonLines


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"-")), max_size=12),
    st.binary(max_size=10).map(lambda line: line.replace(b"\n", b"-")),
    st.lists(st.integers(0, 400), max_size=20),
)
def test_any_split_gives_the_same_lines(lines: list[bytes], rest: bytes, cuts: list[int]) -> None:
    """However bytes arrive, the lines are those between the line feeds, and the rest is what no feed ended."""
    framing = NdjsonLines()
    found: list[bytes] = []
    for piece in split_at(b"".join(line + b"\n" for line in lines) + rest, cuts):
        found += framing.feed(piece)
    assert found == [line for line in lines if line]
    assert framing.rest() == rest
    assert framing.mid_line == bool(rest)
    assert framing.oversized == 0


@given(
    st.lists(st.integers(0, 25).map(lambda size: b"x" * size), max_size=12),
    st.lists(st.integers(0, 300), max_size=20),
)
def test_long_lines_are_counted_and_left_out(lines: list[bytes], cuts: list[int]) -> None:
    """A line above the limit is counted once, however it arrives, and its neighbours are given out."""
    framing = NdjsonLines(max_line_bytes=10)
    found: list[bytes] = []
    for piece in split_at(b"".join(line + b"\n" for line in lines), cuts):
        found += framing.feed(piece)
    assert found == [line for line in lines if 0 < len(line) <= 10]
    assert framing.oversized == sum(len(line) > 10 for line in lines)
    assert not framing.mid_line


@pytest.mark.parametrize("cut", range(5))
def test_a_line_of_the_limit_is_kept(cut: int) -> None:
    """Exactly so many bytes fit, in one piece or two, finished or not; one more does not."""
    framing = NdjsonLines(max_line_bytes=4)
    assert framing.feed(b"abcd"[:cut]) + framing.feed(b"abcd"[cut:]) == []
    assert framing.rest() == b"abcd"
    assert framing.feed(b"\nabcde\nef") == [b"abcd"]
    assert (framing.rest(), framing.oversized) == (b"ef", 1)


def test_mid_line_inside_of_a_skipped_line() -> None:
    """A line that is too long is still known to be unfinished."""
    framing = NdjsonLines(max_line_bytes=4)
    seen = [(framing.feed(data), framing.mid_line, framing.rest()) for data in (b"abcdefgh", b"ij\nok\n", b"")]
    assert seen == [([], True, b""), ([b"ok"], False, b""), ([], False, b"")]


def test_a_long_line_fed_byte_by_byte_takes_linear_time() -> None:
    """Four times the bytes take less than ten times as long: nothing is copied over and over."""

    def fed(size: int) -> float:
        framing = NdjsonLines()
        began = time.process_time()
        for _ in range(size):
            framing.feed(b"x")
        assert framing.feed(b"\n") == [b"x" * size]
        return time.process_time() - began

    fed(1000)
    assert fed(200_000) < 10 * max(fed(50_000), 0.01)
