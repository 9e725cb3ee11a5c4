"""A client whose every byte a test decides on: it may stop in the middle of a request, wait, and go on later."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPResponse, IncompleteRead
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from real.wire import PATIENCE_SECONDS, request

_POLL_SECONDS = 0.02


def wait_for(condition: Callable[[], object]) -> None:
    """Waits for something that is bound to happen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(_POLL_SECONDS)


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: the status.
        headers: by their lower-case names.
        body: what arrived of it.
        whole: whether it ended as its framing says.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Caller:
    """One connection to the server at a URL, or at `unix:PATH`."""

    def __init__(self, url: str) -> None:
        if url.startswith("unix:"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(PATIENCE_SECONDS)
            self._socket.connect(url.removeprefix("unix:"))
        else:
            parts = urlsplit(url)
            self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes, and nothing but them."""
        self._socket.sendall(data)

    def answered(self) -> bool:
        """Whether anything has come back that was not read yet, be it the connection's end."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def answer(self) -> Answer:
        """Waits for an answer and reads it to its end."""
        response = HTTPResponse(self._socket)
        response.begin()
        whole = True
        try:
            body = response.read()
        except IncompleteRead as broken:
            body, whole = broken.partial, False
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body, whole)

    def read_until(self, text: bytes) -> bytes:
        """Waits until some text has come; what came up to then, head and framing included."""
        data = b""
        while text not in data:
            piece = self._socket.recv(1 << 16)
            assert piece, f"the connection ended after {data!r}"
            data += piece
        return data

    def read_to_the_end(self) -> bytes:
        """What comes until the server closes the connection."""
        data = bytearray()
        while piece := self._socket.recv(1 << 16):
            data += piece
        return bytes(data)


def call(
    url: str, method: str, target: str, body: object = None, *, headers: Sequence[tuple[str, str]] = (), host: str = ""
) -> Answer:
    """One request on a connection of its own.

    Args:
        url: the server's.
        method: the method.
        target: path and query.
        body: bytes as they are, None for no body, anything else as JSON.
        headers: besides Host and Content-Length.
        host: the Host header; by default, localhost.
    """
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with Caller(url) as caller:
        caller.send(request(method, target, data, headers=headers, host=host or "localhost", close=False))
        return caller.answer()


def chat_request(
    model: str, *, stream: bool = True, content: str = "x", headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """The bytes of a chat."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream}
    data = json.dumps(body).encode()
    return request("POST", "/api/chat", data, headers=headers, host="localhost", close=False)


def asked(url: str, model: str, *, stream: bool = True) -> Caller:
    """A connection on which a chat has been asked for, and nothing read."""
    caller = Caller(url)
    caller.send(chat_request(model, stream=stream))
    return caller
