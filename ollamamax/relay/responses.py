"""A node's bytes read as one response, with every limit that a node could break.

llhttp (`httptools`) does the parsing and is strict about it; what it accepts and a careful client must not is refused
here: heads above 64 KiB or 100 headers, transfer codings other than `chunked`, HTTP/2.0 in a status line, upgrades.
One parser reads one response, so that nothing of a response (its trailers, say) can leak into the next one.
"""

from __future__ import annotations

from typing import Protocol

import httptools

from ollamamax.errors import NodeProtocolError
from ollamamax.relay.messages import ResponseHead

MAX_HEAD_BYTES = 65536
MAX_HEADERS = 100


class ResponseSink(Protocol):
    """Where the parsed response goes."""

    def response_started(self, head: ResponseHead) -> None:
        """The final head (never a 1xx)."""

    def response_data(self, data: bytes) -> None:
        """A piece of the body."""


class ResponseParser:
    """Reads one response.

    Attributes:
        received: bytes fed so far.
        started: whether the final head is complete.
        complete: whether the whole response is.
        reusable: whether the connection may carry another request; meaningful once complete.
        until_close: whether the body ends where the connection does.
    """

    def __init__(self, sink: ResponseSink, *, head_request: bool) -> None:
        self.received = 0
        self.started = False
        self.complete = False
        self.reusable = False
        self.until_close = False
        self._sink: ResponseSink | None = sink
        self._head_request = head_request
        self._interim = False
        self._dirty = False
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._count = 0
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._refusal = ""
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Takes what arrived.

        Raises:
            NodeProtocolError: if it is no acceptable HTTP/1.1 response.
            Exception: what the sink raised.
        """
        self.received += len(data)
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if self._refusal:
                raise NodeProtocolError(detail=self._refusal) from None
            raise (error.__context__ or error) from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # What follows a complete response spoils the connection, not the response.
            if not self.complete:
                raise NodeProtocolError(detail=f"{error}") from None
            self._dirty = True
        if self._quiet_bytes > MAX_HEAD_BYTES and not self.complete:
            # A head, a chunk's extension or a trailer without end: llhttp would take it for ever.
            raise NodeProtocolError(detail="64 KiB without a byte of a body")
        if self._dirty:
            self.reusable = False

    def silence(self) -> None:
        """Lets the sink hear nothing more, in the middle of a `feed` too."""
        self._sink = None

    # What llhttp calls, in this order.

    def on_message_begin(self) -> None:
        if self.complete:
            self._dirty = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason
        self._weigh(len(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        self._weigh(len(name) + len(value) + 4)
        if self._count > MAX_HEADERS:
            self._refuse("more than 100 headers")
        if not self.started:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in ("1.1", "1.0") or not 100 <= status <= 599 or status == 101:
            self._refuse(f"HTTP/{self._parser.get_http_version()} {status}")
        if status < 200:
            self._interim = True
            return
        head = ResponseHead(status, self._reason, tuple(self._headers))
        self._check_framing(head)
        self.started = True
        self._quiet_bytes = 0
        if self._sink is not None:
            self._sink.response_started(head)
        if self._head_request:
            # llhttp would wait for the body that a HEAD's headers announce; the connection is not used again.
            self.complete = True

    def on_body(self, data: bytes) -> None:
        self._quiet_bytes = 0
        if self._sink is not None and not self.complete:
            self._sink.response_data(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self._reason = b""
            self._headers.clear()
        elif not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    def _check_framing(self, head: ResponseHead) -> None:
        codings = [value.lower() for name, value in head.headers if name.lower() == b"transfer-encoding"]
        sized = head.first(b"content-length") is not None
        if codings and (codings != [b"chunked"] or sized or self._parser.get_http_version() == "1.0"):
            self._refuse("unacceptable transfer coding")
        self.until_close = not codings and not sized and head.status not in (204, 304)

    def _weigh(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse("a response head above 64 KiB")

    def _refuse(self, why: str) -> None:
        self._refusal = why
        raise ValueError(why)
