"""The ledger's SQL: units of work for a connection pool."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, select
from sqlalchemy.exc import InterfaceError, OperationalError

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.schema import requests
from ollamamax.store.transaction import Transaction, insert_into

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.sql.dml import Insert

_OUTAGES = (OperationalError, InterfaceError)
_COLUMNS = tuple(column.name for column in requests.columns)
_values: Callable[[LedgerRow], tuple[object, ...]] = attrgetter(*_COLUMNS)


def write_rows(transaction: Transaction, rows: Sequence[LedgerRow]) -> int:
    """Writes rows in one go; a row that the database refuses for what it is costs only itself.

    Returns:
        The number of rows refused.

    Raises:
        OperationalError, InterfaceError: the database cannot be used (locked, full, gone); nothing was written.
    """
    try:
        with transaction.savepoint():
            _write(transaction, rows)
    except _OUTAGES:
        raise
    except Exception:  # noqa: BLE001 - whatever a driver makes of a value that it cannot store
        return sum(_is_refused(transaction, row) for row in rows)
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


def _is_refused(transaction: Transaction, row: LedgerRow) -> bool:
    try:
        with transaction.savepoint():
            _write(transaction, [row])
    except _OUTAGES:
        raise
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _write(transaction: Transaction, rows: Sequence[LedgerRow]) -> None:
    started = [_values(row) for row in rows if not row.is_final]
    final = [_values(row) for row in rows if row.is_final]
    if started:
        transaction.insert_rows(_insert_started(), _COLUMNS, started)
    if final:
        transaction.insert_rows(_upsert_final(), _COLUMNS, final)


@cache
def _insert_started() -> Insert:
    return insert_into(requests).on_conflict_do_nothing(index_elements=[requests.c.id])


@cache
def _upsert_final() -> Insert:
    """Writes a final row over its started one, never over a final one."""
    statement = insert_into(requests)
    return statement.on_conflict_do_update(
        index_elements=[requests.c.id],
        set_={name: statement.excluded[name] for name in _COLUMNS if name != "id"},
        where=requests.c.finished_at.is_(None),
    )


def _row(found: Row[*tuple[Any, ...]]) -> LedgerRow:
    return LedgerRow(**dict(zip(_COLUMNS, found, strict=True)))
