"""Connections that read answers and keep the time; no more of HTTP than a benchmark needs."""

from __future__ import annotations

import asyncio
import json
import time


def posted(path: str, document: object, *, close: bool) -> bytes:
    """A request with a body."""
    body = json.dumps(document).encode()
    more = "Connection: close\r\n" if close else ""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answered(port: int, request: bytes) -> bytes:
    """All that a request brings that asks for the connection to be closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    received = await reader.read(-1)
    writer.close()
    return received


class Stream(asyncio.Protocol):
    """A stream of lines, of each of which the arrival is noted.

    Args:
        request: what asks for it.

    Attributes:
        arrivals: when each piece came, by `time.perf_counter`; a piece is what came in one read.
    """

    def __init__(self, request: bytes) -> None:
        self.arrivals: list[float] = []
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Notes the time."""
        self.arrivals.append(time.perf_counter())


class Asking(asyncio.Protocol):
    """One connection that asks for the same again as soon as it was answered; answers end with their last chunk.

    Args:
        request: what is asked.

    Attributes:
        answers: how many were complete.
    """

    def __init__(self, request: bytes) -> None:
        self.answers = 0
        self._request = request
        self._end = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the first time."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Asks again at an answer's end."""
        self._end = (self._end + data)[-5:]
        if self._end == b"0\r\n\r\n":
            self.answers += 1
            assert self._transport is not None
            self._transport.write(self._request)

    def stop(self) -> None:
        """Asks no more."""
        if self._transport is not None:
            self._transport.abort()
