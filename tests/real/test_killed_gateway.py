"""A gateway that is killed in the middle of its work, again and again, and what its ledger holds afterwards.

On PostgreSQL it is killed every other time while the database is away, so that what it kept is in its spool; and a
second gateway, which nobody kills, shares database and spool.

`OLLAMAMAX_TEST_KILLS=N` kills N times, at random moments, instead of twice; and on PostgreSQL the end of what the
killed ones left is then awaited from the living gateway, which takes more than a minute, where else a judge is called.
That is longer than a test may take: `-o faulthandler_timeout=0` lets it.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from psycopg.rows import dict_row
from real.killing import Clients, Killing, Rows, owed, unfinished
from real.processes import Process, Processes

from ollamamax.store.instance_statements import Instance, beat, database_clock
from ollamamax.store.postgresql import PostgresqlServer
from ollamamax.store.statistics import PoolStatistics
from ollamamax.store.transaction import Transaction
from ollamamax.store.watch import SILENCE_SECONDS, Watch

if TYPE_CHECKING:
    from postgresql_cluster import Cluster

KILLS = os.environ.get("OLLAMAMAX_TEST_KILLS")
LIVES = (0.3, 0.2)
"""Seconds that a life lasts besides what it takes for rows to be owed, which every other one does not wait for."""

LONGEST_SECONDS = 2.5
CLIENTS = 6
NEIGHBOURS = 2
JUDGED_WITHIN_SECONDS = 3 * SILENCE_SECONDS
PLANTED = Path(__file__).parent.parent / "faults" / "planted"


def lives() -> Iterator[float]:
    """How long each life lasts."""
    chance = random.Random(KILLS)
    yield from LIVES if KILLS is None else (chance.uniform(0.05, LONGEST_SECONDS) for _ in range(int(KILLS)))


def tell(kind: str, killing: Killing, rows: Rows) -> None:
    """Says what came of it."""
    outcomes = [row["outcome"] for row in rows.values()]
    said = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in sorted(set(outcomes)))
    print(f"\n{kind}: {len(killing.killed)} kills, {len(rows)} rows: {said}")  # noqa: T201


@attrs.frozen
class Lives:
    """A gateway that is killed.

    Attributes:
        killing: kills it.
        control: the file that names the planted bug in force.
    """

    killing: Killing
    control: Path


@attrs.frozen
class SharedLives(Lives):
    """One that shares its database.

    Attributes:
        cluster: the server of the database.
        url: the database.
        read: reads its ledger.
        neighbour: a gateway that is not killed.
        neighbours: who ask that one.
        spool: where both keep what the database does not take.
    """

    cluster: Cluster
    url: str
    read: Callable[[], Rows]
    neighbour: Process
    neighbours: Clients
    spool: Path

    def kill_in_an_outage(self, seconds: float) -> Rows:
        """A life in the course of which the database goes away; it comes back after its end."""
        return self.killing.kill(
            seconds, is_alone=False, away=partial(self.cluster.stop, signal.SIGQUIT), back=self.cluster.start
        )


@pytest.fixture(scope="module")
def node(shared_processes: Processes) -> str:
    """The option that names a node, on which an answer takes up to 0.4 s."""
    return f"--node=desk={shared_processes.simulator('--load-seconds=0', '--tokens-per-second=100').url}"


Start = Callable[..., Process]


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """No planted bug is in force."""
    (control := tmp_path / "bug").write_text("")
    return control


@pytest.fixture
def start(processes: Processes, node: str, control: Path) -> Start:
    """Starts a gateway with planted bugs, none of which is in force, whose clients' own ids are noted."""
    path = os.pathsep.join([str(PLANTED), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {
        "OLLAMAMAX_TRUSTED_NETWORKS": "127.0.0.0/8",
        "OLLAMAMAX_PROBE_TIMEOUT_SECONDS": "20",
        "PYTHONPATH": path,
        "PLANTED_BUGS": str(control),
    }
    return lambda *options, **more: processes.gateway(node, *options, environ=environ | more)


@pytest.fixture
def on_sqlite(start: Start, control: Path, tmp_path: Path) -> Iterator[Lives]:
    """Lives on a SQLite file."""
    file = tmp_path / "ledger.db"

    def read() -> Rows:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return {row["id"]: dict(row) for row in connection.execute("select * from requests")}

    clients = Clients(CLIENTS)
    yield Lives(Killing(partial(start, f"--database=sqlite:///{file}"), read, clients), control)
    clients.stop()


@pytest.fixture
def on_postgresql(start: Start, control: Path, tmp_path: Path, postgresql: Cluster) -> Iterator[SharedLives]:
    """Lives on PostgreSQL, with a neighbour."""
    name = postgresql.create()
    url = postgresql.url(name)

    def read() -> Rows:
        with postgresql.connect(name) as connection:
            return {row["id"]: row for row in connection.cursor(row_factory=dict_row).execute("select * from requests")}

    begin = partial(start, f"--database={url}", OLLAMAMAX_LEDGER_SPOOL_DIRECTORY=str(tmp_path / "spool"))
    neighbour, neighbours, clients = begin(), Clients(NEIGHBOURS), Clients(CLIENTS)
    neighbours.turn_to(neighbour)
    killing = Killing(begin, read, clients, neighbours)
    yield SharedLives(killing, control, postgresql, url, read, neighbour, neighbours, tmp_path / "spool")
    clients.stop()
    neighbours.stop()


def test_kills_on_sqlite(on_sqlite: Lives) -> None:
    """No committed row is lost, none is there twice, and what was open is interrupted at the next start."""
    for number, seconds in enumerate(lives()):
        on_sqlite.killing.kill(seconds, owes=number % 2 == 0)
    rows = on_sqlite.killing.end()
    assert unfinished(rows) == []
    tell("SQLite", on_sqlite.killing, rows)


def test_kills_on_postgresql(on_postgresql: SharedLives) -> None:
    """The same, also of what was on its way while the database was away; and the neighbour's requests end as they do.

    What was open when its gateway was killed is interrupted by whoever has kept watch for a minute.
    """
    lived = on_postgresql
    for number, seconds in enumerate(lives()):
        if number % 2:
            lived.killing.kill(seconds, owes=False, is_alone=False)
        else:
            lived.kill_in_an_outage(seconds)
    judge(lived)
    lived.killing.end()
    lived.neighbours.stop()
    assert lived.neighbour.stop() == 0
    rows = lived.read()
    assert unfinished(rows) == []
    assert owed(rows, lived.neighbours.asked) == []
    of_neighbours = [row for row in rows.values() if row["client_request_id"] in lived.neighbours.asked]
    assert {row["outcome"] for row in of_neighbours} == {"success"}
    assert list(lived.spool.iterdir()) == []
    tell("PostgreSQL", lived.killing, rows)


def judge(lived: SharedLives) -> None:
    """Has the killed ones found dead, while the others are at work.

    In a long run by the neighbour, when it comes to it; else by a process that has kept watch for as long, to which the
    killed ones have been silent for as long.
    """
    killed = ", ".join(map(str, lived.killing.killed))
    left = f"select count(*) from instances where pid in ({killed})"
    database = lived.url.rpartition("/")[2]
    if KILLS is not None:
        deadline = time.monotonic() + JUDGED_WITHIN_SECONDS
        while lived.cluster.run(left, database) != [(0,)]:
            assert time.monotonic() < deadline, "nobody found the killed ones dead"
            time.sleep(1)
        return
    lived.cluster.run(
        f"update instances set heartbeat_at = heartbeat_at - {SILENCE_SECONDS} where pid in ({killed})", database
    )
    now = time.time()
    instance = Instance(id="judge", hostname="judge", pid=1, version="1")
    engine = PostgresqlServer(lived.url).writing_engine()
    with engine.begin() as connection:
        transaction = Transaction(connection, PoolStatistics("postgresql", 1))
        beat(transaction, instance, database_clock, Watch(now - SILENCE_SECONDS, now))
    engine.dispose()
    assert lived.cluster.run(left, database) == [(0,)]


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("acknowledges-too-early", "was answered, and has no row"),
        ("replays-with-do-nothing", "was answered, and its row says interrupted, None tokens"),
        ("interrupts-nobody", "has no end"),
    ],
)
def test_a_planted_bug_is_found(on_sqlite: Lives, bug: str, words: str) -> None:
    """While it is in force a life that is long enough shows it."""
    on_sqlite.control.write_text(bug)
    with pytest.raises(AssertionError, match=words):
        on_sqlite.killing.kill(LIVES[0])


def test_a_planted_bug_of_the_spool_is_found(on_postgresql: SharedLives) -> None:
    """A gateway that does not read what a killed one kept shows by the rows that are owed."""
    on_postgresql.control.write_text("inherits-nothing")
    with pytest.raises(AssertionError, match=r"was answered, and (has no row|its row says None)"):
        on_postgresql.kill_in_an_outage(LIVES[0])
