"""The settings `ledger` in force while databases are away: PostgreSQL stopped, SQLite locked by another program."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from real.callers import Answer, call, wait_for
from real.observed_settings import observes
from real.processes import Process, Processes

from ollamamax.store.sqlite import DEFAULT_FILE_NAME
from ollamamax.store.upgrade import Administration

if TYPE_CHECKING:
    from postgresql_cluster import Cluster

MESSAGES = [{"role": "user", "content": "LIMIT 2"}]


def ask(server: Process, model: str = "absent") -> Answer:
    """A chat, which has a row in the ledger whatever becomes of it."""
    return call(server.url, "POST", "/api/chat", {"model": model, "messages": MESSAGES, "stream": False})


def ledger(server: Process) -> dict[str, int]:
    """What the ledger has still to write, and what it gave up."""
    found: dict[str, int] = call(server.url, "GET", "/api/v1/system/stats").json()["ledger"]
    return found


def kept(directory: Path) -> int:
    """Bytes of the rows in a spool."""
    return sum(path.stat().st_size for path in directory.rglob("*.rows"))


@observes("ledger.spool_directory", "ledger.spool_bytes", "ledger.memory_rows", "ledger.full")
def test_rows_are_kept_where_wanted_and_as_many(processes: Processes, postgresql: Cluster, tmp_path: Path) -> None:
    """By default in files of the state directory; elsewhere none of them, three in memory, and then as it is wanted.

    To drop rows and to serve all the same is the default; else a client is told to come again, and no node is asked.
    """
    node = f"--node=desk={processes.simulator('--load-seconds=0', '--tokens-per-second=500').url}"
    (file := tmp_path / "small.toml").write_text(
        f'[ledger]\nspool_directory = "{tmp_path}/elsewhere"\nspool_bytes = 1\nmemory_rows = 3\n'
    )
    patient = {"OLLAMAMAX_PROBE_TIMEOUT_SECONDS": "20"}
    refuse = {"OLLAMAMAX_LEDGER_MEMORY_ROWS": "3", "OLLAMAMAX_LEDGER_FULL": "refuse"}
    database = f"--database={postgresql.url(postgresql.create())}"
    locked = f"--database=sqlite:///{tmp_path}/ledger.db"
    default = processes.gateway(node, database, environ=patient, ready=False)
    small = processes.gateway(node, database, f"--config={file}", environ=patient, ready=False)
    refusing = processes.gateway(node, locked, environ=patient | refuse, ready=False)
    servers = (default, small, refusing)
    for server in servers:
        server.wait_ready()

    postgresql.stop()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        for server in servers:
            assert [ask(server).status for _ in range(4)] == [404] * 4
        in_state = default.directory / "state" / "ollamamax" / "spool"
        wait_for(lambda: kept(in_state))
        assert ledger(default) == {"pending": 4, "dropped": 0}
        assert [ledger(server) for server in (small, refusing)] == [{"pending": 3, "dropped": 1}] * 2
        assert len(list((tmp_path / "elsewhere").iterdir())) == 1
        assert kept(tmp_path / "elsewhere") == 0
        assert not (small.directory / "state" / "ollamamax" / "spool").exists()

        assert [ask(server, "tiny").status for server in (default, small)] == [200, 200]
        refused = ask(refusing, "tiny")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "cannot keep the account" in refused.json()["error"]
        assert ledger(refusing) == {"pending": 3, "dropped": 2}
    postgresql.start()
    for server in servers:
        wait_for(lambda server=server: ledger(server)["pending"] == 0)  # type: ignore[misc]
    assert [ledger(server)["dropped"] for server in servers] == [0, 2, 2]
    assert ask(refusing, "tiny").status == 200
    assert kept(in_state) == 0


@observes("ledger.retention_days", "ledger.retention_bytes")
def test_rows_stay_as_long_as_is_wanted(processes: Processes, tmp_path: Path) -> None:
    """Rows of three days ago stay by default; beyond an age or a size they are sums, and nothing of them is lost."""
    limits: tuple[dict[str, str], ...] = (
        {},
        {"OLLAMAMAX_LEDGER_RETENTION_DAYS": "1"},
        {"OLLAMAMAX_LEDGER_RETENTION_BYTES": "1"},
    )
    started_at = time.time() - 3 * 86400
    servers = []
    for number, limit in enumerate(limits):
        (directory := tmp_path / str(number)).mkdir()
        Administration("", directory).upgrade()
        file = directory / DEFAULT_FILE_NAME
        with closing(sqlite3.connect(file)) as database, database:
            row = ("old", started_at, started_at + 1, "/api/chat", "chat", "success", 1, 5, 7)
            columns = "id, started_at, finished_at, endpoint, operation, outcome, attempts, input_tokens, output_tokens"
            database.execute(f"insert into requests ({columns}) values ({','.join('?' * len(row))})", row)
        option = f"--database=sqlite:///{file}"
        servers.append(processes.gateway("--simulate=0", option, environ=limit, ready=False))
    for server in servers:
        server.wait_ready()
    wait_for(lambda: [rows(server) for server in servers] == [1, 0, 0])
    for server in servers:
        (sums,) = call(server.url, "GET", "/api/v1/usage?by=model").json()["usage"]
        assert (sums["requests"], sums["input_tokens"], sums["output_tokens"]) == (1, 5, 7)


def rows(server: Process) -> int:
    """How many rows a server shows."""
    return len(call(server.url, "GET", "/api/v1/inference/requests").json()["requests"])
