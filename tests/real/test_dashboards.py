"""Every query of the dashboards gives a value other than zero on a real Prometheus, while there is a cause for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from postgresql_cluster import Cluster
from real.causes import CAUSES
from real.monitored import monitored
from real.processes import Processes
from real.prometheus import Prometheus
from real.told import PATIENCE_SECONDS, Told
from real.world import world

AGAIN_SECONDS = 6.0
"""How long a cause is given to be told, before it is made to happen again."""

WRITES = (
    "runtime: Rows that wait to be written: {{instance}}",
    "runtime: Rows lost: {{instance}}",
    "runtime: Queries that failed: failed",
    "runtime: Work that waits for a thread: {{pool}}",
)
"""What is told while the database cannot be written."""

RARE = {
    "runtime: Garbage: uncollectable": "a collector has a defect, and leaves what Python cannot collect",
    "runtime: Collectors that failed: {{collector}}": "a collector has a defect, and leaves what Python cannot collect",
    "runtime: Series that found no room: {{family}}": "the server starts, and looks at its nodes",
    "runtime: Waits for a connection: closed: {{reason}}": (
        "the database's connections are ended, one in the middle of a query"
    ),
    "inference: Input tokens from the cache: {{model}}": "a prompt that the node had in its cache",
}
"""What nothing of that run moves, and the cause of each in other servers, `real.causes`."""


@pytest.fixture(scope="module")
def told(shared_processes: Processes, program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the queries gave in a run in which everything happened that can, each cause until it was told."""
    with monitored(shared_processes, program, tmp_path_factory.mktemp("monitored")) as servers:
        told = Told(servers.prometheus)
        with servers.living():
            with servers.locked_database():
                told.wait_for(WRITES)
            servers.end_a_node()
            servers.stand_still()
            told.wait_for(told.silent - RARE.keys())
        told.ask(told.silent)
    return told


def test_every_query_has_a_result(told: Told) -> None:
    """No query of a panel comes back empty: its metrics are exposed, its operands match, its labels are there."""
    assert sorted(told.empty) == []


def test_every_query_tells_what_happened(told: Told) -> None:
    """Each query was something other than zero while its cause lasted; what had none in this run is listed above."""
    assert told.silent == RARE.keys()


def test_every_query_tells_what_is_rare(
    shared_processes: Processes, postgresql: Cluster, program: Callable[..., str], tmp_path: Path
) -> None:
    """Each of the others is something other than zero while its cause lasts."""
    causes = {cause.words: cause for cause in CAUSES}
    (tmp_path / "world").mkdir()
    with world(shared_processes, postgresql, tmp_path / "world") as servers:
        target = servers.gateway.url.removeprefix("http://")
        prometheus = Prometheus(program("prometheus"), tmp_path / "prometheus", [target], "1s")
        try:
            prometheus.wait_ready()
            told = Told(prometheus)
            for query, words in RARE.items():
                deadline = time.monotonic() + PATIENCE_SECONDS / len(RARE)
                # Again, where the first time was before there was anything to compare it with.
                while query in told.silent and time.monotonic() < deadline:
                    with causes[words].happens(servers):
                        told.wait_for([query], AGAIN_SECONDS)
            assert told.silent & RARE.keys() == set()
        finally:
            prometheus.stop()
