"""What is exchanged with a node: heads, and who provides and receives bodies.

Everything that knows how a request looks on the wire lives here; how a response is read lives in `responses`.
"""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.python.failure import Failure

from ollamamax.address import NodeAddress

# Methods whose requests have no body by nature: for them an empty body needs no Content-Length (RFC 9110, 8.6).
_BODILESS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE"})


@attrs.frozen
class RequestHead:
    """The head of a request to a node.

    Attributes:
        method: as in `b"POST"`.
        target: path and query as the client sent them; the address's prefix is put in front of it.
        headers: names and values, in order. Host, Connection and the framing headers are not among them: they follow
            from the address and the body.
    """

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


@attrs.frozen
class ResponseHead:
    """The head of a node's response.

    Attributes:
        status: 200 to 599; informational responses are not reported.
        reason: the reason phrase, maybe empty.
        headers: all of them in order, hop-by-hop ones included, in the node's spelling.
    """

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def first(self, name: bytes) -> bytes | None:
        """The value of the first header of a name.

        Args:
            name: in lower case.
        """
        return next((value for key, value in self.headers if key.lower() == name), None)

    def unsized(self) -> ResponseHead:
        """The same without the body's length."""
        headers = tuple((name, value) for name, value in self.headers if name.lower() != b"content-length")
        return attrs.evolve(self, headers=headers)


class ResponseReceiver(Protocol):
    """Hears of one response. After `response_finished` or `response_failed`, or an abort, it hears nothing more."""

    def response_started(self, head: ResponseHead) -> None:
        """The response's head has arrived."""

    def response_data(self, data: bytes) -> None:
        """A piece of the body: a chunk of a chunked body where it arrived whole, never delayed to make one whole."""

    def response_finished(self) -> None:
        """The body is complete."""

    def response_failed(self, failure: Failure) -> None:
        """There will be no (more) response; the failure holds a `GatewayError`, or what made a streamed body fail."""


class BodyReceiver(Protocol):
    """Hears of a body that is still arriving."""

    def body_data(self, data: bytes) -> None:
        """A piece of the body."""

    def body_complete(self) -> None:
        """The body is complete."""

    def body_failed(self, reason: Failure) -> None:
        """The body will never be complete."""


class StreamedBody(Protocol):
    """A request body that is passed on while it arrives.

    Attributes:
        length: in bytes; None where it is not known beforehand.
    """

    length: int | None

    def deliver_to(self, receiver: BodyReceiver) -> None:
        """Begins the delivery; called at most once."""

    def pause(self) -> None:
        """Asks for no more data for now."""

    def resume(self) -> None:
        """Asks for data again."""

    def abandon(self) -> None:
        """Says that nobody wants the rest; called at most once, and nothing is delivered after it."""


def request_bytes(address: NodeAddress, head: RequestHead, length: int | None) -> bytes:
    """The head of a request as it goes over the wire.

    Args:
        address: whose Host and prefix are used.
        head: the rest.
        length: the body's length in bytes; None for a chunked body.

    Raises:
        ValueError: for a head that would not be read as the one it is (line breaks inside of a part).
    """
    target = address.prefix.encode("ascii") + head.target
    lines = [head.method + b" " + target + b" HTTP/1.1", b"Host: " + address.authority]
    lines += [name + b": " + value for name, value in head.headers]
    if length is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif length or head.method not in _BODILESS:
        lines.append(b"Content-Length: %d" % length)
    text = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count(b"\n") != breaks or text.count(b"\r") != breaks or head.target.count(b" "):
        raise ValueError("a request head with line breaks inside of a part")
    return text + b"\r\n\r\n"
