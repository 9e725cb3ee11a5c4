"""Files of rows: kept, read back, given up, inherited."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from full_disk import no_file_longer_than

from ollamamax.store.failures import StoreError
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.spool_files import SpoolFiles, SpoolFull

MEGABYTE = 1024**2

# A process that keeps a group, says so, writes half of another one and waits to be killed.
CHILD = """
import sys
from pathlib import Path
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.spool_files import SpoolFiles

files = SpoolFiles.open(Path(sys.argv[1]), 1024**2)
files.append([LedgerRow(id=name, started_at=1.0, endpoint="/api/chat") for name in "ab"], "dead")
print(files.rows, flush=True)
sys.stdin.read()
"""


def rows(*names: str) -> list[LedgerRow]:
    """Rows of these ids."""
    return [LedgerRow(id=name, started_at=1.0, endpoint="/api/chat", instance="i") for name in names]


def all_of(files: SpoolFiles) -> list[str]:
    """Reads everything; the ids in the order in which they come."""
    found: list[str] = []
    while (group := files.oldest()) is not None:
        found += [row.id for row in group]
        files.forget()
    return found


def on_disk(directory: Path) -> list[Path]:
    """The files that there are."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_groups_come_back_in_their_order(tmp_path: Path) -> None:
    """Each group as it was, until it is forgotten; then the disk is given back, and the folder can be left."""
    files = SpoolFiles.open(tmp_path / "spool", MEGABYTE)
    assert files.append(rows("a", "b"), None) == files.append(rows("c"), None) == 0
    assert (files.rows, files.bytes) == (3, sum(path.stat().st_size for path in on_disk(tmp_path)))
    assert files.oldest() == files.oldest() == rows("a", "b")
    files.forget()
    assert files.append(rows("d"), None) == 0
    assert all_of(files) == ["c", "d"]
    assert (files.rows, files.bytes, files.damaged, on_disk(tmp_path)) == (0, 0, 0, [])
    files.append(rows("e"), None)
    assert all_of(files) == ["e"]
    files.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_only_their_owner_can_read_them(tmp_path: Path) -> None:
    """Folders and files are for this user alone."""
    files = SpoolFiles.open(tmp_path / "spool", MEGABYTE)
    files.append(rows("a"), None)
    made = [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700, 0o700, 0o600]
    files.close()


def test_space_is_given_back_file_by_file(tmp_path: Path) -> None:
    """A file is deleted as soon as its last group was read, while later ones are still there."""
    files = SpoolFiles(tmp_path, MEGABYTE, file_bytes=1)
    for name in "abc":
        files.append(rows(name), None)
    assert len(on_disk(tmp_path)) == 3
    files.oldest()
    files.forget()
    assert len(on_disk(tmp_path)) == 2
    assert files.bytes == sum(path.stat().st_size for path in on_disk(tmp_path))
    assert all_of(files) == ["b", "c"]
    files.close()


def test_the_limit_is_kept(tmp_path: Path) -> None:
    """A group that does not fit is refused whole; when something was read there is room again."""
    files = SpoolFiles(tmp_path, 1500, file_bytes=1)
    kept = 0
    with pytest.raises(SpoolFull, match=r"it holds [0-9]+ of 1500 bytes"):  # noqa: PT012 - which one is not known
        while True:
            files.append(rows(str(kept)), None)
            kept += 1
    assert (files.rows, files.bytes <= 1500) == (kept, True)
    assert kept > 0
    files.oldest()
    files.forget()
    files.append(rows("last"), None)
    assert all_of(files) == [*(str(number) for number in range(1, kept)), "last"]
    files.close()


def test_a_row_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """Its neighbours are kept; a group of such rows alone leaves nothing."""
    poison = attrs.evolve(rows("p")[0])
    object.__setattr__(poison, "node", object())
    files = SpoolFiles.open(tmp_path, MEGABYTE)
    assert files.append([poison], None) == 1
    assert on_disk(tmp_path) == []
    assert files.append([*rows("a"), poison], None) == 1
    assert (files.rows, all_of(files)) == (1, ["a"])
    files.close()


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """A write that the kernel breaks off leaves nothing of itself, and what was there before can be read."""
    files = SpoolFiles.open(tmp_path, MEGABYTE)
    files.append(rows("a"), None)
    with no_file_longer_than(files.bytes + 100):
        for _ in range(2):  # in the file at hand, then in a new one
            with pytest.raises(SpoolFull, match="File too large"):
                files.append(rows(*(f"{number:0>200}" for number in range(50))), None)
        assert files.bytes == sum(path.stat().st_size for path in on_disk(tmp_path))
    files.append(rows("b"), None)
    assert (files.rows, all_of(files), files.damaged) == (2, ["a", "b"], 0)
    files.close()


@pytest.mark.parametrize(
    ("damage", "left", "lost"),
    [
        (lambda data: data[:-3], ["a"], 2),
        (lambda data: data[: data.rindex(b"\x00\x00\x00\x02") - 4], ["a"], 0),
        (lambda data: data[: data.rindex(b"\x00\x00\x00\x02") + 2], ["a"], 1),
        (lambda data: data + bytes(4096), ["a", "b", "c"], 1),
        (lambda data: data.replace(b"\xa1a", b"\xa1x"), ["b", "c"], 1),
        (lambda data: data.replace(b"endpoint", b"endpoinT"), [], 3),
        (lambda data: b"", [], 0),
    ],
    ids=["a torn payload", "a whole group less", "a torn head", "zeros", "a changed row", "changed names", "nothing"],
)
def test_what_is_damaged_is_left_out_and_counted(tmp_path: Path, damage: object, left: list[str], lost: int) -> None:
    """Whatever became of a file, the groups that are whole are read, and the rest is counted as far as it can be."""
    files = SpoolFiles.open(tmp_path, MEGABYTE)
    files.append(rows("a"), None)
    files.append(rows("b", "c"), None)
    files.close()
    (path,) = on_disk(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    again = SpoolFiles.open(tmp_path, MEGABYTE)
    assert (all_of(again), again.damaged, again.rows, again.bytes) == (left, lost, 0, 0)
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_the_living_are_left_alone_and_the_dead_inherited(tmp_path: Path) -> None:
    """What a process keeps is its own while it lives; once it was killed, whoever looks has it, half a group less."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "2\n"
        files = SpoolFiles.open(tmp_path, MEGABYTE)
        files.append(rows("own"), None)
        files.inherit()
        assert files.rows == 1
    finally:
        child.kill()
        child.communicate()
    with next(path for path in on_disk(tmp_path) if b"dead" in path.read_bytes()).open("ab") as file:
        file.write(b"\0\0\0\x40\0\0\0\x07")
    files.inherit()
    files.inherit()
    assert files.rows == 3
    assert files.bytes == sum(path.stat().st_size for path in on_disk(tmp_path))
    assert all_of(files) == ["own", "a", "b"]
    assert files.damaged == 1
    assert len(list(tmp_path.iterdir())) == 1
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_closed_is_there_for_the_next(tmp_path: Path) -> None:
    """Rows that were not read stay; the next one has them, in their order, and takes their place away."""
    for names in ("ab", "cd"):
        files = SpoolFiles.open(tmp_path, MEGABYTE)
        files.append(rows(*names), "x")
        files.close()
    files = SpoolFiles.open(tmp_path, MEGABYTE)
    assert sorted(all_of(files)) == ["a", "b", "c", "d"]
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """The setting, the directory, the reason and the cure."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        SpoolFiles.open(tmp_path / "file" / "spool", MEGABYTE)
    assert str(caught.value) == (
        f"ledger.spool_directory {tmp_path}/file/spool cannot be used: Not a directory; "
        "make it and what is in there writable, or name another directory"
    )


def test_a_file_that_cannot_be_read_stays(tmp_path: Path) -> None:
    """It is told, and not taken away; with a directory in a file's place even root cannot read it."""
    (tmp_path / "left" / "00000001.rows").mkdir(parents=True)
    with pytest.raises(StoreError, match="Is a directory"):
        SpoolFiles.open(tmp_path, MEGABYTE)
    assert (tmp_path / "left" / "00000001.rows").exists()
