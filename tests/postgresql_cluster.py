"""A PostgreSQL server of the tests' own: a cluster in a temporary folder, from the programs of the Debian package.

PostgreSQL does not run as root, so a test that does starts it as somebody else. Nothing is flushed to the disk, so what
is committed outlives the server, though not the machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from ollamamax.store.upgrade import Administration

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = "PostgreSQL is not installed (Debian's package postgresql)"
ROLE = "ollamamax"
GUARDED_ROLE = "guarded"
"""A role that needs a password: `PASSWORD`."""

PASSWORD = "geheim"
_TEMPLATE = "upgraded"
_EMPTY = "empty"
_START_SECONDS = 30.0
_POLL_SECONDS = 0.01
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "lc_messages": "C",
    "listen_addresses": "127.0.0.1",
}


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in folders if (each / "initdb").exists() and (each / "postgres").exists()), None)


class Cluster:
    """One PostgreSQL server, which a test may stop and start; its port stays.

    Args:
        programs: the folder of its programs.

    Attributes:
        port: where it listens on loopback.
        directory: the folder of its UNIX socket.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="ollamamax-postgresql-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = _account()
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._data = self.directory / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._made = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise()
        self.start()
        self.run(f"create role {GUARDED_ROLE} login password '{PASSWORD}'")
        self.run(f"create database {_TEMPLATE}")
        self.run(f"create database {_EMPTY}")
        Administration(self.url(_TEMPLATE), self.directory).upgrade()

    def url(self, database: str, *, role: str = ROLE, password: str = "") -> str:
        """The URL of a database."""
        secret = f":{password}" if password else ""
        return f"postgresql://{role}{secret}@127.0.0.1:{self.port}/{database}"

    def create(self) -> str:
        """A new database with the present schema; its name."""
        self._made += 1
        name = f"database_{self._made}"
        self.run(f"create database {name} template {_TEMPLATE}")
        return name

    def empty(self) -> str:
        """The one database that holds nothing, whatever the last test left there; its name."""
        self.terminate(_EMPTY)
        self.run("drop schema public cascade", _EMPTY)
        self.run("create schema public", _EMPTY)
        return _EMPTY

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of another program, each statement a transaction of its own."""
        return psycopg.connect(
            make_conninfo(host=str(self.directory), port=self.port, user=ROLE, dbname=database), autocommit=True
        )

    def run(self, statement: str, database: str = "postgres") -> Sequence[tuple[Any, ...]]:
        """Runs a statement as another program; the rows that it gives."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def terminate(self, database: str, *, but: int = 0) -> int:
        """Ends every connection to a database, but that of one process; how many there were."""
        return len(
            self.run(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                f"where datname = '{database}' and pid not in (pg_backend_pid(), {but})"
            )
        )

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        options = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.directory)}
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *(f"--{name}={options[name]}" for name in options)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.directory / 'log').read_text()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stops it: by SIGINT it ends all connections with a word, by SIGQUIT without."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """Every one of its processes stops where it is: the kernel takes connections, and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """Ends it for good."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, number)

    def _initialise(self) -> None:
        subprocess.run(
            [
                self._programs / "initdb",
                *("-D", self._data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C"),
                *("--no-sync", "--no-instructions"),
            ],
            cwd=self.directory,
            check=True,
            capture_output=True,
            **self._as,
        )
        access = self._data / "pg_hba.conf"
        guarded = f"host all {GUARDED_ROLE} 127.0.0.1/32 scram-sha-256\n"
        access.write_text(guarded + access.read_text(encoding="utf-8"), encoding="utf-8")

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        assert self._process is not None
        # Of its eight lines, the first is the process, the last whether it takes connections.
        return len(lines) == 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"


def _account() -> pwd.struct_passwd:
    """Somebody who is not root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither postgres nor nobody has an account here")
