"""A node that answers with what it has ready, so that it is never what a benchmark waits for.

`canned_node.py TOKENS`: a chat is a stream of so many tokens, each in a chunk of its own, sent at once.
"""

from __future__ import annotations

import asyncio
import json
import sys

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


def stream(tokens: int) -> bytes:
    """An answer of lines."""
    lines: list[object] = [{**MOMENT, "message": {"role": "assistant", "content": "word "}, "done": False}] * tokens
    pieces = [json.dumps(line).encode() + b"\n" for line in [*lines, {**END, "eval_count": tokens}]]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Canned(asyncio.Protocol):
    """One connection of the gateway's.

    Args:
        answers: by path.
    """

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
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
            self._received = self._received[after:]
            assert self._transport is not None
            self._transport.write(self._answers[head.split(b" ", 2)[1]])


async def main(tokens: int) -> None:
    """Listens, says where, and answers until it is ended."""
    answers = {
        b"/api/version": whole({"version": "0.33.0"}),
        b"/api/tags": whole({"models": [MODEL]}),
        b"/api/ps": whole({"models": [RESIDENT]}),
        b"/api/chat": stream(tokens),
    }
    server = await asyncio.get_running_loop().create_server(lambda: Canned(answers), "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
