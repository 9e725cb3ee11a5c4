"""A SQLite file belongs to one process."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from ollamamax.store.failures import StoreError
from ollamamax.store.lock import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def test_the_second_is_told_who_came_first(tmp_path: Path) -> None:
    """A held lock names the file, the process and the cure; given back, it can be taken again."""
    first, second = FileLock(tmp_path / "a.db"), FileLock(tmp_path / "a.db")
    first.acquire()
    with pytest.raises(StoreError) as caught:
        second.acquire()
    assert str(caught.value) == (
        f"database {tmp_path}/a.db is in use by process {os.getpid()}: stop that process, or name another database"
    )
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_file_is_private_and_stays(tmp_path: Path) -> None:
    """Only its user may read the lock file, which is not removed, so that nobody locks a removed one."""
    lock = FileLock(tmp_path / "a.db")
    lock.acquire()
    assert lock.path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    lock.release()
    assert lock.path.exists()


def test_two_names_of_one_file_are_one(tmp_path: Path) -> None:
    """A symbolic link to a database leads to the lock of the database."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "a.db")
    first = FileLock(tmp_path / "real" / "a.db")
    first.acquire()
    with pytest.raises(StoreError, match="in use by process"):
        FileLock(tmp_path / "link.db").acquire()
    first.release()


def test_a_place_that_cannot_hold_a_lock(tmp_path: Path) -> None:
    """A directory that is not there is said in one line."""
    with pytest.raises(
        StoreError, match=r"nowhere/a.db.lock cannot be made: No such file or directory; make"
    ) as caught:
        FileLock(tmp_path / "nowhere" / "a.db").acquire()
    assert "\n" not in str(caught.value)
