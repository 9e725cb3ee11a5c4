"""Servers on PostgreSQL: empty databases, two servers on one, an outage under load; and what a killed server leaves.

`OLLAMAMAX_TEST_OUTAGE_SECONDS` says for how long the database is away; by default, two seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from real.callers import wait_for
from real.processes import Process, Processes

from ollamamax.store.ledger_statements import INTERRUPTED
from ollamamax.store.revisions import HEAD_REVISION

if TYPE_CHECKING:
    from postgresql_cluster import Cluster

OUTAGE_SECONDS = float(os.environ.get("OLLAMAMAX_TEST_OUTAGE_SECONDS", "2"))
LISTEN = "--listen=tcp:0:interface=127.0.0.1"
CLIENTS = 6
QUICK_SECONDS = 3.0
"""On a machine that has other things to do; none of these waits for the database."""


class Load:
    """Clients that go on asking until they are told to stop.

    Attributes:
        answers: status and id of each answer.
    """

    def __init__(self, gateways: list[Process]) -> None:
        self.answers: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(gateways[number % len(gateways)].url,))
            for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, url: str) -> None:
        # The simulator's pace makes some ten requests a second of each.
        body = {"model": "tiny", "prompt": "LIMIT 5", "stream": True}
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                answer = client.post(f"{url}/api/generate", json=body)
                is_whole = b'"done":true' in answer.content
                self.answers.append((answer.status_code if is_whole else 0, answer.headers["X-Request-Id"]))

    def more(self) -> None:
        """Waits until every client has had some more answers."""
        wanted = len(self.answers) + 3 * CLIENTS
        wait_for(lambda: len(self.answers) >= wanted)

    def stop(self) -> None:
        """Waits for the last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done inside takes no longer."""
    began = time.monotonic()
    yield
    taken = time.monotonic() - began
    assert taken < seconds, f"{taken:.2f} s"


def stats(gateway: Process) -> dict[str, Any]:
    """The server's figures."""
    found: dict[str, Any] = httpx.get(f"{gateway.url}/api/v1/system/stats", timeout=10).json()
    return found


def test_an_empty_database_is_one_line_with_its_cure(processes: Processes, postgresql: Cluster) -> None:
    """The server ends with status 1, whatever its twistd logs; after the command that it names it starts."""
    database = postgresql.empty()
    option = f"--database={postgresql.url(database, password='geheim')}"
    shown = option.removeprefix("--database=").replace("geheim", "***")
    refused = processes.bare_gateway(LISTEN, option)
    assert refused.wait() == 1
    cure = f"ollamamax: database {shown} is empty: run `ollamamax database upgrade`, then start again"
    assert refused.text().splitlines().count(cure) == 1
    assert "Traceback" not in refused.text()
    assert "geheim" not in refused.text()
    program = "from ollamamax.cli import main; main()"
    upgraded = subprocess.run(
        [sys.executable, "-c", program, "database", "upgrade", option], capture_output=True, text=True, check=True
    )
    assert upgraded.stdout == f"store: {shown}\nschema: {HEAD_REVISION}, upgraded from an empty database\n"
    assert processes.gateway(option).stop() == 0


def test_two_servers_and_an_outage_under_load(processes: Processes, postgresql: Cluster) -> None:
    """No request fails for a database that breaks or goes away; afterwards each has its one row, whoever served it."""
    name = postgresql.create()
    node = processes.simulator("--load-seconds=0", "--tokens-per-second=100")
    options = (f"--node=desk={node.url}", f"--database={postgresql.url(name)}")
    gateways = [processes.gateway(*options), processes.gateway(*options)]
    assert postgresql.run("select count(*) from instances", name) == [(2,)]

    load = Load(gateways)
    try:
        load.more()
        assert postgresql.terminate(name) >= 2, "in the middle of whatever they do"
        load.more()
        postgresql.stop(signal.SIGQUIT)
        try:
            ended = time.monotonic() + OUTAGE_SECONDS
            while time.monotonic() < ended:
                for gateway in gateways:
                    with within(QUICK_SECONDS):
                        assert gateway.status("/ready") == 200
                    with within(QUICK_SECONDS):
                        assert httpx.get(f"{gateway.url}/metrics.json").json()["database"]["dialect"] == "postgresql"
                    with within(QUICK_SECONDS):
                        refused = httpx.get(f"{gateway.url}/api/v1/inference/requests")
                    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
                load.more()
            kept = [stats(gateway)["ledger"]["pending"] for gateway in gateways]
            assert min(kept) > 0
        finally:
            postgresql.start()
        load.more()
    finally:
        load.stop()
    for gateway in gateways:
        wait_for(lambda gateway=gateway: stats(gateway)["ledger"] == {"pending": 0, "dropped": 0})  # type: ignore[misc]

    assert {status for status, _ in load.answers} == {200}
    rows = postgresql.run("select id, outcome, status, finished_at is not null, instance from requests", name)
    assert sorted(row[0] for row in rows) == sorted(identifier for _, identifier in load.answers)
    assert {row[1:4] for row in rows} == {("success", 200, True)}
    assert len({row[4] for row in rows}) == 2
    page = httpx.get(f"{gateways[0].url}/api/v1/inference/requests?limit=1").json()
    assert page["pagination"]["total"] == len(rows)
    assert page["requests"][0]["instance"] in {row[4] for row in rows}
    print(f"\n{len(rows)} rows of {len(load.answers)} requests; kept on the disk at the outage's end: {kept}")  # noqa: T201

    # A server stops in good order, whether the database is there or not.
    assert gateways[0].stop() == 0
    assert postgresql.run("select count(*) from instances", name) == [(1,)]
    postgresql.stop()
    try:
        with within(10):
            assert gateways[1].stop() == 0
    finally:
        postgresql.start()
    assert "Traceback" not in "".join(gateway.text() for gateway in gateways)


def test_what_a_killed_server_was_doing_is_interrupted(processes: Processes, tmp_path: Path) -> None:
    """On SQLite by the next one at its start, because nobody else can have the file."""
    node = processes.simulator("--load-seconds=0", "--tokens-per-second=1")
    options = (f"--node=desk={node.url}", f"--database=sqlite:///{tmp_path}/ledger.db")
    killed = processes.gateway(*options)
    body = {"model": "tiny", "prompt": "LIMIT 50"}
    with httpx.stream("POST", f"{killed.url}/api/generate", json=body, timeout=30) as answer:
        identifier = answer.headers["X-Request-Id"]
        row = httpx.get(f"{killed.url}/api/v1/inference/requests/{identifier}").json()
        assert (row["outcome"], row["finished_at"]) == (None, None)
        killed.signal(signal.SIGKILL)
        killed.wait()
    again = processes.gateway(*options)
    found = httpx.get(f"{again.url}/api/v1/inference/requests/{identifier}").json()
    assert (found["outcome"], found["instance"]) == (INTERRUPTED, row["instance"])
    assert found["finished_at"] > row["started_at"]
    assert "unfinished requests marked as interrupted: 1" in again.text()
