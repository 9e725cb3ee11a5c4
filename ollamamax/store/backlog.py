"""Rows on their way to the database: a pure buffer, in which order never matters.

A row is known by its id. The final row of an id takes the place of its started row wherever they meet here, a started
row never that of a final one, and of two final rows the first one stays; the statements in `ledger_statements` hold to
the same rule where rows meet in the database. A batch that is being written stays here until it is known to be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from ollamamax.store.ledger_row import LedgerRow


@attrs.define
class _Entry:
    row: LedgerRow
    sequence: int


class Backlog:
    """At most `capacity` rows that are not written yet; what comes beyond is dropped and counted.

    The final row of a request that was begun always finds room: there are no more of those than requests under way.

    Attributes:
        accepted: the number of the last row that was taken; rows are numbered from 1.
        dropped: rows lost so far, one for each request.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: dict[str, _Entry] = {}
        self._writing: dict[str, _Entry] = {}
        self._begun: set[str] = set()
        self.accepted = 0
        self.dropped = 0

    def __len__(self) -> int:
        """Rows that are not known to be written."""
        return len(self._waiting) + len(self._writing)

    @property
    def has_room(self) -> bool:
        """Whether the row of one more request would be taken."""
        return len(self) < self._capacity

    @property
    def waiting(self) -> int:
        """Rows of which no batch was made yet."""
        return len(self._waiting)

    @property
    def oldest(self) -> int | None:
        """The number of the oldest row that is not known to be written."""
        for entries in (self._writing, self._waiting):  # each is in the order of its numbers, the batch before the rest
            for entry in entries.values():
                return entry.sequence
        return None

    def add(self, row: LedgerRow) -> None:
        """Takes a row, or drops it where there is no room."""
        was_begun = row.id in self._begun
        if row.is_final:
            self._begun.discard(row.id)
        waiting = self._waiting.get(row.id)
        if waiting is not None:
            waiting.row = _final_of(waiting.row, row)
            return
        writing = self._writing.get(row.id)
        if writing is not None and _final_of(writing.row, row) is writing.row:
            return
        if not self.has_room and not was_begun:
            self.dropped += row.is_final  # of a request that runs there is another row to come
            return
        if not row.is_final:
            self._begun.add(row.id)
        self.accepted += 1
        self._waiting[row.id] = _Entry(row, self.accepted)

    def take(self, limit: int) -> list[LedgerRow]:
        """The oldest rows, as the one batch that is being written from now on."""
        for identifier in list(self._waiting)[:limit]:
            self._writing[identifier] = self._waiting.pop(identifier)
        return [entry.row for entry in self._writing.values()]

    def written(self, refused: int = 0) -> None:
        """The batch is in the database, but for the rows that it `refused` for what they are."""
        self._writing.clear()
        self.dropped += refused

    def returned(self) -> None:
        """The batch was not written: its rows wait again, before all others."""
        batch, self._writing = self._writing, {}
        for identifier, entry in batch.items():
            newer = self._waiting.pop(identifier, None)
            if newer is not None:
                entry.row = _final_of(entry.row, newer.row)
        self._waiting = batch | self._waiting

    def drop_all(self) -> None:
        """Gives up what waits."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._begun.clear()


def _final_of(known: LedgerRow, new: LedgerRow) -> LedgerRow:
    """Which of two rows of one id stays."""
    return new if new.is_final and not known.is_final else known
