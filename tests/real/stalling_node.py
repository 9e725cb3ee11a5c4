"""A node that waits in the middle of what it does until a test lets it go on, so that no test has to guess a time."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_GATE_SECONDS = 60.0
_LINE = b'{"model":"x","message":{"role":"assistant","content":"a"},"done":false}\n'
_LAST = b'{"model":"x","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":1}\n'


class StallingNode:
    """As much of Ollama as probes and chats ask for, on a free port of loopback.

    Attributes:
        url: where it listens.
        models: the names of what it has; may be changed while it runs.
        resident: the names of what is in its memory.
        probes: how many rounds of probes have begun.
        hangs_up: whether what is no probe is read and then closed upon.
    """

    def __init__(self, models: Sequence[str] = ("tiny",), resident: Sequence[str] = ()) -> None:
        self.models = list(models)
        self.resident = list(resident)
        self.probes = 0
        self.hangs_up = False
        self.heads, self.ends, self.versions = threading.Event(), threading.Event(), threading.Event()
        for gate in (self.heads, self.ends, self.versions):
            gate.set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.node = self
        self._filling: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @contextmanager
    def holding_heads(self) -> Iterator[None]:
        """Within the block no chat is answered."""
        with _closed(self.heads):
            yield

    @contextmanager
    def holding_ends(self) -> Iterator[None]:
        """Within the block a stream gets no further than its first line."""
        with _closed(self.ends):
            yield

    @contextmanager
    def holding_probes(self) -> Iterator[None]:
        """Within the block no probe is answered."""
        with _closed(self.versions):
            yield

    def take_no_connections(self) -> None:
        """From now on the kernel drops what wants to connect: nobody accepts, and the queue is full."""
        self._server.shutdown()
        self._server.socket.listen(0)
        filling = socket.socket()
        filling.setblocking(False)
        filling.connect_ex(self._server.server_address)
        self._filling.append(filling)

    def close(self) -> None:
        """Ends it."""
        for gate in (self.heads, self.ends, self.versions):
            gate.set()
        for filling in self._filling:
            filling.close()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def _closed(gate: threading.Event) -> Iterator[None]:
    gate.clear()
    try:
        yield
    finally:
        gate.set()


@contextmanager
def stalling_node(models: Sequence[str] = ("tiny",), resident: Sequence[str] = ()) -> Iterator[StallingNode]:
    """A node for the time of a `with` block."""
    node = StallingNode(models, resident)
    try:
        yield node
    finally:
        node.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    node: StallingNode

    def handle_error(self, request: object, client_address: object) -> None:
        """A gateway that has given up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        node = self.server.node
        if self.path == "/api/version":
            node.probes += 1
            node.versions.wait(_GATE_SECONDS)
            self._json({"version": "0.33.0"})
        else:
            names = node.models if self.path == "/api/tags" else node.resident
            self._json({"models": [{"name": name, "model": name, "digest": "0" * 64, "size": 1} for name in names]})

    def do_POST(self) -> None:
        node = self.server.node
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if node.hangs_up:
            self.close_connection = True
            return
        node.heads.wait(_GATE_SECONDS)
        if body.get("stream") is False:
            self._json(json.loads(_LAST))
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(_LINE)
        node.ends.wait(_GATE_SECONDS)
        self._chunk(_LAST)
        self._chunk(b"")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as its class names it
        """Says nothing."""

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
