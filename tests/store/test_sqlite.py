"""A SQLite file and its connections."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, make_url, text

from ollamamax.store.failures import StoreError
from ollamamax.store.sqlite import DEFAULT_FILE_NAME, SqliteFile, file_of, make_private

if TYPE_CHECKING:
    from store.databases import Database


def pragma(engine: Engine, name: str) -> object:
    """The value of a PRAGMA on one of the engine's connections."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_the_writer_keeps_what_it_committed(sqlite_database: Database) -> None:
    """A log, written ahead and flushed at each commit; a bounded wait for locks; space can be given back."""
    engine = SqliteFile(sqlite_database.path, busy_timeout_seconds=1.5).writing_engine()
    assert pragma(engine, "journal_mode") == "wal"
    assert pragma(engine, "synchronous") == 2
    assert pragma(engine, "auto_vacuum") == 2
    assert pragma(engine, "busy_timeout") == 1500
    engine.dispose()


def test_the_writer_takes_the_lock_when_it_begins(sqlite_database: Database) -> None:
    """A write transaction excludes other writers from its first moment, not from its first write."""
    engine = SqliteFile(sqlite_database.path).writing_engine()
    with engine.begin():
        other = SqliteFile(sqlite_database.path, busy_timeout_seconds=0).writing_engine()
        with pytest.raises(Exception, match="database is locked"), other.begin():
            raise AssertionError("two writers at once")
        other.dispose()
    engine.dispose()


def test_a_reader_sees_one_moment(sqlite_database: Database) -> None:
    """Two queries of one reading transaction see the same rows, whatever is written between them."""
    file = SqliteFile(sqlite_database.path)
    reading, writing = file.reading_engine(1), file.writing_engine()
    count = text("select count(*) from nodes")
    with reading.begin() as reader:
        assert reader.execute(count).scalar() == 0
        with writing.begin() as writer:
            writer.execute(text("insert into nodes values ('n', 'http://n', 0, null, 1, 2)"))
        assert reader.execute(count).scalar() == 0
    with reading.begin() as reader:
        assert reader.execute(count).scalar() == 1
    assert pragma(reading, "query_only") == 1
    reading.dispose()
    writing.dispose()


def test_names_that_need_quoting(tmp_path: Path) -> None:
    """A path with the characters of a URI is taken literally."""
    file = SqliteFile(tmp_path / "a?mode=ro#%41 b.db")
    file.create()
    engine = file.writing_engine()
    with engine.begin() as connection:
        connection.execute(text("create table t (a integer)"))
    engine.dispose()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a?mode=ro#%41 b.db"]


def test_the_default_file_and_its_directory_are_private(tmp_path: Path) -> None:
    """The state directory and the database are made for this user alone, whatever stood there is left as it was."""
    make_private(tmp_path / "a" / "b")
    path = tmp_path / "a" / "b" / DEFAULT_FILE_NAME
    SqliteFile(path).create()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.parent.chmod(0o755)
    make_private(path.parent)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where a directory should be is said in one line."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"^state directory \S+/file/state cannot be made: Not a directory; make it"):
        make_private(tmp_path / "file" / "state")


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    """A directory of the database's name is said in one line."""
    with pytest.raises(StoreError, match=r"^database \S+ cannot be opened: Is a directory"):
        SqliteFile(tmp_path).create()


def test_a_url_names_a_file() -> None:
    """Absolute paths are kept, relative ones are made absolute."""
    assert file_of(make_url("sqlite:////var/lib/a.db")) == Path("/var/lib/a.db")
    assert file_of(make_url("sqlite:///a.db")) == Path.cwd() / "a.db"


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:a?uri=true", "sqlite:///a.db?timeout=3",
     "sqlite://user@host/a.db"],
)  # fmt: skip
def test_a_url_that_names_no_file(url: str) -> None:
    """Databases in memory, options and hosts are refused in one line."""
    with pytest.raises(StoreError, match=r"^database: a SQLite URL [^\n]*sqlite:////[^\n]*$"):
        file_of(make_url(url))
