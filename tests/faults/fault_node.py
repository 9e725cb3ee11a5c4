"""A node of raw sockets that does what it is told, and remembers what it saw.

It answers the gateway's probes truthfully, so that the gateway takes it for a healthy node. What it does with any other
request is a script, which the request's model selects: one node serves many tests. A thread serves each connection;
nothing is left open or running once the node is closed.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import attrs
from faults.steps import Close, Read, Repeat, Reset, Script, Send, Stall, Step, Wait

PROBED = ("/api/version", "/api/tags", "/api/ps")
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"|name="?model"?\r\n\r\n([^\r]*)\r\n')
_PIECE_BYTES = 1 << 16
_KEPT_BYTES = 1 << 20
_GATE_SECONDS = 60.0
# No node's own buffers may hide that the gateway does not read.
_SEND_BUFFER_BYTES = 1 << 17


@attrs.define(eq=False)
class Seen:
    """One request as the node saw it.

    Attributes:
        connection: the number of its connection.
        method: its method.
        target: its path and query.
        headers: by their lower-case names.
        model: the model that its body names.
        body: the first MiB of its body.
        body_bytes: how much of the body was taken in.
        sent_bytes: how much the socket has taken of the answer.
        left_by: how the peer ended the connection before the script was through: `fin` or `rst`.
        left_at: `time.monotonic()` of that.
        over: set once the script is through or the peer has gone.
    """

    connection: int
    method: str
    target: str
    headers: Mapping[str, str]
    model: str = ""
    body: bytes = attrs.field(default=b"", repr=False)
    body_bytes: int = 0
    sent_bytes: int = 0
    left_by: str = ""
    left_at: float | None = None
    over: threading.Event = attrs.field(factory=threading.Event, repr=False)


class FaultNode:
    """Listens on a free port of loopback.

    Attributes:
        url: where.
        requests: what came, probes left out, in order.
        connections: how many were accepted, those of probes included.
    """

    def __init__(
        self, direct: Callable[[Seen], Script], models: Sequence[str], *, resident: Sequence[str] | None = None
    ) -> None:
        """Begins to listen.

        Args:
            direct: gives the script for a request.
            models: the names of what it has.
            resident: the names of what is in its memory; by default, all of it.
        """
        self.requests: list[Seen] = []
        self.connections = 0
        self._direct = direct
        self._lists = {"/api/tags": models, "/api/ps": models if resident is None else resident}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._wake, self._woken = socket.socketpair()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    # Nodes that cannot be reached.

    def refuse(self) -> None:
        """From now on connections are refused."""
        self._stop_accepting()
        self._listener.close()

    def accept_nothing(self) -> None:
        """From now on nobody accepts: the kernel connects, and that is all that happens."""
        self._stop_accepting()

    def drop_connections(self) -> None:
        """From now on the kernel drops what wants to connect: nobody accepts, and the queue is full."""
        self._stop_accepting()
        self._listener.listen(0)
        filling = socket.socket()
        filling.setblocking(False)
        filling.connect_ex(self._listener.getsockname())
        self._open.add(filling)

    def close(self) -> None:
        """Ends it, its connections and its threads."""
        self._stop_accepting()
        self._listener.close()
        for connection in list(self._open):
            _shut(connection)
        for thread in self._threads:
            thread.join()
        for connection in (*self._open, self._wake, self._woken):
            connection.close()

    def _stop_accepting(self) -> None:
        if self._accepting.is_alive():
            self._wake.send(b"x")
            self._accepting.join()

    # What it does.

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._woken], [], [])
            if self._woken in ready:
                return
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            self.connections += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        incoming = _Incoming(connection)
        try:
            while (request := incoming.head()) is not None:
                method, target, headers = request
                if target in PROBED:
                    connection.sendall(self._probed(target))
                elif not self._play(connection, incoming, Seen(number, method, target, headers)):
                    return
                while incoming.more_body():
                    pass
        except OSError:
            return
        finally:
            connection.close()
            self._open.discard(connection)

    def _play(self, connection: socket.socket, incoming: _Incoming, seen: Seen) -> bool:
        """Does what the script of one request says; whether the connection may carry another."""
        self.requests.append(seen)
        try:
            while not (model := _MODEL.search(incoming.body_so_far)) and incoming.more_body():
                pass
            seen.body = bytes(incoming.body_so_far)
            seen.model = "" if model is None else (model[1] or model[2]).decode()
            act = _Act(connection, incoming, seen)
            return all(act.do(step) for step in self._direct(seen))
        except OSError as error:
            if not seen.left_by:
                _leave(seen, "fin" if isinstance(error, BrokenPipeError) else "rst")
            raise
        finally:
            seen.body, seen.body_bytes = bytes(incoming.body_so_far), incoming.body_bytes
            seen.over.set()

    def _probed(self, target: str) -> bytes:
        document: object = {"version": "0.33.0"}
        if target in self._lists:
            names = [f"{name}:latest" for name in self._lists[target]]
            document = {"models": [{"name": name, "model": name, "digest": "0" * 64, "size": 1} for name in names]}
        body = json.dumps(document).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@attrs.frozen
class _Act:
    """A step done on a connection."""

    connection: socket.socket
    incoming: _Incoming
    seen: Seen

    def do(self, step: Step) -> bool:
        """Does it; whether the connection may carry another request after it.

        Raises:
            OSError: the peer has gone.
        """
        match step:
            case Close():
                self.connection.shutdown(socket.SHUT_WR)
                # What the peer sent last must not turn the FIN into an RST.
                self._wait_for_the_end()
            case Reset():
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case Stall():
                self._wait_for_the_end()
            case _:
                self._go_on(step)
                return True
        return False

    def _go_on(self, step: Read | Send | Repeat | Wait) -> None:
        match step:
            case Read():
                while (step.size is None or self.incoming.body_bytes < step.size) and self.incoming.more_body():
                    pass
            case Send():
                size = step.piece_bytes or max(1, len(step.data))
                for start in range(0, len(step.data), size):
                    self._send(step.data[start : start + size])
                    time.sleep(step.pause_seconds)
            case Repeat():
                for _ in count() if step.times is None else range(step.times):
                    self._send(step.data)
            case Wait():
                step.gate.wait(_GATE_SECONDS)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            taken = self.connection.send(view)
            self.seen.sent_bytes += taken
            view = view[taken:]

    def _wait_for_the_end(self) -> None:
        try:
            while self.connection.recv(_PIECE_BYTES):
                pass
        except ConnectionError:
            _leave(self.seen, "rst")
        else:
            _leave(self.seen, "fin")


class _Incoming:
    """What a peer sends, read as requests.

    Attributes:
        body_so_far: the beginning of the request's body, framing taken out.
        body_bytes: how much of it came.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.body_so_far = bytearray()
        self.body_bytes = 0
        self._connection = connection
        self._data = bytearray()
        self._remaining = 0
        self._chunked = False

    def head(self) -> tuple[str, str, dict[str, str]] | None:
        """Method, target and headers of the next request; None when the peer has closed."""
        while b"\r\n\r\n" not in self._data:
            if not self._receive():
                return None
        text, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        self._data = bytearray(rest)
        first, *lines = text.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        self.body_so_far, self.body_bytes = bytearray(), 0
        self._chunked = headers.get("transfer-encoding") == "chunked"
        self._remaining = int(headers.get("content-length", 0))
        return method, target, headers

    def more_body(self) -> bool:
        """Takes in some more of the body; False once it is complete.

        Raises:
            ConnectionResetError: the peer has gone in the middle of it.
        """
        if self._chunked and not self._remaining and not self._next_chunk():
            self._chunked = False
            return False
        if not self._remaining:
            return False
        if not self._data:
            self._need()
        piece = self._data[: self._remaining]
        del self._data[: len(piece)]
        self._remaining -= len(piece)
        self.body_bytes += len(piece)
        if len(self.body_so_far) < _KEPT_BYTES:
            self.body_so_far += piece
        if self._chunked and not self._remaining:
            while len(self._data) < 2:
                self._need()
            del self._data[:2]
        return True

    def _next_chunk(self) -> int:
        while b"\r\n" not in self._data:
            self._need()
        line, _, rest = bytes(self._data).partition(b"\r\n")
        self._data = bytearray(rest)
        self._remaining = int(line, 16)
        if not self._remaining:
            while len(self._data) < 2:
                self._need()
            del self._data[:2]
        return self._remaining

    def _need(self) -> None:
        if not self._receive():
            raise ConnectionResetError("the peer has gone in the middle of a request")

    def _receive(self) -> bool:
        data = self._connection.recv(_PIECE_BYTES)
        self._data += data
        return bool(data)


def _leave(seen: Seen, how: str) -> None:
    seen.left_by, seen.left_at = how, time.monotonic()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
