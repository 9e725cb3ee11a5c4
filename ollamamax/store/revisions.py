"""The schema of a database: which one it has, and how it comes to the one that this program knows.

Alembic costs several megabytes, so it is imported only where there is something to migrate: the revision is read, and
compared with the one that this program knows to be the last, without it.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, column, func, inspect, select, table
from twisted.logger import Logger

from ollamamax.store.failures import StoreError

KNOWN_REVISIONS = ("0001", "0002", "0003")
"""The revisions in `migrations/versions`, oldest first."""

HEAD_REVISION = KNOWN_REVISIONS[-1]
_VERSION_TABLE = "alembic_version"
_UPGRADE_LOCK = 0x6F6C6C616D61  # "ollama": a number that no other program takes by chance for its advisory lock
_log = Logger()


def bring_to_head(engine: Engine, name: str) -> str | None:
    """Applies what is missing, all of it or, where it fails, nothing.

    Whoever does the same at the same moment waits, and then finds nothing to do.

    Args:
        engine: may write; used on the calling thread.
        name: the database, in the words of a message.

    Returns:
        The revision that the database had, None where it was empty.

    Raises:
        StoreError: the database belongs to a newer version of this program, or to another program.
        SQLAlchemyError: it cannot be used.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        revision = _known_revision(connection, name)
        if revision == HEAD_REVISION:
            return revision
        from ollamamax.store.migrations import upgrade

        upgrade(connection, HEAD_REVISION)
    _log.info("database {name}: schema {revision} is in place", name=name, revision=HEAD_REVISION)
    return revision


def require_head(engine: Engine, name: str) -> None:
    """Sees that a database, which others use too, has the schema that this program knows; nothing is changed.

    Raises:
        StoreError: it has not; the text names the cure.
        SQLAlchemyError: it cannot be used.
    """
    revision = known_revision(engine, name)
    if revision != HEAD_REVISION:
        problem = "is empty" if revision is None else f"has schema {revision}, this version needs {HEAD_REVISION}"
        raise StoreError(f"database {name} {problem}: run `ollamamax database upgrade`, then start again")


def known_revision(engine: Engine, name: str) -> str | None:
    """The revision of a database, None for an empty one; raises as `bring_to_head`."""
    with engine.connect() as connection:
        return _known_revision(connection, name)


def _known_revision(connection: Connection, name: str) -> str | None:
    tables = inspect(connection).get_table_names()
    revision: str | None = None
    if _VERSION_TABLE in tables:
        # Others use Alembic too: four digits are this program's, and so is a table without a row, an upgrade's start.
        revision = connection.scalar(select(column("version_num")).select_from(table(_VERSION_TABLE)))
        is_ours = revision is None or (len(revision) == len(HEAD_REVISION) and revision.isdecimal())
    else:
        is_ours = not tables
    if not is_ours:
        raise StoreError(f"database {name} holds tables of another program: name another database")
    if revision is not None and revision not in KNOWN_REVISIONS:
        raise StoreError(
            f"database {name} has schema {revision}, newer than this version knows ({HEAD_REVISION}): "
            "install the version that wrote it, or name another database"
        )
    return revision
