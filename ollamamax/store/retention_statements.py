"""The SQL of retention: units of work for the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, column, func, literal_column, select, table

from ollamamax.store.schema import requests
from ollamamax.store.usage import take_out

if TYPE_CHECKING:
    from ollamamax.store.retention import Retention
    from ollamamax.store.transaction import Transaction

ROWS = 100
PAGES = 100
"""So much at a time: one or two hundredths of a second each, in a file of a million rows."""

_PRUNING_LOCK = 0x6F6C6C616D62  # the number after the one that upgrades lock
_SAMPLE = 1000
_ROW_OVERHEAD_BYTES = 320
"""What a row costs on PostgreSQL beside its own bytes: its pointer, and its entries in three indexes; measured."""


def prune(transaction: Transaction, retention: Retention, now: float) -> int:
    """Makes daily sums of some of the oldest rows, if they are too old, or all together take too much room.

    Of several servers on one database one does it at a time.

    Returns:
        How many rows they were; 0 where nothing is left to do, or somebody else is at it.
    """
    if not _is_ours(transaction):
        return 0
    before = retention.oldest(now)
    taken = 0 if before is None else take_out(transaction, ROWS, before)
    if taken == 0 and retention.bytes is not None and used_bytes(transaction, retention.bytes) > retention.bytes:
        taken = take_out(transaction, ROWS)
    return taken


def used_bytes(transaction: Transaction, enough: int) -> int:
    """What the rows take of the disk, without what is free for others.

    Args:
        transaction: where to look.
        enough: what is below need not be known any better.
    """
    if transaction.dialect == "postgresql":
        return _used_of_postgresql(transaction, enough)
    pages, free, size = (_pragma(transaction, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def give_back(transaction: Transaction, pages: int) -> int:
    """Gives some of the room that rows have left back to the file system, where the database does not do so by itself.

    PostgreSQL keeps it and fills it again; a SQLite file is cut off at its end, pages from there are moved to where
    there is room.

    Returns:
        How many pages of the file it was.
    """
    if transaction.dialect == "postgresql":
        return 0
    free = _pragma(transaction, "freelist_count")
    if free == 0:
        return 0
    transaction.pragma("incremental_vacuum(1)", min(pages, free))
    return free - _pragma(transaction, "freelist_count")


def _is_ours(transaction: Transaction) -> bool:
    if transaction.dialect != "postgresql":
        return True
    ((is_ours,),) = transaction.rows(select(func.pg_try_advisory_xact_lock(_PRUNING_LOCK)))
    return bool(is_ours)


def _pragma(transaction: Transaction, name: str) -> int:
    ((value,),) = transaction.rows(select(column(name)).select_from(table(f"pragma_{name}")))
    return int(value)


def _used_of_postgresql(transaction: Transaction, enough: int) -> int:
    """What the living rows take: the size of a table that has lost rows says nothing, as it stays what it was."""
    name: ColumnElement[object] = literal_column("'requests'::regclass")
    ((size, rows),) = transaction.rows(select(func.pg_total_relation_size(name), func.pg_stat_get_live_tuples(name)))
    if size <= enough:
        return int(size)
    sample = select(requests).order_by(requests.c.started_at.desc()).limit(_SAMPLE).subquery("sample")
    width = func.coalesce(func.avg(func.pg_column_size(literal_column("sample"))), 0)
    ((bytes_of_row,),) = transaction.rows(select(width).select_from(sample))
    return min(int(size), int(rows * (bytes_of_row + _ROW_OVERHEAD_BYTES)))
