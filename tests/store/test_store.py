"""The store as the rest of the program sees it: real threads, real processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import pytest
import pytest_twisted
from store.databases import PostgresqlHome, SqliteHome
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads

from ollamamax import __version__
from ollamamax.store.failures import StoreError
from ollamamax.store.inventory import SeenModel
from ollamamax.store.ledger import LedgerRow
from ollamamax.store.sqlite import SqliteFile
from ollamamax.store.store import Store
from ollamamax.store.upgrade import Administration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A process with a store of its own. Its lines tell what it has done; it goes on until it is killed.
CHILD = """
import sys
from pathlib import Path
from twisted.internet import reactor
from ollamamax.store.ledger import LedgerRow
from ollamamax.store.sqlite import SqliteFile
from ollamamax.store.store import Store

store = Store.open(sys.argv[2], state_directory=Path(sys.argv[1]), reactor=reactor, pool_size=2)

async def work():
    number = 0
    while True:
        print(number, flush=True)
        group = [f"{number + each}" for each in range(25)]
        for name in group:
            store.ledger.started(LedgerRow(id=name, started_at=float(name), endpoint="/api/chat"))
        if number % 2:
            await store.ledger.flush()
        for name in group:
            store.ledger.finished(
                LedgerRow(id=name, started_at=float(name), finished_at=1.0, endpoint="/api/chat", outcome="success")
            )
        await store.ledger.flush()
        number += 25

from twisted.internet.defer import Deferred
reactor.callWhenRunning(lambda: Deferred.fromCoroutine(work()))
reactor.run()
"""


asynchronous: Callable[[Callable[..., object]], Callable[..., object]] = pytest_twisted.ensureDeferred


class StartChild(Protocol):
    """Starts a process with a store in a state directory, or at a URL."""

    def __call__(self, state_directory: Path, url: str = "") -> subprocess.Popen[str]: ...


@pytest.fixture
def start_child() -> Iterator[StartChild]:
    """Starts processes, and ends them after the test."""
    children: list[subprocess.Popen[str]] = []

    def start(state_directory: Path, url: str = "") -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(state_directory), url], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def open_store(state_directory: Path, url: str = "", **options: Any) -> Store:
    """Opens a store on the real reactor."""
    return Store.open(
        url, state_directory=state_directory, reactor=IReactorFromThreads(reactor), pool_size=4, **options
    )


def row(identifier: str) -> LedgerRow:
    """A row of a request that runs."""
    return LedgerRow(id=identifier, started_at=1.0, endpoint="/api/chat")


@asynchronous
async def test_from_opening_to_closing(home: SqliteHome | PostgresqlHome, tmp_path: Path) -> None:
    """Rows, models and numbers are there; afterwards all but the database is gone, and it can be opened again."""
    Administration(home.url, tmp_path).upgrade()
    before = threading.active_count()
    heard: list[tuple[str, str, str]] = []
    flushed: list[float] = []

    class Observer:
        def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
            assert seconds >= 0
            heard.append((operation, table, status))

        def observe_flush(self, seconds: float) -> None:
            assert seconds >= 0
            flushed.append(seconds)

    store = open_store(tmp_path, home.url, observer=Observer())
    assert threading.active_count() == before, "opening starts no thread"
    opened = store.statistics.snapshot()
    assert (opened.dialect, opened.max_open, opened.open, opened.in_use) == (home.place.dialect, 4, 1, 0)
    assert home.ask("select id, hostname, pid, version from instances") == [
        (store.instance.id, socket.gethostname(), os.getpid(), __version__)
    ]

    store.ledger.started(row("a"))
    store.ledger.finished(attrs.evolve(row("a"), finished_at=2.0, outcome="success"))
    rows, total = await store.ledger.requests(10, 0)
    assert ([(entry.outcome, entry.instance) for entry in rows], total) == ([("success", store.instance.id)], 1)
    assert len(flushed) == 1
    await store.inventory.record([], [SeenModel(node="desk", model="m:latest", digest=None, seen_at=5.0)])
    assert await store.inventory.models_seen_since(1.0) == {"m:latest"}
    snapshot = store.statistics.snapshot()
    assert snapshot.queries == {key: heard.count(key) for key in heard}
    assert snapshot.queries_total == len(heard)
    assert snapshot.open == snapshot.idle

    store.ledger.started(row("last"))
    await store.close()
    await store.close()
    assert home.ask("select * from instances") == []
    assert home.ask("select id, outcome, finished_at > 1 from requests where outcome <> 'success'") == [
        ("last", "interrupted", True)
    ]
    closed = store.statistics.snapshot()
    assert (closed.open, closed.in_use, closed.idle) == (0, 0, 0)
    assert closed.closed["shutdown"] == snapshot.open
    assert threading.active_count() == before

    again = open_store(tmp_path, home.url)
    assert [entry.id for entry in (await again.ledger.requests(10, 0))[0]] == ["last", "a"]
    await again.close()


@asynchronous
async def test_the_file_of_the_state_directory(tmp_path: Path) -> None:
    """Without a URL, the database and its lock are in the state directory, for this user alone, and nothing else is."""
    store = open_store(tmp_path / "state")
    path = tmp_path / "state" / "ollamamax.db"
    assert store.name == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await store.close()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["ollamamax.db", "ollamamax.db.lock"]


@asynchronous
async def test_how_large_a_file_is(tmp_path: Path) -> None:
    """With its log, as it was found at the start; and what its file system has left for this user."""
    store = open_store(tmp_path)
    sizes = [(tmp_path / f"ollamamax.db{end}").stat().st_size for end in ("", "-wal")]
    assert store.size.bytes is not None
    assert max(sizes) <= store.size.bytes <= sum(sizes)
    assert store.size.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    await store.close()


@asynchronous
async def test_one_connection_writes_and_the_others_read(tmp_path: Path) -> None:
    """A pool of one is a pool of two: a writer and a reader."""
    store = Store.open("", state_directory=tmp_path, reactor=IReactorFromThreads(reactor), pool_size=1)
    assert store.statistics.snapshot().max_open == 2
    closings = [store.close(), store.close()]
    for closing in closings:
        await closing


@asynchronous
async def test_a_url_of_its_own(tmp_path: Path) -> None:
    """A database elsewhere is opened there, and no state directory is made."""
    store = open_store(tmp_path / "state", f"sqlite:///{tmp_path}/elsewhere.db")
    assert store.name == f"{tmp_path}/elsewhere.db"
    assert not (tmp_path / "state").exists()
    await store.close()


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("oracle://u:secret@h/d", "database: oracle is not supported; expected sqlite:////path/to/file or postgresql:"),
        ("sqlite+aiosqlite:///a", "database: sqlite+aiosqlite is not supported; expected sqlite:////path/to/file or p"),
        ("nonsense", "database: not a URL; expected sqlite:////path/to/file or postgresql://USER@HOST/DATABASE"),
        ("http://h", "database: http is not supported; expected sqlite:////path/to/file or postgresql://USER@HOST/DA"),
        ("oracle://h:port/d", "database: not a URL; expected sqlite:////path/to/file or postgresql://USER@HOST/DATAB"),
        ("sqlite://", "database: a SQLite URL names a file, as in sqlite:////var/lib/ollamamax/ollamamax.db"),
        (
            "sqlite:////proc/no/a.db",
            "database /proc/no/a.db: /proc/no/a.db.lock cannot be made: No such file",
        ),
    ],
)
def test_what_cannot_be_opened_is_one_line(tmp_path: Path, url: str, line: str) -> None:
    """Each wrong setting has its line, without the password that it may hold."""
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path, url)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file of another kind is refused, left as it was, and not locked any more."""
    (tmp_path / "ollamamax.db").write_text("something else entirely, and long enough to be looked at" * 100)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            open_store(tmp_path)
        assert str(caught.value) == f"database {tmp_path}/ollamamax.db cannot be used: file is not a database"
    assert (tmp_path / "ollamamax.db").read_text().startswith("something else entirely")


def test_a_database_that_another_program_holds(tmp_path: Path) -> None:
    """A file that is locked from outside while it is opened is said in one line."""
    path = tmp_path / "ollamamax.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"^database \S+ cannot be used: database is locked$"):
        Store.at(SqliteFile(path, busy_timeout_seconds=0.01), reactor=IReactorFromThreads(reactor), pool_size=2)
    other.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A schema that this program does not know is named, and its file is free afterwards."""
    path = tmp_path / "ollamamax.db"
    other = sqlite3.connect(path)
    other.execute("create table alembic_version (version_num text)")
    other.execute("insert into alembic_version values ('9999')")
    other.commit()
    other.close()
    for _ in range(2):
        with pytest.raises(
            StoreError, match=r"^database \S+ollamamax.db has schema 9999, newer than this version knows"
        ):
            open_store(tmp_path)


@asynchronous
async def test_two_stores_on_one_file(tmp_path: Path) -> None:
    """Even one process opens a file once."""
    first = open_store(tmp_path)
    with pytest.raises(StoreError, match=rf"in use by process {os.getpid()}: "):
        open_store(tmp_path)
    await first.close()


def test_what_is_not_imported_at_rest(tmp_path: Path) -> None:
    """The first start migrates with Alembic, the second does without; SQLite needs nothing of PostgreSQL's."""
    program = (
        "import sys; from pathlib import Path; from twisted.internet.task import Clock\n"
        "from twisted.internet import reactor\n"
        "from ollamamax.store.store import Store\n"
        "Store.open('', state_directory=Path(sys.argv[1]), reactor=reactor, pool_size=2)\n"
        "print('alembic' in sys.modules, *[name for name in sys.modules if 'psycopg' in name or 'postgresql' in name])"
    )
    said = [
        subprocess.run([sys.executable, "-c", program, tmp_path], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert said[0].startswith("True")
    assert said[1] == "False\n"


@asynchronous
async def test_a_second_process_is_turned_away(tmp_path: Path, start_child: StartChild) -> None:
    """It is told the file, the process that holds it and the cure; once that is dead, however it died, it may come."""
    child = start_child(tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "0\n"
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path)
    assert str(caught.value) == (
        f"database {tmp_path}/ollamamax.db is in use by process {child.pid}: "
        "stop that process, or name another database"
    )
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    await open_store(tmp_path).close()


@pytest.mark.parametrize("groups", [1, 9])
@asynchronous
async def test_a_killed_process_loses_no_committed_row(
    home: SqliteHome | PostgresqlHome, tmp_path: Path, start_child: StartChild, groups: int
) -> None:
    """What was flushed before a kill -9 is there and final, each row once; what was on its way may be there too.

    What it had begun is interrupted when the next one comes, if that can know that the first is dead: with SQLite.
    """
    Administration(home.url, tmp_path).upgrade()
    child = start_child(tmp_path, home.url)
    assert child.stdout is not None
    said = [int(child.stdout.readline()) for _ in range(groups + 1)]
    child.send_signal(signal.SIGKILL)
    said += [int(line) for line in child.stdout.read().splitlines() if line]
    child.wait(10)
    committed = said[-1]  # a number is told when all before it are committed
    assert committed >= 25 * groups

    store = open_store(tmp_path, home.url)
    rows, total = await store.ledger.requests(1_000_000, 0)
    await store.close()
    others = {entry.outcome for entry in rows} - {"success"}
    assert others <= ({"interrupted"} if home.place.is_exclusive else {None})
    final = {int(entry.id) for entry in rows if entry.outcome == "success"}
    assert set(range(committed)) <= final
    assert len({entry.id for entry in rows}) == total == len(rows) <= committed + 25
    if isinstance(home, SqliteHome):
        assert home.ask("pragma integrity_check") == [("ok",)]
