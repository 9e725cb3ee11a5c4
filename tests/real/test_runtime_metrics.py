"""A running server tells of its process, its event loop and its threads, on either reactor."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import attrs
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from real.processes import Process, Processes

PATIENCE_SECONDS = 20.0
STOPPED_SECONDS = 0.6
LATE = "0.25"
"""A bucket's bound that a loop on time stays below, and one that stood still for so long does not."""
DURATION = "ollamamax_reactor_tick_duration_seconds"


@attrs.frozen
class Scrape:
    """One scrape of a server."""

    samples: dict[tuple[str, tuple[str, ...]], float]

    @classmethod
    def of(cls, server: Process) -> Scrape:
        """Scrapes it."""
        text = httpx.get(f"{server.url}/metrics", timeout=PATIENCE_SECONDS).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return cls({(s.name, tuple(s.labels.values())): s.value for s in samples})

    def value(self, name: str, *labels: str) -> float:
        """A sample, by the values of its labels in the order of their names."""
        return self.samples[name, labels]

    @property
    def late(self) -> float:
        """How often the loop was late by more than `LATE`."""
        return self.value(f"{DURATION}_bucket", "+Inf") - self.value(f"{DURATION}_bucket", LATE)


@pytest.fixture(scope="module", params=["default", "asyncio"])
def server(request: pytest.FixtureRequest, shared_processes: Processes) -> Process:
    """A gateway whose node is not there."""
    return shared_processes.gateway("--node=absent=http://127.0.0.1:9", reactor=request.param)


def test_a_loop_that_stood_still_is_seen(server: Process) -> None:
    """A process that is stopped for a while was late once, by as long; its last tick is younger than its going on."""
    before = Scrape.of(server)
    server.signal(signal.SIGSTOP)
    time.sleep(STOPPED_SECONDS)
    resumed = time.time()
    server.signal(signal.SIGCONT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        after = Scrape.of(server)
        if after.late > before.late and after.value("ollamamax_reactor_last_tick_timestamp_seconds") >= resumed:
            break
        assert time.monotonic() < deadline, after
        time.sleep(0.02)
    grown = after.value(f"{DURATION}_sum") - before.value(f"{DURATION}_sum")
    assert grown >= STOPPED_SECONDS - 0.15


def test_the_process_is_the_server(server: Process) -> None:
    """Descriptors, memory, CPU and start are those that the system tells of that process."""
    outside = Path(f"/proc/{server.pid}")
    scrape = Scrape.of(server)
    assert abs(scrape.value("process_open_fds") - len(list((outside / "fd").iterdir()))) <= 3
    limit = next(line for line in (outside / "limits").read_text().splitlines() if line.startswith("Max open files"))
    assert scrape.value("process_max_fds") == int(limit.split()[3])
    assert abs(scrape.value("process_resident_memory_bytes") - server.resident_bytes()) < 8e6
    assert scrape.value("process_virtual_memory_bytes") > scrape.value("process_resident_memory_bytes")
    assert scrape.value("process_cpu_seconds_total") > 0.1
    assert 0 < time.time() - scrape.value("process_start_time_seconds") < 600
    assert scrape.value("python_gc_collections_total", "0") > 0
    assert [value for (name, _), value in scrape.samples.items() if name == "python_info"] == [1]


def test_every_pool_of_threads_is_counted(server: Process) -> None:
    """The server's four pools are there; of the writer's, one thread waits for work: the store has been written to."""
    scrape = Scrape.of(server)
    pools = {labels[0] for name, labels in scrape.samples if name == "ollamamax_threadpool_queued"}
    assert pools == {"reactor", "store-writer", "store-reader", "exposition"}
    assert scrape.value("ollamamax_threadpool_threads", "store-reader", "busy") == 0
    threads = [value for (name, labels), value in scrape.samples.items() if name == "ollamamax_threadpool_threads"]
    assert 1 <= sum(threads) <= len(list(Path(f"/proc/{server.pid}/task").iterdir()))
