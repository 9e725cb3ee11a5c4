"""The folder of one process's spool files, which others leave alone while that process lives.

Processes that use one database may share a directory; each has a folder of its own in it, with a lock that the kernel
gives back however the process ends. A folder that can be locked belongs to nobody any more, and whoever locks it has
inherited what is in there.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs

SUFFIX = ".rows"


@attrs.frozen
class SpoolFolder:
    """A locked folder.

    Attributes:
        path: where it is.
    """

    path: Path
    _descriptor: int

    @classmethod
    def make(cls, directory: Path) -> SpoolFolder:
        """A new one in a directory, which is made where it is not there, for this user alone.

        Raises:
            OSError: it cannot be made.
        """
        name = str(uuid.uuid4())
        hidden = directory / f".{name}"  # nobody may think it left alone before it is locked
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden.mkdir(mode=0o700)
        made = cls._locked(hidden)
        hidden.rename(directory / name)
        return attrs.evolve(made, path=directory / name)

    @classmethod
    def inherited(cls, directory: Path) -> Iterator[SpoolFolder]:
        """The folders whose processes are gone, locked."""
        try:
            names = sorted(os.listdir(directory))  # noqa: PTH208 - names, to be sorted
        except OSError:
            return
        for name in names:
            if not name.startswith("."):
                with suppress(OSError):  # somebody lives there, or has just taken it away
                    yield cls._locked(directory / name)

    @classmethod
    def _locked(cls, path: Path) -> SpoolFolder:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def files(self) -> list[Path]:
        """The spool files in there, the oldest first."""
        return sorted(path for path in self.path.iterdir() if path.suffix == SUFFIX)

    def flush(self) -> None:
        """Makes the names in there outlive a loss of power."""
        os.fsync(self._descriptor)

    def leave(self) -> None:
        """Removes it where nothing is in there; then somebody else may have it."""
        with suppress(OSError):
            self.path.rmdir()
        os.close(self._descriptor)
