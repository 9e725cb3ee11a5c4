"""Where the store is: which database a URL names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ollamamax.settings.checks import POSTGRESQL_SCHEMES
from ollamamax.store.failures import StoreError
from ollamamax.store.size import StoreSize
from ollamamax.store.sqlite import DEFAULT_FILE_NAME, SqliteFile, file_of, make_private

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from ollamamax.store.transaction import Transaction

_EXPECTED = "expected sqlite:////path/to/file or postgresql://USER@HOST/DATABASE"


class Place(Protocol):
    """What the store asks of a database, whichever it is."""

    @property
    def name(self) -> str:
        """The database in the words of a message, without a password."""

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""

    @property
    def is_exclusive(self) -> bool:
        """Whether `acquire` keeps all other processes out: then this one migrates, and all others are gone."""

    @property
    def patience_seconds(self) -> float | None:
        """How long a unit of work may take; None for any time."""

    def acquire(self) -> None:
        """Sees that the database may be used; raises StoreError."""

    def release(self) -> None:
        """Lets others use it."""

    def writing_engine(self) -> Engine:
        """One connection that writes."""

    def reading_engine(self, size: int) -> Engine:
        """So many connections that read."""

    def upgrading_engine(self) -> Engine:
        """One connection that migrates."""

    def looking_engine(self) -> Engine:
        """One connection that reads, and leaves nothing behind where there is no database."""

    def size(self, transaction: Transaction) -> StoreSize:
        """What it takes now; called on one of the store's threads."""

    def is_broken(self, error: DBAPIError) -> bool:
        """Whether a connection that failed like this is to be thrown away."""

    def cut(self, connection: DBAPIConnection) -> None:
        """Ends a connection for which another thread waits."""

    def unusable(self, error: SQLAlchemyError) -> StoreError:
        """A failure at the start, in one line for the operator."""


def place_of(url: str, state_directory: Path, *, make: bool = True) -> Place:
    """The database that a URL names; it need not be there, and nothing is asked of it.

    Args:
        url: `sqlite:////path/to/file` or a PostgreSQL URL; empty for `ollamamax.db` in the state directory.
        state_directory: where that one is.
        make: make the state directory where it is needed and not there, for this user alone.

    Raises:
        StoreError: the URL names none, or the directory cannot be made.
    """
    if url.partition("://")[0].casefold() in POSTGRESQL_SCHEMES:
        from ollamamax.store.postgresql import PostgresqlServer

        return PostgresqlServer(url)
    return SqliteFile(_path(url, state_directory, make=make))


def _path(url: str, state_directory: Path, *, make: bool) -> Path:
    if not url:
        directory = state_directory.absolute()
        if make:
            make_private(directory)
        return directory / DEFAULT_FILE_NAME
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(f"database: not a URL; {_EXPECTED}") from None
    if parsed.drivername != "sqlite":
        raise StoreError(f"database: {parsed.drivername} is not supported; {_EXPECTED}")
    return file_of(parsed)
