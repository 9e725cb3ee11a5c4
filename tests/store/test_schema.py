"""The migrations arrive at the schema, on either database."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError
from store.databases import PostgresqlHome, SqliteHome

import ollamamax.store.migrations
from ollamamax.store.failures import StoreError
from ollamamax.store.migrations import upgrade
from ollamamax.store.revisions import HEAD_REVISION, KNOWN_REVISIONS, bring_to_head, known_revision, require_head
from ollamamax.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgresql_cluster import Cluster
    from sqlalchemy import Engine

Home = SqliteHome | PostgresqlHome


@pytest.fixture
def empty(store_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """An empty database of either kind."""
    if store_kind == "sqlite":
        return SqliteHome(tmp_path)
    cluster: Cluster = request.getfixturevalue("postgresql")
    return PostgresqlHome(cluster, cluster.empty())


@pytest.fixture
def engine(empty: Home) -> Iterator[Engine]:
    """What may write there."""
    engine = empty.place.upgrading_engine()
    yield engine
    engine.dispose()


def test_an_upgraded_database_equals_the_metadata(engine: Engine) -> None:
    """No table, column, type, index or nullability differs; primary keys are the same."""
    assert bring_to_head(engine, "a") is None
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        for table in metadata.tables.values():
            key = inspect(connection).get_pk_constraint(table.name)
            assert key["constrained_columns"] == [column.name for column in table.primary_key]
            assert key["name"] == table.primary_key.name


def test_the_known_revisions_are_the_files() -> None:
    """The list that spares importing Alembic names the migrations, in their order."""
    directory = ScriptDirectory(str(Path(ollamamax.store.migrations.__file__).parent))
    assert [script.revision for script in directory.walk_revisions()][::-1] == list(KNOWN_REVISIONS)
    assert directory.get_current_head() == HEAD_REVISION


def test_rows_of_the_first_schema_are_kept(engine: Engine, empty: Home) -> None:
    """A database as the first version made it gets what is new, and loses nothing."""
    with engine.begin() as connection:
        upgrade(connection, "0001")
    empty.ask("insert into requests (id, started_at, endpoint, attempts) values ('a', 1.5, '/api/chat', 1)")
    assert known_revision(engine, "a") == "0001"
    assert bring_to_head(engine, "a") == "0001"
    assert known_revision(engine, "a") == HEAD_REVISION
    assert empty.ask("select id, started_at, attempts, instance from requests") == [("a", 1.5, 1, None)]
    assert empty.ask("select * from instances") == []


def test_a_database_at_head_is_left_alone(engine: Engine, empty: Home) -> None:
    """The second start changes nothing."""
    bring_to_head(engine, "a")
    empty.ask("insert into nodes (name, url, simulated, first_seen, last_seen) values ('n', 'http://n', false, 1, 2)")
    assert bring_to_head(engine, "a") == HEAD_REVISION
    assert empty.ask("select count(*) from nodes") == [(1,)]
    require_head(engine, "a")


def test_a_shared_database_is_never_upgraded_in_passing(engine: Engine, empty: Home) -> None:
    """Who may not migrate is told what the database has, and the command that helps."""
    with pytest.raises(StoreError, match=r"^database a is empty: run `ollamamax database upgrade`, then start again$"):
        require_head(engine, "a")
    with engine.begin() as connection:
        upgrade(connection, "0001")
    with pytest.raises(StoreError, match=rf"^database a has schema 0001, this version needs {HEAD_REVISION}: run"):
        require_head(engine, "a")
    assert empty.ask("select version_num from alembic_version") == [("0001",)]


def test_a_newer_schema_is_refused(engine: Engine, empty: Home) -> None:
    """A revision that this program does not know is named, with the cure."""
    bring_to_head(engine, "a")
    empty.ask("update alembic_version set version_num = '9999'")
    for refusing in (bring_to_head, require_head, known_revision):
        with pytest.raises(
            StoreError, match=r"^database a has schema 9999, newer than this version knows \(\d{4}\): install"
        ):
            refusing(engine, "a")


@pytest.mark.parametrize(
    "foreign",
    [
        ["create table bookmarks (id integer)"],
        ["create table alembic_version (version_num text)", "insert into alembic_version values ('ae1027a6acf4')"],
    ],
    ids=["tables", "another program's Alembic"],
)
def test_a_foreign_database_is_refused(engine: Engine, empty: Home, foreign: list[str]) -> None:
    """Tables of another program are not mixed with ours."""
    for statement in foreign:
        empty.ask(statement)
    for refusing in (bring_to_head, require_head, known_revision):
        with pytest.raises(StoreError, match=r"^database a holds tables of another program: name another database$"):
            refusing(engine, "a")


def test_a_failed_migration_leaves_nothing_behind(engine: Engine, empty: Home) -> None:
    """A migration that breaks half-way is undone, version table and all."""
    empty.ask("create table alembic_version (version_num varchar(32) not null)")
    empty.ask("create table models_seen (id integer)")  # in the way of the migration's second half
    with pytest.raises(DatabaseError):
        bring_to_head(engine, "a")
    with engine.connect() as connection:
        assert sorted(inspect(connection).get_table_names()) == ["alembic_version", "models_seen"]


def test_two_upgrades_at_once(postgresql: Cluster) -> None:
    """On PostgreSQL one of them does it, the other waits and finds it done."""
    home = PostgresqlHome(postgresql, postgresql.empty(), options="")
    found: list[str | None] = []

    def run() -> None:
        engine = home.place.upgrading_engine()
        found.append(bring_to_head(engine, "a"))
        engine.dispose()

    both = [threading.Thread(target=run) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join(60)
    assert sorted(found, key=str) == [HEAD_REVISION, None]
    assert home.ask("select version_num from alembic_version") == [(HEAD_REVISION,)]
