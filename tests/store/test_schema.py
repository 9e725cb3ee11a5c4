"""The migrations arrive at the schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateTable

import ollamamax.store.migrations
from ollamamax.store.failures import StoreError
from ollamamax.store.revisions import HEAD_REVISION, KNOWN_REVISIONS, bring_to_head
from ollamamax.store.schema import metadata
from ollamamax.store.sqlite import SqliteFile


@pytest.fixture
def file(tmp_path: Path) -> SqliteFile:
    """An empty file."""
    file = SqliteFile(tmp_path / "a.db")
    file.create()
    return file


def test_an_upgraded_database_equals_the_metadata(file: SqliteFile) -> None:
    """No table, column, type, index or nullability differs; primary keys are the same."""
    engine = file.writing_engine()
    bring_to_head(engine, "a")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        for table in metadata.tables.values():
            key = inspect(connection).get_pk_constraint(table.name)
            assert key["constrained_columns"] == [column.name for column in table.primary_key]
            assert key["name"] == table.primary_key.name
    engine.dispose()


def test_the_known_revisions_are_the_files() -> None:
    """The list that spares importing Alembic names the migrations, in their order."""
    directory = ScriptDirectory(str(Path(ollamamax.store.migrations.__file__).parent))
    assert [script.revision for script in directory.walk_revisions()][::-1] == list(KNOWN_REVISIONS)
    assert directory.get_current_head() == HEAD_REVISION


def test_the_tables_can_be_made_on_postgresql() -> None:
    """Every type has a PostgreSQL spelling."""
    ddl = "".join(str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in metadata.tables.values())
    assert "DOUBLE PRECISION" in ddl
    assert "BIGINT" in ddl


def test_a_database_at_head_is_left_alone(file: SqliteFile) -> None:
    """The second start changes nothing."""
    engine = file.writing_engine()
    bring_to_head(engine, "a")
    with engine.begin() as connection:
        connection.execute(text("insert into nodes values ('n', 'http://n', 0, null, 1, 2)"))
    bring_to_head(engine, "a")
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from nodes")).scalar() == 1
    engine.dispose()


def test_a_newer_schema_is_refused(file: SqliteFile) -> None:
    """A revision that this program does not know is named, with the cure."""
    engine = file.writing_engine()
    bring_to_head(engine, "a")
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(
        StoreError, match=r"^database a has schema 9999, newer than this version knows \(\d{4}\): install"
    ):
        bring_to_head(engine, "a")
    engine.dispose()


def test_a_foreign_database_is_refused(file: SqliteFile) -> None:
    """Tables of another program are not mixed with ours."""
    engine = file.writing_engine()
    with engine.begin() as connection:
        connection.execute(text("create table bookmarks (id integer)"))
    with pytest.raises(StoreError, match=r"^database a holds tables of another program"):
        bring_to_head(engine, "a")
    engine.dispose()


def test_a_failed_migration_leaves_nothing_behind(file: SqliteFile) -> None:
    """A migration that breaks half-way is undone, version table and all."""
    engine = file.writing_engine()
    with engine.begin() as connection:
        connection.execute(text("create table alembic_version (version_num varchar(32) not null)"))
        connection.execute(text("create table models_seen (id integer)"))  # in the way of the migration's second half
    with pytest.raises(DatabaseError):
        bring_to_head(engine, "a")
    check = create_engine(f"sqlite:///{file.path}")
    assert sorted(inspect(check).get_table_names()) == ["alembic_version", "models_seen"]
    check.dispose()
    engine.dispose()
