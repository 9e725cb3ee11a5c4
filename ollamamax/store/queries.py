"""Which rows of the ledger are asked for, and the units of work that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs
from sqlalchemy import ColumnElement, Row, Select, func, or_, select, tuple_

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.schema import requests

if TYPE_CHECKING:
    from ollamamax.store.transaction import Transaction

COLUMNS = tuple(column.name for column in requests.columns)
FILTERS = ("model", "node", "outcome", "operation", "owner", "key_id", "end_user", "client_request_id")
"""The columns that may be asked to have one of several values."""

Order = Literal["started", "finished"]


@attrs.frozen
class Position:
    """A place in the order of rows: behind the row that has this moment and this id.

    Attributes:
        at: when it started or finished, whichever the order goes by, in unix seconds.
        id: its id.
    """

    at: float
    id: str


@attrs.frozen(kw_only=True)
class Selection:
    """Which rows, in which order; always the newest first.

    Attributes:
        among: by column, one of `FILTERS`, the values that it may have.
        statuses: the HTTP statuses that a row may have, each as its lowest and its highest; empty for any.
        since: rows of requests that started then or later, in unix seconds.
        until: rows of requests that started earlier.
        finished_since: rows of requests that were over then or later.
        finished: whether they are over; None for both.
        order: by the moment they started, or by the one they were over; then those that run are left out.
        after: only what comes after this place; the rows are not counted then.
    """

    among: Mapping[str, tuple[str, ...]] = {}
    statuses: tuple[tuple[int, int], ...] = ()
    since: float | None = None
    until: float | None = None
    finished_since: float | None = None
    finished: bool | None = None
    order: Order = "started"
    after: Position | None = None

    def position_of(self, row: LedgerRow) -> Position:
        """The place behind a row."""
        at = row.started_at if self.order == "started" else row.finished_at
        assert at is not None
        return Position(at, row.id)


ALL = Selection()


def read_rows(
    transaction: Transaction, limit: int, offset: int, selection: Selection = ALL
) -> tuple[list[LedgerRow], int | None]:
    """The newest rows first, `offset` of them left out, at most `limit`.

    Returns:
        The rows, and how many there are in all; None where the selection begins behind one of them.
    """
    conditions = _conditions(selection)
    moment = _moment(selection)
    page: Select[*tuple[Any, ...]] = select(requests).where(*conditions)
    if selection.after is not None:
        page = page.where(tuple_(moment, requests.c.id) < (selection.after.at, selection.after.id))
    found = transaction.rows(page.order_by(moment.desc(), requests.c.id.desc()).limit(limit).offset(offset))
    rows = [_row(row) for row in found]
    if selection.after is not None:
        return rows, None
    ((total,),) = transaction.rows(select(func.count()).select_from(requests).where(*conditions))
    return rows, total


def read_row(transaction: Transaction, identifier: str) -> LedgerRow | None:
    """The row of one request."""
    found = transaction.rows(select(requests).where(requests.c.id == identifier))
    return _row(found[0]) if found else None


def _moment(selection: Selection) -> ColumnElement[float]:
    return requests.c.started_at if selection.order == "started" else requests.c.finished_at


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
    columns = requests.c
    conditions: list[ColumnElement[bool]] = [columns[name].in_(values) for name, values in selection.among.items()]
    if selection.statuses:
        conditions.append(or_(*(columns.status.between(low, high) for low, high in selection.statuses)))
    if selection.since is not None:
        conditions.append(columns.started_at >= selection.since)
    if selection.until is not None:
        conditions.append(columns.started_at < selection.until)
    if selection.finished_since is not None:
        conditions.append(columns.finished_at >= selection.finished_since)
    if selection.finished or selection.order == "finished":
        conditions.append(columns.finished_at.is_not(None))
    if selection.finished is False:
        conditions.append(columns.finished_at.is_(None))
    return conditions


def _row(found: Row[*tuple[Any, ...]]) -> LedgerRow:
    return LedgerRow(**dict(zip(COLUMNS, found, strict=True)))
