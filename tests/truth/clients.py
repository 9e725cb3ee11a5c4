"""Clients that read their own sockets: what each was sent, when, and how its connection ended."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal
from urllib.parse import urlsplit

import attrs
from truth.asks import Ask
from truth.reading import Reading, read

PATIENCE_SECONDS = 120.0
BEFORE_SECONDS = 0.4
"""How long a client waits that leaves before it has an answer: long enough for its request to be with a node."""

End = Literal["whole", "broken", "left"]


@attrs.define
class Seen:
    """What a client has seen; times in seconds of the clock that all processes of the machine share.

    Attributes:
        ask: what it asked for.
        sent_at: just before it sent its request.
        status: of the answer; None where none began.
        request_id: the server's own id of the request.
        end: whether the answer ended as its framing says, broke off, or was left.
        reading: what the body says.
        first_at: when the first text, thought or call of a stream was there.
    """

    ask: Ask
    sent_at: float
    status: int | None = None
    request_id: str = ""
    end: End = "broken"
    reading: Reading = attrs.field(factory=Reading)
    first_at: float | None = None

    def outcomes(self) -> set[str]:
        """What this may be called: whoever has only the bytes cannot tell every failure from every other."""
        reading = self.reading
        if self.end == "left":
            return {"client_disconnected"}
        if self.status != 200:
            by_status = {500: {"node_error"}, 502: {"node_error", "incomplete"}, 503: {"unavailable"}, 504: {"timeout"}}
            return by_status.get(self.status or 0, {"client_error"})
        failures = {"node_error", "stream_error", "timeout", "incomplete"}
        if reading.error or self.end == "broken":
            return failures
        if not reading.done:
            return {"incomplete"}
        return {"length" if reading.reason in ("length", "max_tokens") else "success"}


def ask_all(url: str, asks: Sequence[Ask], *, at_a_time: int) -> list[Seen]:
    """Sends requests, so many at a time, and reads each answer to its end."""
    parts = urlsplit(url)
    address = parts.hostname or "", parts.port or 0
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(lambda ask: _asked(address, ask), asks))


def _asked(address: tuple[str, int], ask: Ask) -> Seen:
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        seen = Seen(ask, time.monotonic())
        connection.sendall(ask.request())
        pieces: list[tuple[float, bytes]] = []
        if ask.leaves == "before":
            connection.settimeout(BEFORE_SECONDS)
        try:
            while piece := connection.recv(1 << 16):
                pieces.append((time.monotonic(), piece))
                if ask.leaves == "within" and _has_some(pieces):
                    seen.end = "left"
                    break
        except TimeoutError:
            assert ask.leaves == "before", f"no answer to {ask}"
            seen.end = "left"
        except ConnectionResetError:
            pass
    _look(seen, pieces)
    return seen


def _has_some(pieces: list[tuple[float, bytes]]) -> bool:
    """Whether a few events have come."""
    return sum(len(piece) for _, piece in pieces) > 3000


def _look(seen: Seen, pieces: list[tuple[float, bytes]]) -> None:
    data = b"".join(piece for _, piece in pieces)
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    seen.status = int(status.split(" ")[1])
    seen.request_id = fields.get("x-request-id", "")
    body, ends, whole = _body(fields, rest)
    if seen.end != "left":
        seen.end = "whole" if whole else "broken"
    ask = seen.ask
    stream = ask.stream and seen.status == 200
    seen.reading = read(ask.dialect, body, stream=stream)
    if stream and seen.reading.first_end is not None:
        at = len(head) + 4 + next(end for size, end in ends if size >= seen.reading.first_end)
        so_far = 0
        for moment, piece in pieces:
            so_far += len(piece)
            if so_far >= at:
                seen.first_at = moment
                break


def _body(fields: dict[str, str], data: bytes) -> tuple[bytes, list[tuple[int, int]], bool]:
    """A body, its parts (its size after each, and where that ends in the data), and whether it is whole."""
    if fields.get("transfer-encoding") != "chunked":
        length = int(fields.get("content-length", "0"))
        return data, [(len(data), len(data))], len(data) == length
    body = bytearray()
    ends: list[tuple[int, int]] = []
    start = 0
    while (line_end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:line_end], 16)
        start = line_end + 2
        if size == 0:
            return bytes(body), ends, data[start:] == b"\r\n"
        body += data[start : start + size]
        if len(data) < start + size:
            break
        start += size + 2
        ends.append((len(body), start - 2))
    return bytes(body), ends, False
