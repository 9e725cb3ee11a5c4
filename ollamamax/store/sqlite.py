"""A SQLite file and its connections.

One connection writes, with `BEGIN IMMEDIATE`: a deferred transaction that comes to write later fails at once with
BUSY_SNAPSHOT, whatever the busy timeout says. The same connection checkpoints. The others read only. WAL with
`synchronous=FULL` makes a committed row survive a loss of power (https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

import attrs
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event

from ollamamax.store.failures import StoreError, reason_of
from ollamamax.store.lock import FileLock
from ollamamax.store.size import StoreSize

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from ollamamax.store.transaction import Transaction

DEFAULT_FILE_NAME = "ollamamax.db"
BUSY_TIMEOUT_SECONDS = 5.0

# Result codes (https://sqlite.org/rescode.html) after which a connection is thrown away rather than used again.
_BREAKING_CODES = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
_PRIMARY_CODE = 0xFF


def make_private(state_directory: Path) -> None:
    """Makes the directory of a server that was told of no database, for this user alone.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"state directory {state_directory} cannot be made: {error.strerror}; make it, or name another one"
        ) from None


def file_of(url: URL) -> Path:
    """The file that a `sqlite:///path` URL names, made absolute.

    Raises:
        StoreError: it names none (an in-memory database would be another one for each connection), or has options.
    """
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreError("database: a SQLite URL names a file, as in sqlite:////var/lib/ollamamax/ollamamax.db")
    if url.query or url.host or url.username:
        raise StoreError("database: a SQLite URL has no host, user or options; expected sqlite:////path/to/file")
    return Path(url.database).absolute()


@attrs.frozen
class SqliteFile:
    """A database file, used by one process.

    Attributes:
        path: where it is.
        busy_timeout_seconds: how long a statement waits for a lock that another program holds on the file.
    """

    path: Path
    busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS
    _lock: FileLock = attrs.field(init=False)

    dialect: ClassVar[str] = "sqlite"
    is_exclusive: ClassVar[bool] = True
    patience_seconds: ClassVar[float | None] = None  # a statement ends by itself, and a lock's wait is bounded

    @_lock.default
    def _lock_beside_it(self) -> FileLock:
        return FileLock(self.path)

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def acquire(self) -> None:
        """Takes the file for this process, and makes it where it does not exist.

        Raises:
            StoreError: another process has it, or it cannot be made.
        """
        self._lock.acquire()
        try:
            self.create()
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Gives the file back."""
        self._lock.release()

    def create(self) -> None:
        """Makes the file, empty and for this user alone, where it does not exist.

        Raises:
            StoreError: it cannot be made or opened for writing.
        """
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(
                f"database {self.path} cannot be opened: {error.strerror}; make its directory writable, or name another"
            ) from None

    def writing_engine(self) -> Engine:
        """An engine of one connection that may write."""
        engine = self._engine(self._connect_writer, 1)
        event.listen(engine, "begin", _begin_immediate)
        return engine

    def reading_engine(self, size: int) -> Engine:
        """An engine of at most `size` connections that cannot write."""
        engine = self._engine(self._connect_reader, size)
        event.listen(engine, "begin", _begin_deferred)
        return engine

    def upgrading_engine(self) -> Engine:
        """An engine for migrations."""
        return self.writing_engine()

    def looking_engine(self) -> Engine:
        """An engine that reads and leaves nothing behind; whoever has the file may go on using it.

        A reader of a file with a log makes the log's two files where they are not, and cannot remove them; where there
        is no log nobody is writing, and the file can be read as one that does not change.

        Raises:
            StoreError: there is no file.
        """
        if not self.path.exists():
            raise StoreError(
                f"database {self.name} does not exist: run `ollamamax database upgrade`, or start the server"
            )
        has_log = self.path.with_name(f"{self.path.name}-wal").exists()
        return self._engine(lambda: self._connect("ro" if has_log else "ro&immutable=1", "query_only=ON"), 1)

    def size(self, transaction: Transaction) -> StoreSize:
        """The file with its log, and what its file system has left for this user."""
        files = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        try:
            left = os.statvfs(self.path)
            taken = sum(file.stat().st_size for file in files if file.exists())
        except OSError:
            return StoreSize()
        return StoreSize(taken, left.f_bavail * left.f_frsize)

    def is_broken(self, error: DBAPIError) -> bool:
        """Whether a connection that failed like this is to be thrown away; a locked or full database is none such."""
        code = getattr(error.orig, "sqlite_errorcode", 0)
        return code & _PRIMARY_CODE in _BREAKING_CODES

    def cut(self, connection: DBAPIConnection) -> None:
        """Not needed: nothing here waits for another machine."""

    def unusable(self, error: SQLAlchemyError) -> StoreError:
        """What to tell the operator of a failure at the start."""
        return StoreError(f"database {self.name} cannot be used: {reason_of(error)}")

    def _engine(self, connect: Callable[[], sqlite3.Connection], size: int) -> Engine:
        # The pool is named, because SQLAlchemy picks another one (a connection per thread) for a URL without a file.
        return create_engine(
            "sqlite+pysqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,
        )

    def _connect_writer(self) -> sqlite3.Connection:
        # auto_vacuum only takes effect before the first table is made; it lets a later pruning give disk space back.
        connection = self._connect("rw", "auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL")
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            connection.close()
            raise sqlite3.NotSupportedError(
                "its file system cannot hold a write-ahead log, name a file on a local disk"
            )
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        return self._connect("ro", "query_only=ON")

    def _connect(self, mode: str, *pragmas: str) -> sqlite3.Connection:
        # mode=rw, not rwc: a file that was removed must not come back empty.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=self.busy_timeout_seconds,
            isolation_level=None,  # transactions begin where this room says so, not where the driver guesses
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").close()
        except BaseException:
            connection.close()
            raise
        return connection


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
