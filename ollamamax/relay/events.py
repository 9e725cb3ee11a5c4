"""Bytes cut into server-sent events, however they arrive: which of them may go on, and which can be read.

Of a stream only whole events go on: a client can do nothing with a part of one, and an error that has to be said in the
middle of an event could not be parsed. So the unfinished event at the end of a read is held, up to a limit; what is
longer passes as it comes. Lines end in LF or CRLF; HTML ("9.2.5 Parsing an event stream") allows CR alone as well,
which no engine writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_HELD_BYTES = 256 * 1024
# Of an event that is too long to be read, this much is: its name stands there.
_BEGINNING_BYTES = 1024
_BLANK_LINE = re.compile(rb"\n\r?\n")


class EventFraming:
    """Cuts events. Linear in the bytes fed, also when they come one by one.

    Attributes:
        complete: the events that the last bytes completed, with the blank lines that end them; of an event longer than
            the limit, its beginning and a blank line.
        mid_event: whether a part of an unfinished event went on.
    """

    def __init__(
        self,
        edit: Callable[[bytes], bytes] | None = None,
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        """Begins.

        Args:
            edit: makes of a whole event what goes on in its place; empty for nothing. Not asked about an event of which
                a part went on before.
            max_event_bytes: longer events are not given out for reading.
            max_held_bytes: of an unfinished event, how much is held before it passes.
        """
        self.complete: list[bytes] = []
        self.mid_event = False
        self._edit = edit
        self._max_event = max_event_bytes
        self._max_held = max_held_bytes
        self._begun = bytearray()
        self._oversized = False

    def feed(self, data: bytes) -> bytes:
        """Takes bytes.

        Returns:
            What goes on now.
        """
        begun = len(self._begun)
        if not begun and _is_one_event(data) and len(data) <= self._max_event:
            self.complete = [data]
            return data if self._edit is None else self._edit(data)
        if begun:
            self._begun += data
        text = self._begun if begun else data
        # A blank line may have begun in the two bytes before.
        ends = [match.end() for match in _BLANK_LINE.finditer(text, max(begun - 2, 0))]
        passing: list[bytes] = []
        self.complete = []
        at = 0
        for end in ends:
            event = bytes(text[at:end])
            if self.mid_event:
                passing.append(data[: end - begun])
            else:
                passing.append(event if self._edit is None else self._edit(event))
            if self._oversized or len(event) > self._max_event:
                event = event[:_BEGINNING_BYTES] + b"\n\n"
            self.complete.append(event)
            self.mid_event = self._oversized = False
            at = end
        if at == len(text) and not begun and self._edit is None:
            return data
        if begun:
            del self._begun[:at]
        else:
            self._begun += data[at:]
        passing.append(self._overflow(data))
        return b"".join(passing)

    def rest(self) -> bytes:
        """The unfinished event, as far as it can be read."""
        return bytes(self._begun[:_BEGINNING_BYTES] if self._oversized else self._begun)

    def held(self) -> bytes:
        """What has not gone on."""
        return b"" if self.mid_event else bytes(self._begun)

    def _overflow(self, data: bytes) -> bytes:
        """What of the unfinished event has to go on."""
        begun = self._begun
        if self.mid_event:
            passing = data
        elif len(begun) > self._max_held:
            self.mid_event = True
            passing = bytes(begun)
        else:
            return b""
        if len(begun) > self._max_event:
            self._oversized = True
            del begun[_BEGINNING_BYTES:-2]
        return passing


def _is_one_event(data: bytes) -> bool:
    """Whether these are certainly the one or two lines of one event and its blank line, as most reads are."""
    return data.endswith(b"\n\n") and data.count(b"\n") <= 3 and not data.endswith((b"\n\n\n", b"\r\n\n"))


def fields(event: bytes) -> tuple[bytes, bytes]:
    """An event's name and its data; both may be empty, as of a comment."""
    name = b""
    data: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.removesuffix(b"\r").partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return name, b"\n".join(data)
