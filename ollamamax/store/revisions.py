"""Brings a database to the schema that this program knows.

Alembic costs several megabytes, so it is imported only where there is something to migrate: the revision is read, and
compared with the one that this program knows to be the last, without it.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, column, inspect, select, table
from twisted.logger import Logger

from ollamamax.store.failures import StoreError

KNOWN_REVISIONS = ("0001",)
"""The revisions in `migrations/versions`, oldest first."""

HEAD_REVISION = KNOWN_REVISIONS[-1]
_VERSION_TABLE = "alembic_version"
_log = Logger()


def bring_to_head(engine: Engine, name: str) -> None:
    """Applies what is missing, all of it or, where it fails, nothing.

    Args:
        engine: may write; used on the calling thread.
        name: the database, in the words of a message.

    Raises:
        StoreError: the database belongs to a newer version of this program, or to another program.
        SQLAlchemyError: it cannot be used.
    """
    with engine.begin() as connection:
        revision = _revision(connection, name)
        if revision == HEAD_REVISION:
            return
        if revision is not None and revision not in KNOWN_REVISIONS:
            raise StoreError(
                f"database {name} has schema {revision}, newer than this version knows ({HEAD_REVISION}): "
                "install the version that wrote it, or name another database"
            )
        from ollamamax.store.migrations import upgrade

        upgrade(connection, HEAD_REVISION)
    _log.info("database {name}: schema {revision} is in place", name=name, revision=HEAD_REVISION)


def _revision(connection: Connection, name: str) -> str | None:
    """The revision of a database, None for an empty one."""
    tables = inspect(connection).get_table_names()
    if _VERSION_TABLE in tables:
        version: str | None = connection.scalar(select(column("version_num")).select_from(table(_VERSION_TABLE)))
        return version
    if tables:
        raise StoreError(f"database {name} holds tables of another program: name another database")
    return None
