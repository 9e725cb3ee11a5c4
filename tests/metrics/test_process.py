"""The process, its interpreter and its garbage collector."""

from __future__ import annotations

import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from ollamamax.metrics import process
from ollamamax.metrics.catalogue import PROCESS_OPEN_FDS, Metric
from ollamamax.metrics.process import GC_METRICS, PLATFORM_METRICS, PROCESS_METRICS, restated


def values(families: Callable[[], Iterable[Family]]) -> dict[str, float]:
    """The samples by name; of several the last."""
    return {sample.name: sample.value for family in families() for sample in family.samples}


def test_the_process_is_this_one() -> None:
    """Time, memory and descriptors are those that the system tells of this process."""
    seen = values(process.process())
    assert set(seen) == {metric.name for metric in PROCESS_METRICS}
    assert 0 < time.time() - seen["process_start_time_seconds"] < 24 * 3600
    assert 1e6 < seen["process_resident_memory_bytes"] < seen["process_virtual_memory_bytes"]
    assert seen["process_cpu_seconds_total"] > 0
    assert 3 <= seen["process_open_fds"] <= seen["process_max_fds"]


def test_descriptors_are_counted_at_every_scrape() -> None:
    """The same families, asked again, show what was opened meanwhile."""
    read = process.process()
    before = values(read)["process_open_fds"]
    opened = os.pipe()
    assert values(read)["process_open_fds"] == before + 2
    for descriptor in opened:
        os.close(descriptor)


def test_a_system_without_proc_shows_less(tmp_path: Path) -> None:
    """Where nothing is told of processes, nothing is shown, and nothing fails."""
    assert list(process.process(str(tmp_path))()) == []


def test_the_garbage_collector_by_generation() -> None:
    """Each collection of the oldest generation is one more, and the three generations are told apart."""
    read = process.garbage()

    def collections() -> dict[str, float]:
        samples = [sample for family in read() for sample in family.samples]
        return {s.labels["generation"]: s.value for s in samples if s.name == "python_gc_collections_total"}

    before = collections()
    gc.collect()
    assert before.keys() == {"0", "1", "2"}
    assert collections()["2"] == before["2"] + 1


def test_the_interpreter_has_its_version() -> None:
    """`python_info` tells what the interpreter tells of itself."""
    ((sample,),) = (family.samples for family in process.platform()())
    major, minor, patch = platform.python_version_tuple()
    assert sample.labels == {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "major": major,
        "minor": minor,
        "patchlevel": patch,
    }
    assert sample.value == 1
    assert sys.version.startswith(sample.labels["version"])


def test_the_stock_collectors_have_no_more_to_tell() -> None:
    """What prometheus-client's collectors give is what is declared: nothing of it is lost on the way."""
    stock: list[tuple[Collector, tuple[Metric, ...]]] = [
        (ProcessCollector(registry=None), PROCESS_METRICS),
        (GCCollector(CollectorRegistry()), GC_METRICS),
        (PlatformCollector(registry=None), PLATFORM_METRICS),
    ]
    for collector, metrics in stock:
        given = {sample.name for family in collector.collect() for sample in family.samples}
        assert given == {metric.name for metric in metrics}


def test_what_is_not_declared_stays_out() -> None:
    """A collector that has learnt something new shows what is declared, under our help."""

    class Newer(Collector):
        def collect(self) -> Iterable[Family]:
            return [
                GaugeMetricFamily("process_open_fds", "Theirs.", value=3),
                GaugeMetricFamily("process_dreams", "Theirs.", value=1),
            ]

    (family,) = restated([PROCESS_OPEN_FDS], Newer())()
    assert (family.name, family.documentation) == ("process_open_fds", PROCESS_OPEN_FDS.help)
    assert [sample.value for sample in family.samples] == [3]
