"""The two ways in which the store fails: while it is opened, and while it is used."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

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
    line does not.
    """
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__
