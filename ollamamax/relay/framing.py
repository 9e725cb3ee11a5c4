"""Bytes cut into the lines of an NDJSON stream, however they arrive.

Ollama puts no bound on a line (images and tool calls come whole), so lines are relayed whatever their length; only
what is kept for reading is bounded here.
"""

from __future__ import annotations

MAX_LINE_BYTES = 8 * 1024 * 1024


class NdjsonLines:
    """Cuts lines. Linear in the bytes fed, also when they come one by one.

    Attributes:
        oversized: how many lines were longer than the limit, and so were not given out.
        mid_line: whether the bytes so far end inside of a line.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.oversized = 0
        self.mid_line = False
        self._max = max_line_bytes
        self._begun = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes.

        Returns:
            The lines that they complete, without their line feeds, empty ones left out.
        """
        if not data:
            return []
        pieces = data.split(b"\n")
        rest = pieces.pop()
        if self.mid_line and pieces:
            pieces[0] = self._complete(pieces[0])
        self.mid_line = bool(rest) or (self.mid_line and data[-1:] != b"\n")
        if rest:
            self._keep(rest)
        lines = [piece for piece in pieces if piece]
        if len(data) > self._max:
            fitting = [line for line in lines if len(line) <= self._max]
            self.oversized += len(lines) - len(fitting)
            return fitting
        return lines

    def rest(self) -> bytes:
        """The last line where no line feed ended it; empty if there is none, or if it was too long."""
        return bytes(self._begun)

    def _complete(self, end: bytes) -> bytes:
        self._keep(end)
        line = b"" if self._skipping else bytes(self._begun)
        self._begun.clear()
        self._skipping = False
        return line

    def _keep(self, data: bytes) -> None:
        if self._skipping:
            return
        if len(self._begun) + len(data) > self._max:
            self._begun.clear()
            self._skipping = True
            self.oversized += 1
        else:
            self._begun += data
