"""A node on a network in memory that answers as a test says, down to the byte."""

from __future__ import annotations

import json
from typing import cast

import attrs
from memory_network import End, MemoryReactor
from twisted.internet.protocol import Factory, Protocol


@attrs.define(eq=False)
class NodeExchange:
    """A request that reached a node, whose answer is the test's."""

    reactor: MemoryReactor
    wire: End
    head: bytes
    body: bytes = b""
    complete: bool = False

    @property
    def line(self) -> str:
        """Method and target."""
        return self.head.split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1")

    @property
    def dropped(self) -> bool:
        """Whether the gateway has closed the connection."""
        return self.wire.other.dropped

    def answer(self, body: bytes, status: str = "200 OK", *, kind: str = "application/json") -> None:
        """Answers whole."""
        self.send(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def begin(self, *lines: bytes) -> None:
        """Begins a stream."""
        self.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.lines(*lines)

    def lines(self, *lines: bytes) -> None:
        """Sends events, each as a chunk."""
        for line in lines:
            self.send(b"%x\r\n%s\r\n" % (len(line) + 1, line + b"\n"))

    def finish(self) -> None:
        """Ends the stream by its framing."""
        self.send(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.wire.write(data)
        self.reactor.settle()

    def close(self) -> None:
        """Closes the connection."""
        self.wire.loseConnection()
        self.reactor.settle()

    def reset(self) -> None:
        """Cuts the connection."""
        self.wire.abortConnection()
        self.reactor.settle()


class _NodeProtocol(Protocol):
    def __init__(self, node: ScriptedNode) -> None:
        self._node = node
        self._data = b""
        self._exchange: NodeExchange | None = None

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while self._data and self._take():
            pass

    def _take(self) -> bool:
        if self._exchange is None:
            head, separator, rest = self._data.partition(b"\r\n\r\n")
            if not separator:
                return False
            self._data = rest
            self._exchange = NodeExchange(self._node.reactor, cast("End", self.transport), head)
            if not self._node.probed(self._exchange):
                self._node.exchanges.append(self._exchange)
        exchange = self._exchange
        fields = dict(line.lower().split(b": ", 1) for line in exchange.head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            return self._take_chunk(exchange)
        length = fields.get(b"content-length")
        missing = int(length or 0) - len(exchange.body)
        exchange.body += self._data[:missing]
        self._data = self._data[missing:]
        if len(exchange.body) == int(length or 0):
            exchange.complete = True
            self._exchange = None
        return True

    def _take_chunk(self, exchange: NodeExchange) -> bool:
        size, separator, rest = self._data.partition(b"\r\n")
        count = int(size, 16) if separator else 0
        if not separator or len(rest) < count + 2:
            return False
        exchange.body += rest[:count]
        self._data = rest[count + 2 :]
        if count == 0:
            exchange.complete = True
            self._exchange = None
        return True


class ScriptedNode(Factory):
    """A node that answers probes by itself, and everything else as the test says.

    Attributes:
        exchanges: the requests that are the test's to answer.
        hangs: whether probes get no answer.
    """

    noisy = False

    def __init__(self, reactor: MemoryReactor, models: tuple[str, ...], resident: tuple[str, ...]) -> None:
        self.reactor = reactor
        self.models = list(models)
        self.resident = list(resident)
        self.exchanges: list[NodeExchange] = []
        self.hangs = False

    @property
    def exchange(self) -> NodeExchange:
        """The last request."""
        return self.exchanges[-1]

    def buildProtocol(self, addr: object) -> _NodeProtocol:
        return _NodeProtocol(self)

    def probed(self, exchange: NodeExchange) -> bool:
        """Answers a probe; False for whatever is none."""
        found: dict[str, object] = {
            "GET /api/version": {"version": "0.33.0"},
            "GET /api/tags": {"models": [{"name": n, "model": n, "size": 1, "digest": "d"} for n in self.models]},
            "GET /api/ps": {"models": [{"name": n, "model": n, "size": 1, "size_vram": 1} for n in self.resident]},
        }
        document = found.get(exchange.line)
        if document is None or self.hangs:
            return document is not None
        body = json.dumps(document).encode()
        exchange.wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return True
