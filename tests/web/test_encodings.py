"""Bodies that are compressed with zstd."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollamamax.errors import InvalidBody
from ollamamax.web.encodings import unzstd

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NOISE = random.Random(1).randbytes(300_000)
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"


@pytest.mark.parametrize("data", [b"", b"x", b'{"model": "tiny"}', NOISE, b"\0" * 1_000_000])
@pytest.mark.parametrize("level", [1, 19])
def test_what_was_compressed(data: bytes, level: int) -> None:
    """It comes out as it was, in pieces that are never large."""
    pieces = list(unzstd(zstd.compress(data, level)))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= 65536 for piece in pieces)


def test_frames_follow_one_another() -> None:
    """Several frames are one body; what a frame tells to skip is skipped; nothing at all is nothing."""
    frame = zstd.compress(NOISE)
    assert b"".join(unzstd(frame + SKIPPABLE + zstd.compress(b"") + frame)) == NOISE * 2
    assert list(unzstd(SKIPPABLE)) == []
    assert list(unzstd(b"")) == []


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_body_that_is_cut_off(data: st.DataObject) -> None:
    """Wherever it is cut, it is no body: an end that is missing is never taken for one."""
    whole = zstd.compress(NOISE[:70_000]) + zstd.compress(b"{}" * 100)
    first = len(zstd.compress(NOISE[:70_000]))
    cut = data.draw(st.integers(1, len(whole) - 1).filter(lambda at: at != first))
    with pytest.raises(InvalidBody, match="unexpected EOF"):
        list(unzstd(whole[:cut]))


@pytest.mark.parametrize(
    "data",
    [
        b'{"model": "tiny"}',
        b"\x1f\x8b\x08\x00",
        zstd.compress(b"{}") + b" ",
        zstd.compress(b"{}") + b'{"model": "tiny"}',
        zstd.compress(NOISE, options={zstd.CompressionParameter.checksum_flag: 1})[:-4] + b"\xff" * 4,
        zstd.compress(b"\0" * (1 << 24), options={zstd.CompressionParameter.window_log: 24}),
    ],
)
def test_what_is_no_zstd(data: bytes) -> None:
    """It is the client's mistake, and none of its bytes are quoted."""
    with pytest.raises(InvalidBody) as caught:
        list(unzstd(data))
    assert caught.value.public_message.startswith("failed to decompress zstd body")


def test_a_bomb_is_decoded_as_far_as_it_is_taken() -> None:
    """A gigabyte in 32 KiB costs what is taken of it, and no more."""
    bomb = zstd.compress(b"\0" * (1 << 26), 19) * 16
    pieces = unzstd(bomb)
    assert sum(len(next(pieces)) for _ in range(100)) <= 100 * 65536


def test_frames_without_end() -> None:
    """A body of nothing but empty frames is refused after a thousand of them."""
    empty = zstd.compress(b"")
    assert list(unzstd(empty * 1024)) == []
    with pytest.raises(InvalidBody, match="more than 1024 frames"):
        list(unzstd(empty * 100_000))
