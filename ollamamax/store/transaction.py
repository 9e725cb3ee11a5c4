"""What a unit of work may do with its connection: typed statements, each counted and timed."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Dialect, Row, Select, Table
from sqlalchemy.exc import SQLAlchemyError

from ollamamax.store.statistics import NO_TABLE, PoolStatistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.sql.dml import Insert, UpdateBase

    Upsert = sqlite.Insert | postgresql.Insert


class Transaction:
    """One transaction, given to one unit of work, on one of the store's threads.

    Args:
        connection: a connection that is used by nobody else meanwhile.
        statistics: where statements are counted.
    """

    def __init__(self, connection: Connection, statistics: PoolStatistics) -> None:
        self._connection = connection
        self._statistics = statistics

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`: for `insert_into` and whatever else has a spelling for each."""
        return self._connection.dialect.name

    def rows(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """All rows of a query; the time counted includes their fetching, where SQLite does most of its work."""
        with self._statistics.query("select", _table_read(statement)):
            return self._connection.execute(statement).all()

    def change(self, statement: UpdateBase, parameters: Sequence[Mapping[str, object]] = ()) -> int:
        """Runs an insert, update or delete.

        Args:
            statement: what to do.
            parameters: values by column; several sets run the statement once each, and count as one query.

        Returns:
            The number of rows changed, as far as the driver tells (-1 where it does not).
        """
        table = statement.table
        name = table.name if isinstance(table, Table) else NO_TABLE
        with self._statistics.query(statement.__visit_name__, name):
            return self._connection.execute(statement, list(parameters) or None).rowcount

    def pragma(self, text: str, times: int) -> None:
        """Has SQLite do something that is no statement of SQL, so many times; all of it counts as one query.

        Python's driver takes one step of a pragma without a result, which may be less than the whole.
        """
        with self._statistics.query("pragma", NO_TABLE):
            for _ in range(times):
                self._connection.exec_driver_sql(f"PRAGMA {text}").close()

    def insert_rows(self, statement: Insert, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
        """Inserts many rows, as one query.

        It goes past SQLAlchemy's handling of parameters, which costs a third of an insert's processor time, so the
        values must be what the driver takes as they are.

        Args:
            statement: an insert without values of its own.
            columns: the columns that `rows` fill.
            rows: a value per column, in that order.
        """
        with self._statistics.query("insert", statement.table.name):
            self._connection.exec_driver_sql(_compiled(statement, columns, self._connection.dialect), list(rows))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What happens inside is undone by itself where it raises; the transaction goes on.

        As plain statements: SQLAlchemy's own ones are compiled each time, which takes as long as writing ten rows.
        """
        self._connection.exec_driver_sql("SAVEPOINT inner_work")
        try:
            yield
        except BaseException:
            with suppress(SQLAlchemyError):  # what raised may have ended the transaction, or the connection
                self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT inner_work")
            raise
        self._connection.exec_driver_sql("RELEASE SAVEPOINT inner_work")


@lru_cache(maxsize=16)
def _compiled(statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> str:
    """The text of a statement, with a positional parameter per column."""
    return str(statement.compile(dialect=dialect, column_keys=list(columns)))


def insert_into(table: Table, dialect: str) -> Upsert:
    """An INSERT that knows `on_conflict_do_update`: both dialects spell it alike, SQLAlchemy has a class for each."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _table_read(statement: Select[*tuple[Any, ...]]) -> str:
    """The name of the first table that a query reads."""
    return next((source.name for source in statement.get_final_froms() if isinstance(source, Table)), NO_TABLE)
