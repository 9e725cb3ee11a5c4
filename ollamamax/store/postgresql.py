"""A PostgreSQL database and its connections.

The URL goes to libpq as it is, so that all that libpq takes is taken: several hosts, UNIX sockets, `sslmode`, services,
the password file (https://www.postgresql.org/docs/current/libpq-connect.html). psycopg is imported where there is such
a URL, and only there.

What may take long is bounded on both sides: the server ends a statement that runs too long, the kernel ends a
connection whose other end is gone, and whatever is left is cut off by the pool (`patience_seconds`, `cut`).
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import attrs
from sqlalchemy import Engine, QueuePool, create_engine, event, func
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError

from ollamamax.settings.checks import masked
from ollamamax.store.failures import StoreError, reason_of
from ollamamax.store.size import StoreSize

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from ollamamax.store.transaction import Transaction

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 5
UNIT_SECONDS = 6.0
UPGRADE_LOCK_SECONDS = 60
_FORM = "postgresql://USER@HOST/DATABASE"
_READ_ONLY = "25006"

# libpq's own parameters; what the URL says of them wins. A dead peer is noticed within half a minute while nothing is
# sent, and within five seconds while something is.
_DEFAULTS: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

_WRITER = {"statement_timeout": f"{STATEMENT_SECONDS}s"}
_READER = _WRITER | {"default_transaction_read_only": "on", "default_transaction_isolation": "repeatable read"}
_UPGRADER = {"lock_timeout": f"{UPGRADE_LOCK_SECONDS}s"}

# Words of libpq and of the server, which say no code when a connection is refused.
_CURES = {
    "password": "correct the user or the password, which may stand in the file of database_file or of PGPASSFILE",
    'FATAL:  role "': "create the role, or correct the user",
    'FATAL:  database "': "create the database with createdb, or name another one",
}
_CURE = "start PostgreSQL there, or correct the URL"


@attrs.frozen
class PostgresqlServer:
    """A database on a PostgreSQL server, used by as many processes as like to.

    Attributes:
        url: as it was set, with its password.
        patience_seconds: how long a unit of work may take.
    """

    url: str
    patience_seconds: float | None = UNIT_SECONDS

    dialect: ClassVar[str] = "postgresql"
    is_exclusive: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The URL as it may be shown."""
        return masked(self.url)

    def acquire(self) -> None:
        """Sees that the URL can be read and that there is a driver; the server itself is not asked.

        Raises:
            StoreError: not so.
        """
        self._parameters()

    def release(self) -> None:
        """Nothing is held but connections."""

    def writing_engine(self) -> Engine:
        """An engine of one connection that may write."""
        return self._engine(1, _WRITER)

    def reading_engine(self, size: int) -> Engine:
        """An engine of at most `size` connections that cannot write, each transaction of which sees one moment."""
        return self._engine(size, _READER)

    def upgrading_engine(self) -> Engine:
        """An engine for migrations, whose statements may take their time."""
        return self._engine(1, _UPGRADER)

    def looking_engine(self) -> Engine:
        """An engine of one connection that reads."""
        return self.reading_engine(1)

    def size(self, transaction: Transaction) -> StoreSize:
        """All of the database; what its server's disk has left is not for a client to know."""
        ((taken,),) = transaction.rows(func.pg_database_size(func.current_database()).select())
        return StoreSize(int(taken))

    def is_broken(self, error: DBAPIError) -> bool:
        """Whether a connection that failed like this is to be thrown away, although the driver thinks it whole.

        A server that has become a standby is one: the next connection may find its successor.
        """
        return getattr(error.orig, "sqlstate", None) == _READ_ONLY

    def cut(self, connection: DBAPIConnection) -> None:
        """Ends a connection under the hands of the thread that waits for it; that one gets an error at once."""
        from psycopg import Error

        # Where it is closed already, there is nothing to end.
        with (
            suppress(OSError, Error),
            socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)

    def unusable(self, error: SQLAlchemyError) -> StoreError:
        """What to tell the operator of a failure at the start."""
        reason = reason_of(error)
        cure = next((cure for word, cure in _CURES.items() if word in reason), _CURE)
        return StoreError(f"database {self.name} cannot be used: {reason}: {cure}")

    def _engine(self, size: int, settings: dict[str, str]) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._connect(settings),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,
            paramstyle="format",  # positional, as with SQLite
            use_native_hstore=False,  # spares a question to each server
        )
        event.listen(engine, "checkout", _refuse_the_dead)
        return engine

    def _connect(self, settings: dict[str, str]) -> Connection:
        import psycopg

        given = self._parameters()
        connection = psycopg.connect(
            **{**_DEFAULTS, **given, "fallback_application_name": "ollamamax"},  # type: ignore[arg-type]
            autocommit=True,
        )
        try:
            # Not as libpq's `options`, which poolers such as pgbouncer refuse.
            wanted = ", ".join("set_config(%s, %s, false)" for _ in settings)
            connection.execute(f"select {wanted}", [part for pair in settings.items() for part in pair])
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _parameters(self) -> dict[str, object]:
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise StoreError(
                f"database {self.name}: psycopg cannot be loaded ({error}): install psycopg[binary], or use SQLite"
            ) from None
        try:
            # libpq's words for what it cannot read repeat the URL, password and all.
            return dict(conninfo_to_dict(f"postgresql:{self.url.partition(':')[2]}"))
        except ProgrammingError:
            raise StoreError(f"database: {self.name} cannot be read by libpq; expected {_FORM}") from None


def _refuse_the_dead(connection: DBAPIConnection, _: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
    """Has a connection replaced that was ended while it was idle.

    An idle connection has nothing to say, so whatever can be read there is its end. That costs no question to the
    server; a connection that dies later than this is replaced after the failure of what it was used for.
    """
    poll = select.poll()
    if not connection.closed:
        poll.register(connection.fileno(), select.POLLIN)
    if connection.closed or poll.poll(0):
        raise DisconnectionError("ended while it was idle")
