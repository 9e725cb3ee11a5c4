"""What a connection brings back, byte by byte, and how it ends: plain blocking sockets, for threads of a test."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

from fidelity import Exchange, parsed

PATIENCE_SECONDS = 20.0

End = Literal["fin", "rst"]


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection to the server at a URL, for the time of a `with` block."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_SECONDS) as connection:
        yield connection


def received(connection: socket.socket) -> tuple[bytes, End]:
    """All that comes until the other side ends, and by which of TCP's two ways it does."""
    data = bytearray()
    try:
        while piece := connection.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        return bytes(data), "rst"
    return bytes(data), "fin"


def sent(url: str, *pieces: bytes) -> tuple[bytes, End]:
    """What the server at a URL answers to these bytes until it closes, which they have to ask it for."""
    with connected(url) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return received(connection)


def asked(url: str, request: bytes) -> Exchange:
    """The answer to one request, taken apart; its `end` is `fin` only where the server closed by FIN."""
    data, end = sent(url, request)
    return parsed(data, end, head_only=request.startswith(b"HEAD "))


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    *,
    headers: Sequence[tuple[str, str]] = (),
    host: str = "127.0.0.1",
    close: bool = True,
) -> bytes:
    """A request as bytes; a body gets its length unless the headers say how it is framed.

    Args:
        method: as it is sent.
        target: path and query, as they are sent.
        body: None for a request without one.
        headers: besides Host, Connection and Content-Length.
        host: the Host header.
        close: whether the server is asked to close after its answer.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers)
    if body is not None and not framed:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
