"""A node that answers with what it has ready, so that it is never what a benchmark waits for.

A chat is a stream of as many tokens as `num_predict` says, as fast as they can be written, each in a chunk and a call
of the system of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache

MODEL = {
    "name": "tiny:latest",
    "model": "tiny:latest",
    "modified_at": "2026-01-01T00:00:00Z",
    "size": 1,
    "digest": "0" * 64,
    "details": {},
}
RESIDENT = {**MODEL, "expires_at": "2096-01-01T00:00:00Z", "size_vram": 1, "context_length": 4096}
MOMENT = {"model": "tiny", "created_at": "2026-01-01T00:00:00Z"}
END = {
    **MOMENT,
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 50_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 20,
    "prompt_eval_duration": 9_000_000,
    "eval_duration": 39_000_000,
}


def whole(document: object) -> bytes:
    """An answer of one object."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@cache
def stream(tokens: int) -> tuple[bytes, ...]:
    """An answer of lines, in the pieces in which it is written."""
    lines: list[object] = [{**MOMENT, "message": {"role": "assistant", "content": "word "}, "done": False}] * tokens
    pieces = [json.dumps(line).encode() + b"\n" for line in [*lines, {**END, "eval_count": tokens}]]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    *chunks, last = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks[0], *chunks[1:], last + b"0\r\n\r\n"


LISTS = {
    b"/api/version": whole({"version": "0.33.0"}),
    b"/api/tags": whole({"models": [MODEL]}),
    b"/api/ps": whole({"models": [RESIDENT]}),
}


class Canned(asyncio.Protocol):
    """One connection of the gateway's."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to answer."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers each request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            _, found, rest = head.lower().partition(b"\r\ncontent-length:")
            after = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._received) < after:
                return
            body, self._received = self._received[end + 4 : after], self._received[after:]
            assert self._transport is not None
            path = head.split(b" ", 2)[1]
            wanted = re.search(rb'"num_predict": ?(\d+)', body)
            for piece in (LISTS[path],) if path in LISTS else stream(int(wanted[1]) if wanted else 20):
                self._transport.write(piece)


async def main() -> None:
    """Listens, says where, and answers until it is ended."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
