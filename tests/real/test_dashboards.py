"""Every query of the dashboards gives a value other than zero on a real Prometheus, while there is a cause for one."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from deploy.dashboard_files import QUERIES, Asked
from deploy.expressions import sample_labels, sample_names
from real.monitored import Monitored, monitored
from real.processes import Processes
from real.prometheus import Result

from ollamamax.metrics.catalogue import CATALOGUE

SECONDS = 20.0
RATE_INTERVAL = "4s"
"""What Grafana makes of `$__rate_interval` where scrapes are a second apart."""

QUIET = {
    "runtime: Garbage: uncollectable": "objects that Python cannot collect are a fault of an extension",
    "runtime: Series that found no room: {{family}}": "it takes thousands of series",
    "runtime: Collectors that failed: {{collector}}": "a collector only fails by a fault of its own",
    "runtime: Waits for a connection: closed: {{reason}}": "an SQLite connection closes at the end, or with its disk",
    "inference: Input tokens from the cache: {{model}}": "the simulated nodes keep no prompts",
}
"""What nothing of this run moves, and why. That these queries tell it where it comes is held with made-up series."""


@pytest.fixture(scope="module")
def results(
    shared_processes: Processes, program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[float]]:
    """For each query all values that it gave in a run in which all that can happen did."""
    with monitored(shared_processes, program, tmp_path_factory.mktemp("monitored")) as servers:
        started = time.time()
        servers.live(SECONDS)
        return {str(query): list(_values(_ask(servers, query, started))) for query in QUERIES}


def _ask(servers: Monitored, query: Asked, started: float) -> Sequence[Result]:
    ended = time.time()
    promql = query.promql(RATE_INTERVAL, f"{math.ceil(ended - started)}s")
    if query.instant:
        return servers.prometheus.instant(promql, time=str(ended))
    return servers.prometheus.range(promql, started, ended, 1)


def _values(results: Sequence[Result]) -> Iterator[float]:
    for result in results:
        for _, value in result["values"] if "values" in result else [result["value"]]:
            yield float(value)


def test_every_query_has_a_result(results: dict[str, list[float]]) -> None:
    """No query of a panel comes back empty: its metrics are exposed, its operands match, its labels are there."""
    assert len(results) == len(QUERIES)
    assert [query for query, values in results.items() if not values] == []


def test_every_query_tells_what_happened(results: dict[str, list[float]]) -> None:
    """Each query was something other than zero while its cause lasted; what had none in this run is listed above."""
    silent = {query for query, values in results.items() if not any(value and math.isfinite(value) for value in values)}
    assert silent == QUIET.keys()


def test_what_was_quiet_would_be_told(program: Callable[..., str], tmp_path: Path) -> None:
    """The listed queries follow their metrics: of series that grow by one a second they give one a second.

    The series are made up, of all labels that the catalogue has for them.
    """
    known = sample_labels(CATALOGUE)
    tests: list[dict[str, Any]] = []
    for query in QUERIES:
        if str(query) in QUIET:
            names = sorted(sample_names(query.expression))
            growing = [{"series": name + _selector(known[name]), "values": "0+1x60"} for name in names]
            told = _selector({label for label in known[names[0]] if f"{{{{{label}}}}}" in query.legend})
            # A rate of what grows by one a second is one, and so is a share of two that grow alike.
            expected: dict[str, Any] = {"expr": query.promql(RATE_INTERVAL), "eval_time": "30s"}
            expected["exp_samples"] = [{"labels": told, "value": 1}]
            tests.append({"interval": "1s", "input_series": growing, "promql_expr_test": [expected]})
    assert len(tests) == len(QUIET)
    file = tmp_path / "quiet.yml"
    file.write_text(json.dumps({"evaluation_interval": "1s", "tests": tests}), encoding="utf-8")
    command = [program("promtool", "prometheus"), "test", "rules", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _selector(labels: Iterable[str]) -> str:
    return "{" + ",".join(f'{label}="x"' for label in sorted(labels)) + "}"
