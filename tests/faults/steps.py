"""What a node does with one request, step by step: small values, and the words that put them together.

A script that ends without an end of the connection (`close`, `reset`, `stall`) leaves it open for the next request.
"""

from __future__ import annotations

import threading

import attrs


@attrs.frozen
class Read:
    """Takes in the request's body, or no more of it than so many bytes."""

    size: int | None = None


@attrs.frozen
class Send:
    """Sends bytes.

    Attributes:
        data: the bytes.
        piece_bytes: how many go out at once; None for all.
        pause_seconds: between two pieces.
    """

    data: bytes = attrs.field(repr=False)
    piece_bytes: int | None = None
    pause_seconds: float = 0.0


@attrs.frozen
class Repeat:
    """Sends the same bytes again and again: so many times, or until the peer has gone."""

    data: bytes = attrs.field(repr=False)
    times: int | None = None


@attrs.frozen
class Wait:
    """Does nothing until the test lets it go on."""

    gate: threading.Event


@attrs.frozen
class Stall:
    """Says nothing more, and waits until the peer closes the connection."""


@attrs.frozen
class Close:
    """Ends the connection by FIN, in the middle of a body too."""


@attrs.frozen
class Reset:
    """Ends the connection by RST."""


Step = Read | Send | Repeat | Wait | Stall | Close | Reset
Script = tuple[Step, ...]


def script(*parts: Step | Script) -> Script:
    """One script of steps and scripts, one after the other."""
    steps: list[Step] = []
    for part in parts:
        steps.extend(part if isinstance(part, tuple) else (part,))
    return tuple(steps)


def reads(*parts: Step | Script) -> Script:
    """A script that begins by taking in the whole request, as most do."""
    return script(Read(), *parts)


def head(*lines: bytes, status: bytes = b"200 OK", kept: bool = False) -> Send:
    """A response's head of these lines.

    Args:
        lines: the header lines.
        status: code and reason.
        kept: whether the connection may carry another request.
    """
    closing = () if kept else (b"Connection: close",)
    return Send(b"\r\n".join([b"HTTP/1.1 " + status, *lines, *closing, b"", b""]))


def json_head(length: int, *lines: bytes, status: bytes = b"200 OK", kept: bool = False) -> Send:
    """The head of a JSON answer of so many bytes; see `head`."""
    lines = (b"Content-Type: application/json", b"Content-Length: %d" % length, *lines)
    return head(*lines, status=status, kept=kept)


def chunk(data: bytes) -> bytes:
    """Bytes framed as one chunk; none of them are the body's end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks(*pieces: bytes) -> Script:
    """A piece of a chunked body each."""
    return tuple(Send(chunk(piece)) for piece in pieces)


def last_chunk() -> Send:
    """The end of a chunked body."""
    return Send(chunk(b""))
