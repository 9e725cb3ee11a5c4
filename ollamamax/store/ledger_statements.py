"""What writes the ledger: units of work for a connection pool."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING

from sqlalchemy import literal_column, or_

from ollamamax.store.failures import is_outage
from ollamamax.store.queries import COLUMNS
from ollamamax.store.schema import requests
from ollamamax.store.transaction import Transaction, insert_into

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.sql.dml import Insert

    from ollamamax.store.ledger_row import LedgerRow

INTERRUPTED = "interrupted"
"""The outcome of a request whose process went away with it; only here, because no process lives to count it."""

_values: Callable[[LedgerRow], tuple[object, ...]] = attrgetter(*(name for name in COLUMNS if name != "instance"))


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
        transaction.insert_rows(_insert_started(transaction.dialect), COLUMNS, started)
    if final:
        transaction.insert_rows(_upsert_final(transaction.dialect), COLUMNS, final)


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
        set_={name: statement.excluded[name] for name in COLUMNS if name != "id"},
        where=or_(requests.c.finished_at.is_(None), was_given_up),
    )
