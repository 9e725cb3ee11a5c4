"""Every query of the dashboards gives a value other than zero on a real Prometheus, while there is a cause for one."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
from deploy.dashboard_files import QUERIES, Asked
from deploy.expressions import sample_labels, selectors
from real.monitored import monitored
from real.processes import Processes
from real.prometheus import Prometheus

from ollamamax.metrics.catalogue import CATALOGUE

PATIENCE_SECONDS = 90.0
RATE_INTERVAL = "8s"
"""What Grafana makes of `$__rate_interval` where scrapes are two seconds apart."""

WRITES = (
    "runtime: Rows that wait to be written: {{instance}}",
    "runtime: Rows lost: {{instance}}",
    "runtime: Queries that failed: failed",
    "runtime: Work that waits for a thread: {{pool}}",
)
"""What is told while the database cannot be written."""

QUIET = {
    "runtime: Garbage: uncollectable": "objects that Python cannot collect are a fault of an extension",
    "runtime: Series that found no room: {{family}}": "it takes thousands of series",
    "runtime: Collectors that failed: {{collector}}": "a collector only fails by a fault of its own",
    "runtime: Waits for a connection: closed: {{reason}}": "an SQLite connection closes at the end, or with its disk",
    "inference: Input tokens from the cache: {{model}}": "the simulated nodes keep no prompts",
}
"""What nothing of this run moves, and why. That these queries tell it where it comes is held with made-up series."""


class Told:
    """What the queries have given since some moment.

    Args:
        prometheus: who is asked.
    """

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._started = time.time()
        self.empty = {str(query) for query in QUERIES}
        self.silent = set(self.empty)

    def wait_for(self, names: Iterable[str]) -> None:
        """Waits until each of these queries has given something other than zero, as long as that may take."""
        wanted = set(names)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.silent & wanted and time.monotonic() < deadline:
            self.ask(self.silent & wanted)
            time.sleep(0.2)

    def ask(self, names: AbstractSet[str]) -> None:
        """Asks these queries, about all of the time that has passed."""
        for query in QUERIES:
            if str(query) in names:
                values = list(self._values(query))
                if values:
                    self.empty.discard(str(query))
                if any(value and math.isfinite(value) for value in values):
                    self.silent.discard(str(query))

    def _values(self, query: Asked) -> Iterator[float]:
        now = time.time()
        promql = query.promql(RATE_INTERVAL, f"{math.ceil(now - self._started)}s")
        if query.instant:
            for result in self._prometheus.instant(promql):
                yield float(result["value"][1])
        else:
            for result in self._prometheus.range(promql, self._started, now, 1):
                yield from (float(value) for _, value in result["values"])


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
            told.wait_for(told.silent - QUIET.keys())
        told.ask(told.silent)
    return told


def test_every_query_has_a_result(told: Told) -> None:
    """No query of a panel comes back empty: its metrics are exposed, its operands match, its labels are there."""
    assert sorted(told.empty) == []


def test_every_query_tells_what_happened(told: Told) -> None:
    """Each query was something other than zero while its cause lasted; what had none in this run is listed above."""
    assert told.silent == QUIET.keys()


def test_what_was_quiet_would_be_told(program: Callable[..., str], tmp_path: Path) -> None:
    """The listed queries follow their metrics: of series that grow by one a second they give one a second.

    The series are made up, of all labels that the catalogue has for them.
    """
    known = sample_labels(CATALOGUE)
    tests: list[dict[str, Any]] = []
    for query in QUERIES:
        if str(query) in QUIET:
            series = {f"{one.name}{_labels(known[one.name or ''], one)}" for one in selectors(query.promql())}
            growing = [{"series": one, "values": "0+1x60"} for one in sorted(series)]
            told = dict.fromkeys(re.findall(r"\{\{(\w+)\}\}", query.legend), "x")
            # A rate of what grows by one a second is one, and so is a share of two that grow alike.
            expected: dict[str, Any] = {"expr": query.promql(RATE_INTERVAL), "eval_time": "30s"}
            expected["exp_samples"] = [{"labels": _written(told), "value": 1}]
            tests.append({"interval": "1s", "input_series": growing, "promql_expr_test": [expected]})
    assert len(tests) == len(QUIET)
    file = tmp_path / "quiet.yml"
    file.write_text(json.dumps({"evaluation_interval": "1s", "tests": tests}), encoding="utf-8")
    command = [program("promtool", "prometheus"), "test", "rules", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _labels(names: Iterable[str], selector: promql.VectorSelector) -> str:
    """A value for each label, so that the selector takes the series."""
    wanted = {one.name: one.value for one in selector.matchers.matchers if one.op == promql.MatchOp.Equal}
    return _written({name: wanted.get(name, "x") for name in names})


def _written(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
