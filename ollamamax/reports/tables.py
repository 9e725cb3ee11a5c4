"""Lines of a table whose rows may still come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from ollamamax.reports.words import width

_GAP = "  "


@attrs.frozen
class Column:
    """One column.

    Attributes:
        title: what stands above it.
        to_the_right: whether its cells end at one edge, as numbers do.
        narrowest: how wide it is at least; for rows that come one after the other.
    """

    title: str
    to_the_right: bool = False
    narrowest: int = 0


class Table:
    """Makes lines of cells; a column grows where a cell needs it, and stays so."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._widths = [max(width(column.title), column.narrowest) for column in columns]

    def fit(self, rows: Iterable[Sequence[str]]) -> None:
        """Makes room for rows before the first line is made."""
        for row in rows:
            self._widths = [max(known, width(cell)) for known, cell in zip(self._widths, row, strict=True)]

    def head(self) -> str:
        """The line above all others."""
        return self.line([column.title for column in self._columns])

    def line(self, cells: Sequence[str]) -> str:
        """One row."""
        self.fit([cells])
        padded = (
            " " * (room - width(cell)) + cell if column.to_the_right else cell + " " * (room - width(cell))
            for column, room, cell in zip(self._columns, self._widths, cells, strict=True)
        )
        return _GAP.join(padded).rstrip()
