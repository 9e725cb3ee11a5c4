"""Nodes whose probes end in every way but one, at one server; a URL's path tells which is meant."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ollamamax.fleet.dialling import MAX_ANSWER_BYTES

PATIENCE_SECONDS = 30.0
NAMES = 3000
"""How many models the node `many` lists."""

CROOKED = {
    "silent": "timeout",
    "broken": "closed_early",
    "odd": "bad_answer",
    "failing": "bad_status",
    "huge": "too_large",
    "many": "ok",
}
"""Nodes at one server, each under a path of its own, and what their probes end with."""

_VERSION = b'{"version":"0.33.0"}'
_MODELS = json.dumps({"models": [{"name": f"m{n}", "size": 1, "size_vram": 1} for n in range(NAMES)]}).encode()


class CrookedNodes(BaseHTTPRequestHandler):
    """Answers a probe as the first part of its path says."""

    protocol_version = "HTTP/1.1"
    released = threading.Event()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Answers one request, or none."""
        _, kind, path = self.path.split("/", 2)
        match kind:
            case "silent":
                self.released.wait(PATIENCE_SECONDS)
            case "broken":
                self._answer(200, b"{", announced=100)
            case "odd":
                self._answer(200, b"[]")
            case "failing":
                self._answer(503, b"{}")
            case "huge":
                self._answer(200, b"", announced=MAX_ANSWER_BYTES + 1)
            case "many":
                self._answer(200, _VERSION if path == "api/version" else _MODELS)
        self.close_connection = True

    def _answer(self, status: int, body: bytes, announced: int | None = None) -> None:
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
            self.end_headers()
            self.wfile.write(body)


@contextmanager
def crooked_nodes() -> Iterator[Mapping[str, str]]:
    """The URLs of all of them by their names, which are the keys of `CROOKED`, for the time of a `with` block."""
    CrookedNodes.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), CrookedNodes)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield {kind: f"http://127.0.0.1:{server.server_port}/{kind}" for kind in CROOKED}
    finally:
        CrookedNodes.released.set()
        server.shutdown()
        server.server_close()
