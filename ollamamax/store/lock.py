"""A SQLite file belongs to one process.

Two processes that write to one file can corrupt its write-ahead log in SQLite before 3.51.3
(https://sqlite.org/wal.html, "the WAL-reset bug"; Debian 12 has 3.40), so a second one is turned away at its start, by
`flock` on a file beside the database. The kernel gives the lock back when its holder dies, however it dies; the file
itself stays, because to remove it would let two processes lock two files of the same name.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ollamamax.store.failures import StoreError

if TYPE_CHECKING:
    from pathlib import Path


class FileLock:
    """The right to use one database file, from `acquire` to `release`.

    Args:
        database: the database file; its lock is `<database>.lock`, wherever symbolic links lead.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        resolved = database.resolve()
        self.path = resolved.with_name(f"{resolved.name}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock, and writes this process's id into its file for whoever comes second.

        Raises:
            StoreError: another process (or another store of this one) holds it, or the file cannot be made.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"database {self.database}: {self.path} cannot be made: {error.strerror}; "
                "make its directory writable, or name another database"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreError(
                f"database {self.database} is in use by process {holder}: stop that process, or name another database"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"database {self.database}: cannot lock {self.path}: {error.strerror}") from None
        self._descriptor = descriptor
        with suppress(OSError):  # a full disk: the lock holds without the id, which is there for the message only
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Gives the lock back; does nothing where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
