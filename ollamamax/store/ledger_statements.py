"""The ledger's SQL: units of work for a connection pool."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, literal_column, or_, select

from ollamamax.store.failures import is_outage
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.schema import requests
from ollamamax.store.transaction import Transaction, insert_into

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.sql.dml import Insert

INTERRUPTED = "interrupted"
"""The outcome of a request whose process went away with it; only here, because no process lives to count it."""

_COLUMNS = tuple(column.name for column in requests.columns)
_values: Callable[[LedgerRow], tuple[object, ...]] = attrgetter(*(name for name in _COLUMNS if name != "instance"))


def write_rows(transaction: Transaction, rows: Sequence[LedgerRow], instance: str | None = None) -> int:
    """Writes rows in one go; a row that the database refuses for what it is costs only itself.

    Args:
        transaction: where to.
        rows: a row per request at most.
        instance: the instance of the rows that name none.

    Returns:
        The number of rows refused.

    Raises:
        SQLAlchemyError: the database cannot be used (locked, full, gone); nothing was written.
    """
    try:
        with transaction.savepoint():
            _write(transaction, rows, instance)
    except Exception as error:
        if is_outage(error):
            raise
        return sum(_is_refused(transaction, row, instance) for row in rows)
    return 0


def read_rows(transaction: Transaction, limit: int, offset: int) -> tuple[list[LedgerRow], int]:
    """The newest rows first, `offset` of them left out, at most `limit`; and how many there are in all."""
    newest = select(requests).order_by(requests.c.started_at.desc(), requests.c.id.desc()).limit(limit).offset(offset)
    found = transaction.rows(newest)
    ((total,),) = transaction.rows(select(func.count()).select_from(requests))
    return [_row(row) for row in found], total


def read_row(transaction: Transaction, identifier: str) -> LedgerRow | None:
    """The row of one request."""
    found = transaction.rows(select(requests).where(requests.c.id == identifier))
    return _row(found[0]) if found else None


def _is_refused(transaction: Transaction, row: LedgerRow, instance: str | None) -> bool:
    try:
        with transaction.savepoint():
            _write(transaction, [row], instance)
    except Exception as error:
        if is_outage(error):
            raise
        return True
    return False


def _write(transaction: Transaction, rows: Sequence[LedgerRow], instance: str | None) -> None:
    started = [(*_values(row), row.instance or instance) for row in rows if not row.is_final]
    final = [(*_values(row), row.instance or instance) for row in rows if row.is_final]
    if started:
        transaction.insert_rows(_insert_started(transaction.dialect), _COLUMNS, started)
    if final:
        transaction.insert_rows(_upsert_final(transaction.dialect), _COLUMNS, final)


@cache
def _insert_started(dialect: str) -> Insert:
    return insert_into(requests, dialect).on_conflict_do_nothing(index_elements=[requests.c.id])


@cache
def _upsert_final(dialect: str) -> Insert:
    """Writes a final row over its started one and over a verdict of `interrupted`, never over another final one."""
    statement = insert_into(requests, dialect)
    # A literal in the text, because the parameters are those of the columns and no others.
    was_given_up = requests.c.outcome == literal_column(f"'{INTERRUPTED}'")
    return statement.on_conflict_do_update(
        index_elements=[requests.c.id],
        set_={name: statement.excluded[name] for name in _COLUMNS if name != "id"},
        where=or_(requests.c.finished_at.is_(None), was_given_up),
    )


def _row(found: Row[*tuple[Any, ...]]) -> LedgerRow:
    return LedgerRow(**dict(zip(_COLUMNS, found, strict=True)))
