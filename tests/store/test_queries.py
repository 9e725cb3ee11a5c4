"""Which rows are read, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from store.rows import TODAY, done, fill, finished_row

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.queries import FILTERS, Position, Selection, read_rows

if TYPE_CHECKING:
    from store.databases import Database

ROWS = [
    finished_row("a", TODAY, model="b:latest", node="rack", owner="ada", key_id="k1", end_user="u", status=404),
    finished_row("b", TODAY + 1, outcome="client_error", status=400, finished_at=TODAY + 90, client_request_id="mine"),
    finished_row("c", TODAY + 1, outcome="node_error", status=502, operation="embed"),
    finished_row("d", TODAY + 3, outcome="client_disconnected", status=None),
    LedgerRow(id="e", started_at=TODAY + 4, endpoint="/api/chat", model="tiny:latest", node="desk", attempts=1),
]


@pytest.fixture
def filled(database: Database) -> Database:
    """A database of five rows, the last of which runs."""
    fill(database, ROWS)
    return database


def read(database: Database, selection: Selection, limit: int = 10) -> tuple[str, int | None]:
    """The ids of a page, and how many there are in all."""
    rows, total = done(database.reader, partial(read_rows, limit=limit, offset=0, selection=selection))
    return "".join(row.id for row in rows), total


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "edcba"),
        ({"among": {"model": ("b:latest",)}}, "a"),
        ({"among": {"node": ("desk", "rack")}}, "edcba"),
        ({"among": {"outcome": ("node_error", "client_error")}}, "cb"),
        ({"among": {"operation": ("embed",), "node": ("desk",)}}, "c"),
        ({"among": {"owner": ("ada",)}}, "a"),
        ({"among": {"key_id": ("k1", "k2")}}, "a"),
        ({"among": {"end_user": ("' or 1=1 --",)}}, ""),
        ({"among": {"client_request_id": ("mine",)}}, "b"),
        ({"statuses": ((404, 404), (500, 599))}, "ca"),
        ({"since": TODAY + 1}, "edcb"),
        ({"until": TODAY + 1}, "a"),
        ({"since": TODAY + 1, "until": TODAY + 4}, "dcb"),
        ({"finished": True}, "dcba"),
        ({"finished": False}, "e"),
        ({"finished_since": TODAY + 3}, "dcb"),
        ({"order": "finished"}, "bdca"),
        ({"order": "finished", "finished": False}, ""),
    ],
)
def test_rows_are_selected(filled: Database, wanted: Mapping[str, Any], found: str) -> None:
    """Each condition by itself and with others; the total counts what is selected."""
    assert read(filled, Selection(**wanted)) == (found, len(found))


def test_every_filter_is_a_column_that_is_tried_above() -> None:
    """None of them is forgotten."""
    assert sorted(FILTERS) == [
        *("client_request_id", "end_user", "key_id", "model", "node", "operation", "outcome", "owner")
    ]


@pytest.mark.parametrize("order", ["started", "finished"])
def test_pages_go_on_where_the_last_one_ended(filled: Database, order: Any) -> None:
    """Rows of one moment are in an order too; what comes meanwhile moves nothing, and nothing is counted again."""
    selection = Selection(order=order)
    whole, _ = read(filled, selection)
    seen = ""
    after: Position | None = None
    while page := done(
        filled.reader,
        partial(read_rows, limit=2, offset=0, selection=Selection(order=order, after=after)),
    )[0]:
        seen += "".join(row.id for row in page)
        after = selection.position_of(page[-1])
        fill(filled, [finished_row(f"new after {seen}", TODAY + 1000)])
    assert seen == whole
    assert read(filled, Selection(order=order, after=after)) == ("", None)


def test_the_newest_are_found_by_an_index(sqlite_database: Database) -> None:
    """Neither a page nor what has just finished makes SQLite look at every row."""
    for order, column in (("started", "started_at"), ("finished", "finished_at")):
        plan = sqlite_database.ask(
            f"explain query plan select * from requests where {column} >= 5 order by {column} desc, id desc limit 9"
        )
        assert [f"ix_requests_{order}_at_id" in str(step) for step in plan] == [True]
