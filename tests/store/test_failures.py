"""What a failure of the database says, and whether it is one of the database or of a value."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InternalError, OperationalError, ProgrammingError

from ollamamax.store.failures import is_outage, reason_of


def wrapped(kind: type[DBAPIError], cause: BaseException) -> DBAPIError:
    """As SQLAlchemy raises what a driver raised."""
    return kind("insert into requests values (%s)", ("secret",), cause)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (wrapped(OperationalError, sqlite3.OperationalError("database is locked")), "database is locked"),
        (wrapped(OperationalError, psycopg.OperationalError("refused\n\tIs it running?")), "refused"),
        (
            wrapped(DataError, errors.InvalidTextRepresentation('invalid input syntax for type integer: "secret"')),
            "InvalidTextRepresentation, SQLSTATE 22P02",
        ),
        (
            wrapped(IntegrityError, errors.UniqueViolation("duplicate key\nDETAIL:  Key (id)=(secret)")),
            "UniqueViolation, SQLSTATE 23505",
        ),
        (
            wrapped(ProgrammingError, errors.UndefinedTable('relation "requests" does not exist')),
            'relation "requests" does not exist',
        ),
        (wrapped(OperationalError, psycopg.OperationalError()), "OperationalError"),
        (ValueError("as it is"), "as it is"),
    ],
)
def test_the_reason_is_one_line_without_a_value(error: Exception, reason: str) -> None:
    """The driver's first line; of a value that is refused, only what kind of refusal it was."""
    assert reason_of(error) == reason


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (wrapped(OperationalError, sqlite3.OperationalError("database or disk is full")), True),
        (wrapped(OperationalError, errors.QueryCanceled("canceling statement due to statement timeout")), True),
        (wrapped(OperationalError, psycopg.OperationalError("the connection is lost")), True),
        (wrapped(InternalError, errors.ReadOnlySqlTransaction("cannot execute INSERT")), True),
        (wrapped(ProgrammingError, errors.InsufficientPrivilege("permission denied for table requests")), True),
        (wrapped(ProgrammingError, errors.UndefinedColumn("no such column")), True),
        (wrapped(DataError, errors.NumericValueOutOfRange("integer out of range")), False),
        (wrapped(IntegrityError, errors.NotNullViolation("null value in column")), False),
        (wrapped(ProgrammingError, psycopg.ProgrammingError("cannot adapt type")), False),
        (wrapped(ProgrammingError, sqlite3.ProgrammingError("Error binding parameter 1")), False),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), False),
    ],
)
def test_what_passes_with_time_is_an_outage(error: Exception, verdict: bool) -> None:
    """A row is dropped for what it is alone; whatever else is wrong with the database, it waits."""
    assert is_outage(error) is verdict
