"""A node of plain sockets: the least of Ollama that the gateway's probes ask for, and bodies of any size at full speed.

It computes nothing and says what it saw: which requests came, how many bytes of a blob arrived.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LINE_BYTES = 64 * 1024
_PROBED = ("/api/version", "/api/tags", "/api/ps")
_TAGS = {
    "models": [
        {
            "name": "tiny:latest",
            "model": "tiny:latest",
            "modified_at": "2026-01-01T00:00:00Z",
            "size": 1,
            "digest": "0" * 64,
            "details": {},
        }
    ]
}


class RawNode:
    """Answers on a free port of loopback, a thread per connection.

    Attributes:
        url: where it listens.
        stream_bytes: how much a chat streams before its last line; None for without end.
        line_seconds: the pause after each line.
        requests: method and path of every request, in order.
        uploaded_bytes: how much of a blob has arrived.
        sent_bytes: how much of a stream the socket has taken.
    """

    def __init__(self, stream_bytes: int | None = 0, line_seconds: float = 0.0) -> None:
        self.stream_bytes = stream_bytes
        self.line_seconds = line_seconds
        self.requests: list[tuple[str, str]] = []
        self.uploaded_bytes = 0
        self.sent_bytes = 0
        self.chats = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def carried(self) -> list[tuple[str, str]]:
        """The requests that were no probes."""
        return [asked for asked in list(self.requests) if asked[1] not in _PROBED]

    def close(self) -> None:
        """Takes no further connections."""
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            try:
                while line := reader.readline():
                    method, path, _ = line.decode().split(" ", 2)
                    headers = dict(_headers(reader))
                    self.requests.append((method, path))
                    self._answer(connection, reader, method, path, headers)
            except OSError:
                return

    def _answer(
        self, connection: socket.socket, reader: object, method: str, path: str, headers: dict[str, str]
    ) -> None:
        remaining = int(headers.get("content-length", 0))
        while remaining:
            piece = reader.read(min(remaining, 1 << 20))  # type: ignore[attr-defined]
            if not piece:
                raise ConnectionResetError
            remaining -= len(piece)
            if path.startswith("/api/blobs"):
                self.uploaded_bytes += len(piece)
        if path == "/api/chat":
            self.chats += 1
            self._stream(connection)
            return
        bodies = {"/api/version": {"version": "0.33.0"}, "/api/tags": _TAGS, "/api/ps": {"models": []}}
        body = json.dumps(bodies[path]).encode() if path in bodies else b""
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    def _stream(self, connection: socket.socket) -> None:
        text = "x" * (LINE_BYTES if self.line_seconds == 0 else 10)
        line = (
            json.dumps({"model": "tiny", "message": {"role": "assistant", "content": text}, "done": False}).encode()
            + b"\n"
        )
        chunk = b"%x\r\n%b\r\n" % (len(line), line)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while self.stream_bytes is None or self.sent_bytes < self.stream_bytes:
            connection.sendall(chunk)
            self.sent_bytes += len(line)
            if self.line_seconds:
                time.sleep(self.line_seconds)
        last = b'{"model":"tiny","message":{"content":""},"done":true,"done_reason":"stop","eval_count":1}\n'
        connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))


def _headers(reader: object) -> Iterator[tuple[str, str]]:
    while (line := reader.readline()) not in (b"\r\n", b""):  # type: ignore[attr-defined]
        name, _, value = line.decode("latin-1").partition(":")
        yield name.strip().lower(), value.strip()


@contextmanager
def raw_node(stream_bytes: int | None = 0, line_seconds: float = 0.0) -> Iterator[RawNode]:
    """A node for the time of a `with` block."""
    node = RawNode(stream_bytes, line_seconds)
    try:
        yield node
    finally:
        node.close()
