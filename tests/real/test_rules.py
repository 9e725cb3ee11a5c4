"""The rules of deploy/prometheus on a real Prometheus: what clients do alarms nobody, a node's death and an outage do.

A minute of the rules is two seconds here (`deploy.compressed`); the servers and what they measure are as ever.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from deploy.compressed import compressed
from deploy.rule_files import RuleFile, groups
from real.processes import Process, Processes
from real.prometheus import Prometheus

FACTOR = 30
EVALUATION_INTERVAL = "15s"  # before it is compressed: what deploy/prometheus/prometheus.yml has
SCRAPE_INTERVAL = "3s"  # a scrape may take as long, on a machine that is busy
PATIENT = {
    "OLLAMAMAX_PROBE_INTERVAL_SECONDS": "0.5",
    "OLLAMAMAX_PROBE_TIMEOUT_SECONDS": "30",
    "OLLAMAMAX_TIMEOUTS_CONNECT_SECONDS": "30",
}
"""Probes soon after one another, and patience with a busy machine: a node that is gone refuses at once."""
ABORTS = 500
ANSWERED = 30
MACHINE = frozenset({("ReactorBlocked", "ticket"), ("ScrapeSlow", "ticket"), ("GatewayDown", "page")})
"""What fires where the machine of the test is slow: GatewayDown is eight scrapes of 10 s otherwise, here two of 3 s."""
PATIENCE_SECONDS = 100.0
ENDLESS = {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 9999"}], "options": {"num_predict": 9999}}
SHORT = {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 3"}], "stream": False}


@pytest.fixture(scope="module")
def simulators(shared_processes: Processes) -> list[Process]:
    """Two simulated nodes with the same models."""
    options = ("--tokens-per-second=10", "--parallel=64", "--load-seconds=0", "--prompt-seconds=0.02")
    return [shared_processes.simulator(*options) for _ in range(2)]


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, simulators: list[Process]) -> Process:
    """A gateway before both of them, which notices within moments when one is gone."""
    nodes = (f"--node=node{number}={simulator.url}" for number, simulator in enumerate(simulators))
    return shared_processes.gateway(*nodes, environ=PATIENT)


@pytest.fixture(scope="module")
def prometheus(
    gateway: Process, program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the gateway and evaluates all rules in compressed time."""
    folder = tmp_path_factory.mktemp("rules")
    rules = folder / "rules.yml"
    # JSON is YAML.
    timed = [msgspec.structs.replace(group, interval=group.interval or EVALUATION_INTERVAL) for group in groups()]
    rules.write_bytes(msgspec.json.encode(RuleFile(compressed(timed, FACTOR))))
    target = gateway.url.removeprefix("http://")
    server = Prometheus(program("prometheus"), folder / "prometheus", [target], SCRAPE_INTERVAL, [rules])
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def fired(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Every alert that has fired since the start, with its severity, but for those on the machine."""
    results = prometheus.instant('count by (alertname, severity) (count_over_time(ALERTS{alertstate="firing"}[1h]))')
    return {(result["metric"]["alertname"], result["metric"]["severity"]) for result in results} - MACHINE


def number(prometheus: Prometheus, query: str) -> float:
    """The one value of a query; 0 where there is none."""
    return sum(float(result["value"][1]) for result in prometheus.instant(query))


def leave(gateway: Process, _: int) -> None:
    """Asks for an endless stream, and goes when it has begun."""
    address = urlsplit(gateway.url)
    assert address.hostname is not None
    body = json.dumps(ENDLESS).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((address.hostname, address.port or 80), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def ask(gateway: Process) -> int:
    """The status of a short chat."""
    return httpx.post(f"{gateway.url}/api/chat", json=SHORT, timeout=PATIENCE_SECONDS).status_code


def wait_until(prometheus: Prometheus, condition: Callable[[], object], meanwhile: Callable[[], object]) -> None:
    """Waits for what Prometheus is bound to find; `meanwhile` goes on happening."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, (fired(prometheus), prometheus.ask("/api/v1/alerts"))
        meanwhile()
        time.sleep(0.1)


def test_who_leaves_alarms_nobody_a_node_that_dies_is_reported_and_an_outage_pages(
    gateway: Process, simulators: list[Process], prometheus: Prometheus
) -> None:
    """Clients that leave fire nothing, a dead node fires NodeDown alone, the end of the last one pages.

    500 leave their streams, as fast as they can; by the time at which a node that was killed afterwards is reported,
    nothing else has fired. When the other one is killed too, it pages: no node is up, and requests fail.
    """
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: ask(gateway), range(ANSWERED))) == {200}
        list(threads.map(partial(leave, gateway), range(ABORTS)))
    gone = "sum(ollamamax_http_client_disconnects_total)"
    wait_until(prometheus, lambda: number(prometheus, gone) == ABORTS, lambda: None)

    simulators[0].signal(signal.SIGKILL)
    wait_until(prometheus, lambda: fired(prometheus), lambda: ask(gateway))
    assert fired(prometheus) == {("NodeDown", "ticket")}
    (down,) = prometheus.instant('ALERTS{alertname="NodeDown", alertstate="firing"}')
    assert down["metric"]["node"] == "node0"

    simulators[1].signal(signal.SIGKILL)
    pages = {("NoHealthyNode", "page"), ("ErrorBudgetBurn1h", "page")}
    wait_until(prometheus, lambda: fired(prometheus) >= pages, lambda: ask(gateway))
