"""Request bodies that are compressed with zstd, as Ollama takes them on its compatible routes. Pure.

Bounds and words are those of `server/cloud_proxy.go`, which looks at a request first: 8 MiB of window, 20 MiB decoded.
"""

from __future__ import annotations

import sys

from .failures import ApiFailure

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_BYTES = 20 << 20
_OPTIONS = {int(zstd.DecompressionParameter.window_log_max): 23}
_FRAME = b"\x28\xb5\x2f\xfd"


def decoded(body: bytes, encoding: str) -> bytes:
    """A body without its encoding; of encodings other than zstd Ollama knows nothing, and takes the body as it is.

    Raises:
        ApiFailure: 400, it is no zstd, incomplete or too long.
    """
    if encoding != "zstd":
        return body
    if body and not body.startswith(_FRAME):
        raise _refused("invalid input: magic number mismatch")
    found, rest = b"", body
    while rest:
        frame = zstd.ZstdDecompressor(options=_OPTIONS)
        try:
            found += frame.decompress(rest, MOST_BYTES + 1 - len(found))
        except zstd.ZstdError:
            raise _refused("invalid input: corrupted data") from None
        if len(found) > MOST_BYTES:
            raise _refused("http: request body too large")
        if not frame.eof:
            raise _refused("unexpected EOF")
        rest = frame.unused_data
    return found


def _refused(message: str) -> ApiFailure:
    return ApiFailure(400, message, layer="proxy")
