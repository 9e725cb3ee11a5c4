"""Bodies that are compressed with zstd, decoded piece by piece.

Pure. A few bytes of zstd can stand for gigabytes, so nothing is decoded before the piece before it has been taken, and
whoever takes the pieces stops when it has enough. The window is as large as Ollama's (8 MiB), and so is what counts
as a body: frames one after the other, skippable ones among them, and nothing behind the last.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ollamamax.errors import InvalidBody

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE_BYTES = 65536
_MAX_FRAMES = 1024
"""Each frame costs a decoder, however little is in it; who compresses a body in one go makes one frame."""

_OPTIONS = {int(zstd.DecompressionParameter.window_log_max): 23}
_WORDS = "failed to decompress zstd body"


def unzstd(data: bytes) -> Iterator[bytes]:
    """The pieces of a body, each of at most 64 KiB.

    Raises:
        InvalidBody: it is no zstd, cut off, of a larger window, or of more than 1024 frames.
    """
    view = memoryview(data)
    position = frames = 0
    while position < len(view):
        frames += 1
        if frames > _MAX_FRAMES:
            raise InvalidBody(f"{_WORDS}: more than {_MAX_FRAMES} frames")
        frame = zstd.ZstdDecompressor(options=_OPTIONS)
        while not frame.eof:
            taken = view[position : position + _PIECE_BYTES] if frame.needs_input else view[:0]
            if frame.needs_input and not taken:
                raise InvalidBody(f"{_WORDS}: unexpected EOF")
            position += len(taken)
            try:
                piece = frame.decompress(taken, _PIECE_BYTES)
            except zstd.ZstdError:
                raise InvalidBody(_WORDS) from None
            if piece:
                yield piece
        position -= len(frame.unused_data)
