"""Pure: one request after the other out of a connection's bytes.

llhttp does the parsing. It has no brake, though: fed with two requests it parses both. Since a connection serves one
request at a time and must not keep parsed requests in store, `RequestParser` feeds llhttp piece by piece and never
beyond the end of the current message:

- a head ends at the first CRLF CRLF (llhttp refuses every other spelling of that end);
- a body with a length ends by counting;
- a chunked body ends at a CRLF CRLF as well, since trailers are refused; a CRLF CRLF within its data only makes one
  piece more.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

import attrs
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from ollamamax.errors import GatewayError, HeadTooLarge, MalformedRequest
from ollamamax.web.heads import Field, Head, examine

_END = b"\r\n\r\n"


class MessageReceiver(Protocol):
    """What hears of the requests that arrive; nothing of it is called from within llhttp."""

    def head_received(self, head: Head) -> None:
        """A head is complete; it may hold a refusal, then nothing follows."""

    def body_received(self, data: bytes) -> None:
        """A piece of the body, its framing removed."""

    def message_ended(self) -> None:
        """The request is complete."""

    def message_broken(self, error: GatewayError) -> None:
        """The bytes are no request, or too long a head; nothing follows."""


class Phase(Enum):
    """Where in a message the parser stands."""

    START = auto()  # before its first byte
    HEAD = auto()
    BODY = auto()  # with a length
    CHUNKS = auto()
    ENDED = auto()  # until `next` is called
    STOPPED = auto()  # for ever


class RequestParser:
    """Reads the requests of one connection.

    Attributes:
        phase: where in a message it stands.
    """

    def __init__(self, receiver: MessageReceiver, *, max_head_bytes: int, max_headers: int) -> None:
        """Makes a parser that stands before the first request.

        Args:
            receiver: what hears of the requests.
            max_head_bytes: the length of a head, its empty line included.
            max_headers: how many header fields a head may have.
        """
        self.phase = Phase.START
        self._receiver = receiver
        self._max_head_bytes = max_head_bytes
        self._max_headers = max_headers
        self._http = HttpRequestParser(self)
        self._forget()

    def _forget(self) -> None:
        self._line = b""
        self._line_ended = False
        self._fields: list[Field] = []
        self._head_bytes = 0
        self._head_ended = False
        self._replaying = False
        self._trailed = False
        self._message_ended = False
        self._pieces: list[bytes] = []
        self._remaining = 0
        self._tail = b""

    def next(self) -> None:
        """Makes ready for the next request; the last one has ended and been answered."""
        self._forget()
        self.phase = Phase.START

    def stop(self) -> None:
        """Takes nothing any more: the connection is about to close."""
        self.phase = Phase.STOPPED

    def feed(self, data: bytes) -> int:
        """Takes bytes until the current message ends.

        Returns:
            How many were taken: all, or those before the next message.
        """
        position = 0
        if self.phase is Phase.START:
            # Empty lines before a request line are to be ignored (RFC 9112, 2.2); they do not begin a request.
            position = len(data) - len(data.lstrip(b"\r\n")) if data[:1] in (b"\r", b"\n") else 0
            if position < len(data):
                self.phase = Phase.HEAD
        while position < len(data):
            if self.phase is Phase.HEAD:
                position = self._take_head(data, position)
            elif self.phase is Phase.BODY:
                position = self._take_body(data, position)
            elif self.phase is Phase.CHUNKS:
                position = self._take_chunks(data, position)
            else:
                break
        return position

    # The three kinds of pieces.

    def _take_head(self, data: bytes, start: int) -> int:
        room = start + self._max_head_bytes - self._head_bytes
        end = self._end_of_block(data, start, min(room, len(data)))
        piece = data[start:end]
        self._head_bytes += len(piece)
        if not self._line_ended:
            self._line += piece
            line_end = self._line.find(b"\r\n")
            if line_end >= 0:
                self._line, self._line_ended = self._line[:line_end], True
        error = self._parse(piece)
        if self._head_ended:
            self._start_body(error)
        elif error is not None:
            self._break(error)
        elif self._head_bytes >= self._max_head_bytes:
            self._break(HeadTooLarge())
        return end

    def _start_body(self, error: GatewayError | None) -> None:
        head = examine(self._line, self._fields, max_headers=self._max_headers)
        if error is not None and head.refusal is None:
            head = attrs.evolve(head, refusal=error)
        self._fields = []
        if head.refusal is not None:
            self.phase = Phase.STOPPED
        elif head.content_length is None:
            self.phase = Phase.CHUNKS
        else:
            self.phase = Phase.BODY
            self._remaining = head.content_length
        self._receiver.head_received(head)
        self._report()

    def _take_body(self, data: bytes, start: int) -> int:
        end = min(start + self._remaining, len(data))
        self._remaining -= end - start
        self._go_on(self._parse(memoryview(data)[start:end]))
        return end

    def _take_chunks(self, data: bytes, start: int) -> int:
        end = self._end_of_block(data, start, len(data))
        self._go_on(self._parse(memoryview(data)[start:end]))
        return end

    def _end_of_block(self, data: bytes, start: int, stop: int) -> int:
        """Where the first CRLF CRLF ends, one that began in the bytes before included; `stop` without one."""
        tail = self._tail
        if tail:
            found = (tail + data[start : min(start + 3, stop)]).find(_END)
            if found >= 0:
                self._tail = b""
                return start + found + 4 - len(tail)
        found = data.find(_END, start, stop)
        if found >= 0:
            self._tail = b""
            return found + 4
        self._tail = (tail + data[max(start, stop - 3) : stop])[-3:]
        return stop

    # llhttp and what it reports.

    def _parse(self, piece: bytes | memoryview) -> GatewayError | None:
        try:
            try:
                self._http.feed_data(piece)
            except HttpParserUpgrade:
                self._decline_upgrade()
        except HttpParserError as error:
            return MalformedRequest(detail=str(error))
        return MalformedRequest(detail="trailers") if self._trailed else None

    def _go_on(self, error: GatewayError | None) -> None:
        if error is not None:
            self._break(error)
        else:
            self._report()

    def _decline_upgrade(self) -> None:
        """Goes on after a head that offered another protocol; the offer is ignored (RFC 9110, 7.8).

        At such a head llhttp takes the message for complete, so that the body would be parsed as the next request. A
        fresh parser is given a head with the same framing and nothing else.

        Raises:
            HttpParserError: the framing is one that llhttp does not look at in the head of an upgrade.
        """
        self._message_ended = False
        self._replaying = True
        framing = [b"%s: %s\r\n" % field for field in self._fields if field[0].lower() in _FRAMING_FIELDS]
        self._http = HttpRequestParser(self)
        self._http.feed_data(b"POST / HTTP/1.1\r\nHost: -\r\n%s\r\n" % b"".join(framing))
        self._replaying = False

    def _report(self) -> None:
        """Passes on what the last piece held; the receiver may stop the parser meanwhile."""
        self._report_body()
        if self._message_ended and self.phase is not Phase.STOPPED:
            self.phase = Phase.ENDED
            self._receiver.message_ended()

    def _report_body(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and self.phase is not Phase.STOPPED:
            self._receiver.body_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _break(self, error: GatewayError) -> None:
        # What came before the fault is passed on first, so that the outcome does not depend on how bytes were cut.
        self._report_body()
        if self.phase is not Phase.STOPPED:
            self.phase = Phase.STOPPED
            self._receiver.message_broken(error)

    # Called by httptools, from within `feed_data`: these only take notes.

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or one of the trailers."""
        if not self._head_ended:
            self._fields.append((name, value.strip(b" \t")))
        elif not self._replaying:
            self._trailed = True

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._head_ended = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The message is complete, or llhttp believes so because an upgrade was offered."""
        self._message_ended = True


_FRAMING_FIELDS = frozenset((b"content-length", b"transfer-encoding"))
