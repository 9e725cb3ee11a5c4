"""The ledger's rows in any order, through outages and slow writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from store.databases import ImmediateThreads

from ollamamax.store.ledger import Ledger, LedgerRow
from ollamamax.store.schema import requests
from ollamamax.store.spool import Spool
from ollamamax.store.spool_files import SpoolFiles

if TYPE_CHECKING:
    from pathlib import Path

    from store.databases import Closable, Database

Fired = Callable[[Any], Any]


def started(identifier: str) -> LedgerRow:
    """A row of a request that runs."""
    return LedgerRow(id=identifier, started_at=1.0, endpoint="/api/chat")


def finished(identifier: str, tokens: int) -> LedgerRow:
    """A row of a request that is over."""
    return attrs.evolve(started(identifier), finished_at=2.0, outcome="success", output_tokens=tokens)


class Story:
    """A ledger to which things happen, and what it was told."""

    def __init__(self, database: Database, spool: Spool | None = None) -> None:
        self.database = database
        self.ledger = Ledger(database.writer, database.reader, database.reactor, spool=spool)
        self.told: dict[str, LedgerRow] = {}
        self.other: Closable | None = None

    def take(self, row: LedgerRow) -> None:
        """The ledger hears of a row."""
        (self.ledger.finished if row.is_final else self.ledger.started)(row)
        if row.id not in self.told or (row.is_final and not self.told[row.id].is_final):
            self.told[row.id] = row

    def flush(self) -> None:
        """Somebody wants all of it written."""
        self.ledger.flush()

    def wait(self) -> None:
        """Time passes."""
        self.database.reactor.advance(0.07)

    def lock(self) -> None:
        """Another program takes the file."""
        if self.other is None:
            self.other = self.database.lock()

    def unlock(self) -> None:
        """It gives the file back."""
        if self.other is not None:
            self.other.close()
            self.other = None

    def hold(self) -> None:
        """The writer's thread becomes slow."""
        if self.database.writer_threads.held is None:
            self.database.writer_threads.hold()

    def release(self) -> None:
        """It has done what it was asked."""
        self.database.writer_threads.release()

    def end(self) -> None:
        """Nothing is in the way any more, and time passes."""
        self.unlock()
        self.release()
        for _ in range(3):
            self.database.reactor.advance(5)


def steps(most_tokens: int) -> st.SearchStrategy[list[LedgerRow | str]]:
    """What happens, one thing after the other; with no tokens all final rows of an id are the same."""
    return st.lists(
        st.one_of(
            st.builds(started, st.sampled_from("abcd")),
            st.builds(finished, st.sampled_from("abcd"), tokens=st.integers(0, most_tokens)),
            st.sampled_from(["flush", "wait", "lock", "unlock", "hold", "release"]),
        ),
        max_size=25,
    )


def test_order_never_matters(database: Database, fired: Fired) -> None:
    """However rows, repetitions, writes and outages interleave: a row per request, and its first final values win."""

    @given(steps(9))
    def run(told: list[LedgerRow | str]) -> None:
        ends_well(Story(database), told, fired)

    run()


def test_order_does_not_matter_through_a_spool(sqlite_database: Database, fired: Fired, tmp_path: Path) -> None:
    """The same where rows take the way of the disk; but a second final row, which no request has, might come first."""

    @settings(max_examples=20)
    @given(steps(0))
    def run(told: list[LedgerRow | str]) -> None:
        reactor = sqlite_database.reactor
        spool = Spool(SpoolFiles.open(tmp_path / "spool", 1024**2), reactor, threads=ImmediateThreads())
        story = Story(sqlite_database, spool)
        ends_well(story, told, fired)
        fired(story.ledger.close())
        assert list((tmp_path / "spool").iterdir()) == []

    run()


def ends_well(story: Story, told: list[LedgerRow | str], fired: Fired) -> None:
    """Lets it all happen to an empty database, which holds in the end what was told."""
    fired(story.database.writer.run(lambda transaction: transaction.change(delete(requests))))
    for step in told:
        if isinstance(step, str):
            getattr(story, step)()
        else:
            story.take(step)
    story.end()
    rows, total = fired(story.ledger.requests(100, 0))
    assert {row.id: row for row in rows} == story.told
    assert (total, story.ledger.pending, story.ledger.dropped) == (len(story.told), 0, 0)
