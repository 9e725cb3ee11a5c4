"""Request bodies that are compressed with zstd, as Ollama takes them on its compatible routes. Pure.

Bounds and words are those of `server/cloud_proxy.go`, which looks at a request first: 8 MiB of window, 20 MiB decoded.
"""

from __future__ import annotations

import zstandard

from .failures import ApiFailure

_WINDOW_BYTES = 8 << 20
MOST_BYTES = 20 << 20
_FRAME = b"\x28\xb5\x2f\xfd"


def decoded(body: bytes, encoding: str) -> bytes:
    """A body without its encoding; of encodings other than zstd Ollama knows nothing, and takes the body as it is.

    Raises:
        ApiFailure: 400, it is no zstd, incomplete or too long.
    """
    if encoding != "zstd":
        return body
    if not body:
        return b""
    if not body.startswith(_FRAME):
        raise _refused("invalid input: magic number mismatch")
    found = bytearray()
    rest = body
    while rest:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj(read_across_frames=False)
        try:
            for start in range(0, len(rest), zstandard.DECOMPRESSION_RECOMMENDED_INPUT_SIZE):
                piece = rest[start : start + zstandard.DECOMPRESSION_RECOMMENDED_INPUT_SIZE]
                found += decompressor.decompress(piece)
                if len(found) > MOST_BYTES:
                    raise _refused("http: request body too large")
                if decompressor.eof:
                    rest = decompressor.unused_data + rest[start + len(piece) :]
                    break
            else:
                raise _refused("unexpected EOF")
        except zstandard.ZstdError:
            raise _refused("invalid input: corrupted data") from None
    return bytes(found)


def _refused(message: str) -> ApiFailure:
    return ApiFailure(400, message, layer="proxy")
