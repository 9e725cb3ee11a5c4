"""Bodies in zstd, within the bounds that Ollama has."""

from __future__ import annotations

import sys

import pytest

from ollamamax.simulator.encoded_bodies import MOST_BYTES, decoded
from ollamamax.simulator.failures import ApiFailure

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b'{"model": "tiny"}'


def refused(body: bytes) -> str:
    """What is said to a body that is no zstd."""
    with pytest.raises(ApiFailure) as caught:
        decoded(body, "zstd")
    assert (caught.value.status, caught.value.layer, caught.value.style) == (400, "proxy", "whole")
    return caught.value.message


def test_what_is_decoded() -> None:
    """Frames of any number and size, nothing from nothing; other encodings are not looked at."""
    large = bytes(range(256)) * 4096
    assert decoded(zstd.compress(TEXT), "zstd") == TEXT
    assert decoded(zstd.compress(TEXT) + zstd.compress(TEXT), "zstd") == TEXT * 2
    assert decoded(zstd.compress(large, level=1), "zstd") == large
    assert decoded(zstd.compress(b"a" * MOST_BYTES), "zstd") == b"a" * MOST_BYTES
    assert decoded(b"", "zstd") == b""
    for encoding in ("", "gzip", "ZSTD"):
        assert decoded(b"as it is", encoding) == b"as it is"


def test_what_is_refused() -> None:
    """No zstd, half of it, damaged, too long, or in need of too much memory."""
    whole = zstd.compress(TEXT)
    assert refused(b"hello") == "invalid input: magic number mismatch"
    assert refused(whole[:-3]) == "unexpected EOF"
    assert refused(whole + whole[:5]) == "unexpected EOF"
    assert refused(whole + b"rest") == "invalid input: corrupted data"
    assert refused(whole[:4] + b"\x08" + whole[5:]) == "invalid input: corrupted data"
    assert refused(zstd.compress(b"a" * (MOST_BYTES + 1))) == "http: request body too large"
    wide = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 25})
    assert refused(wide.compress(b"a" * 99) + wide.flush()) == "invalid input: corrupted data"
