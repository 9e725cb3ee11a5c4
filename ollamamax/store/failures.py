"""The two ways in which the store fails: while it is opened, and while it is used."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ollamamax.errors import Unavailable


class StoreError(Exception):
    """The store cannot be opened. The text is one line for the operator: what is wrong, where, and the cure."""


class StoreUnavailable(Unavailable):
    """The database did not do what it was asked; `detail` holds its own words, without any value of a row."""

    code = "store_unavailable"
    public_message = "the database cannot be used now, try again later"


def reason_of(error: Exception) -> str:
    """The driver's own words for a failure, on one line.

    SQLAlchemy's text repeats the statement and may repeat its parameters, which belong in no log; the driver's first
    line does not, unless PostgreSQL speaks of a value that it refuses: then its kind is told, not its text.
    """
    cause = _cause_of(error)
    if _is_about_a_value(cause):
        return f"{type(cause).__name__}, SQLSTATE {_sqlstate(cause)}"
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__


def is_outage(error: Exception) -> bool:
    """Whether a statement failed for the database's sake, and may succeed later; else it failed for its values' sake.

    Any SQLSTATE but those of values counts: a read-only standby, a missing right or table are no fault of a row.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    cause = _cause_of(error)
    return bool(_sqlstate(cause)) and not _is_about_a_value(cause)


def _cause_of(error: Exception) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _sqlstate(cause: BaseException) -> str:
    """PostgreSQL's code, five characters; empty where the failure is not from there."""
    return getattr(cause, "sqlstate", None) or ""


def _is_about_a_value(cause: BaseException) -> bool:
    """Data exceptions and violated constraints (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    return _sqlstate(cause)[:2] in ("22", "23")
