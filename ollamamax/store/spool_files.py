"""Ledger rows in files, from where they can be read after whatever happens to the process.

Files are only appended to, flushed to the disk group by group, read from the oldest group on, and deleted once their
last group has been written to the database. A group that is read twice, because a process was killed before its file
was deleted, does no harm: the statements that write it to the database see to that.

Everything here blocks, and is done by one thread at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from ollamamax.store.failures import StoreError
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.spool_folder import SUFFIX, SpoolFolder
from ollamamax.store.spool_records import (
    HEAD,
    Damaged,
    Head,
    decode_columns,
    decode_group,
    encode_columns,
    encode_group,
)

FILE_BYTES = 16 * 1024**2
"""Beyond this a new file is begun, so that disk space is given back while the rest is still being read."""


class SpoolFull(Exception):
    """There is no room for a group: the limit is reached, or the disk takes no more; the text says which."""


@attrs.define(eq=False)
class _File:
    """One file.

    Attributes:
        path: where it is.
        folder: which folder it is in.
        size: its bytes, those apart that were not written whole.
        rows: rows in it that were not read yet.
        offset: where the first group begins that was not read yet.
        columns: the names of its columns, once they were read.
    """

    path: Path
    folder: SpoolFolder
    size: int = 0
    rows: int = 0
    offset: int = 0
    columns: tuple[str, ...] | None = None


@attrs.frozen
class _Read:
    """The group that was read last."""

    file: _File
    end: int
    rows: int


class SpoolFiles:
    """The spool files of this process, and those that it inherited.

    Args:
        directory: where its folder is made; OSError where that cannot be done.
        limit_bytes: the most that all its files may hold.
        file_bytes: the size beyond which a new file is begun.

    Attributes:
        rows: rows that are not known to be in the database.
        bytes: what they take.
        damaged: rows that could not be read; what cannot be told to be a number of rows counts as one.
    """

    def __init__(self, directory: Path, limit_bytes: int, *, file_bytes: int = FILE_BYTES) -> None:
        self.directory = directory
        self.rows = self.bytes = self.damaged = 0
        self._limit_bytes = limit_bytes
        self._file_bytes = file_bytes
        self._folder = SpoolFolder.make(directory)
        self._files: deque[_File] = deque()
        self._number = 0
        self._writing: tuple[_File, int] | None = None  # with its descriptor
        self._read: _Read | None = None

    @classmethod
    def open(cls, directory: Path, limit_bytes: int) -> SpoolFiles:
        """The spool of a process that starts, with what dead ones have left.

        Raises:
            StoreError: the directory cannot be used.
        """
        try:
            files = cls(directory, limit_bytes)
            files.inherit()
        except OSError as error:
            raise StoreError(
                f"ledger.spool_directory {directory} cannot be used: {error.strerror}; "
                "make it and what is in there writable, or name another directory"
            ) from None
        return files

    def inherit(self) -> None:
        """Takes over what dead processes have left.

        Raises:
            OSError: some of it cannot be read; that stays as it is.
        """
        for folder in SpoolFolder.inherited(self.directory):
            try:
                found = [_counted(_File(path, folder)) for path in folder.files()]
            except OSError:
                folder.leave()
                raise
            if not found:
                folder.leave()
            self._files.extend(found)
            self.rows += sum(file.rows for file in found)
            self.bytes += sum(file.size for file in found)

    def append(self, rows: Sequence[LedgerRow], instance: str | None) -> int:
        """Adds a group; it is on the disk afterwards.

        Args:
            rows: the group.
            instance: the instance of the rows that name none.

        Returns:
            How many of the rows were refused for what they are.

        Raises:
            SpoolFull: nothing was added.
        """
        record, count = encode_group(rows, instance)
        if count:
            self._append(record, count)
        return len(rows) - count

    def oldest(self) -> list[LedgerRow] | None:
        """The oldest group, which stays until `forget`; None where there is none. What cannot be read is left out.

        Raises:
            OSError: the disk does not give it.
        """
        while self._files:
            file = self._files[0]
            if file.offset >= file.size:
                self._remove(file)
                continue
            with file.path.open("rb") as stream:
                group = self._next_group(file, stream.fileno())
            if group is not None:
                return group
        return None

    def forget(self) -> None:
        """The group that was read last is in the database."""
        assert self._read is not None
        file = self._read.file
        file.offset = self._read.end
        file.rows -= self._read.rows
        self.rows -= self._read.rows
        self._read = None
        if file.offset >= file.size and file is self._files[0]:
            self._remove(file)

    def close(self) -> None:
        """Leaves what is there to whoever comes next."""
        self._end_writing()
        for folder in {self._folder, *(file.folder for file in self._files)}:
            folder.leave()
        self._files.clear()

    def _append(self, record: bytes, count: int) -> None:
        if self._writing is not None and self._writing[0].size >= self._file_bytes:
            self._end_writing()
        data = record if self._writing is not None else encode_columns() + record
        if self.bytes + len(data) > self._limit_bytes:
            raise SpoolFull(f"it holds {self.bytes} of {self._limit_bytes} bytes")
        try:
            file, descriptor = self._writing or self._begin_file()
            _write(descriptor, data)
            os.fdatasync(descriptor)
        except OSError as error:
            self._give_up_file()
            raise SpoolFull(error.strerror or type(error).__name__) from None
        file.size += len(data)
        file.rows += count
        self.bytes += len(data)
        self.rows += count

    def _begin_file(self) -> tuple[_File, int]:
        self._number += 1
        file = _File(self._folder.path / f"{self._number:08}{SUFFIX}", self._folder)
        descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._files.append(file)
        self._writing = file, descriptor
        self._folder.flush()
        return self._writing

    def _give_up_file(self) -> None:
        """After a failure it is cut to what was whole, and not written to any more."""
        if self._writing is not None:
            file, descriptor = self._writing
            with suppress(OSError):
                os.ftruncate(descriptor, file.size)
            self._end_writing()
            if not file.size:
                self._remove(file)

    def _end_writing(self) -> None:
        if self._writing is not None:
            os.close(self._writing[1])
            self._writing = None

    def _remove(self, file: _File) -> None:
        if self._writing is not None and self._writing[0] is file:
            self._end_writing()
        with suppress(FileNotFoundError):
            file.path.unlink()
        self._files.remove(file)
        self.bytes -= file.size
        if file.folder is not self._folder and all(other.folder is not file.folder for other in self._files):
            file.folder.leave()

    def _next_group(self, file: _File, descriptor: int) -> list[LedgerRow] | None:
        """Reads the group at a file's offset; None where there is none, and the offset is behind that then."""
        begin = file.offset + HEAD.size
        try:
            head = Head.of(os.pread(descriptor, HEAD.size, file.offset))
        except Damaged:
            self._skip(file, file.size, file.rows)
            return None
        end = begin + head.length
        if end > file.size:  # a process was killed while it wrote this
            self._skip(file, file.size, file.rows, at_least=head.rows)
            return None
        try:
            payload = os.pread(descriptor, head.length, begin)
            head.check(payload)
            if file.columns is None:
                file.columns = decode_columns(payload)
                file.offset = end
                return None
            group = decode_group(payload, file.columns)
        except Damaged:
            if file.columns is None:  # without their names the values mean nothing
                self._skip(file, file.size, file.rows)
            else:
                self._skip(file, end, head.rows)
            return None
        self._read = _Read(file, end, head.rows)
        return group

    def _skip(self, file: _File, end: int, counted: int, *, at_least: int = 1) -> None:
        """Goes on behind what cannot be read, of which `counted` rows were counted when they were written or found."""
        self.damaged += max(counted, at_least, 1)
        self.rows -= counted
        file.rows -= counted
        file.offset = end


def _counted(file: _File) -> _File:
    """A file of somebody else's, with its size and the number of its rows."""
    with file.path.open("rb") as stream:
        file.size = os.fstat(stream.fileno()).st_size
        offset = 0
        with suppress(Damaged):
            while offset < file.size:
                head = Head.of(os.pread(stream.fileno(), HEAD.size, offset))
                offset += HEAD.size + head.length
                file.rows += head.rows if offset <= file.size else 0
    return file


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
