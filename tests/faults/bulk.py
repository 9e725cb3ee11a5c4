"""Answers of a size that no memory should hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from faults.bench import Case, Client
from faults.dialects import Dialect
from faults.steps import Repeat, Script, Send, chunk, chunks, last_chunk, reads, script

MEGABYTE = 1_000_000
LONG_BYTES = 200 * MEGABYTE
UNREAD_BYTES = 20 * MEGABYTE
"""What the kernel's buffers of four sockets may take in, and what may be held on the way."""

PIECE_BYTES = 100_000
_QUIET_SECONDS = 0.3
_KEPT_BYTES = 5000


class Bulk(NamedTuple):
    """What a client read of a long answer: the beginning, the end, and how much there was of it, framing included."""

    first: bytes
    last: bytes
    size: int


def read_all(client: Client) -> Bulk:
    """Reads to the end of the connection, and keeps next to nothing."""
    first, last, size = b"", b"", 0
    while piece := client.piece():
        size += len(piece)
        if len(first) < _KEPT_BYTES:
            first += piece
        last = (last + piece)[-_KEPT_BYTES:]
    return Bulk(first, last, size)


def long_answer(dialect: Dialect, size: int = LONG_BYTES) -> Script:
    """An answer in its dialect: many events, or a long text that stands first in a whole body."""
    filler = b"x" * PIECE_BYTES
    times = size // PIECE_BYTES
    if dialect.streams:
        events = Repeat(chunk(dialect.event(b'{"x":"' + filler + b'"}')), times)
        return script(dialect.begun(1), events, chunks(*dialect.parts[1:]), last_chunk())
    begin, end = b'{"x":"', b'",' + dialect.good[1:]
    length = times * PIECE_BYTES + len(begin) + len(end)
    head = dialect.head().data.replace(b"%d" % len(dialect.good), b"%d" % length)
    return reads(Send(head), Send(begin), Repeat(filler, times), Send(end))


def long_line(dialect: Dialect, size: int) -> Script:
    """A stream with one long event after its first."""
    begin, end = dialect.event(b'{"x":"|"}').split(b"|")
    filler = Repeat(chunk(b"x" * PIECE_BYTES), size // PIECE_BYTES)
    return script(dialect.begun(1), chunks(begin), filler, chunks(end, *dialect.parts[1:]), last_chunk())


def assert_waits(case: Case, *models: str) -> None:
    """Holds that the nodes asked for these models, which nobody reads, come to a stop."""
    case.wait_for(lambda: all(map(case.seen, models)), "a request did not reach its node")
    sent = _steady(lambda: [case.seen(model)[0].sent_bytes for model in models])
    assert max(sent) < UNREAD_BYTES, f"a node was not made to wait: {sent}"


def _steady(read: Callable[[], list[int]]) -> list[int]:
    """Numbers once they have not changed for a while."""
    value, since = read(), time.monotonic()
    while time.monotonic() - since < _QUIET_SECONDS:
        time.sleep(0.02)
        now = read()
        if now != value:
            value, since = now, time.monotonic()
    return value
