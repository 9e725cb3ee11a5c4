"""The process, its interpreter and its garbage collector: prometheus-client's collectors on a registry of ours.

Their samples are told again under our declarations, so that each metric is declared once, in the catalogue, and a later
release of prometheus-client adds nothing unseen. They read `/proc`, which is why they are asked on the thread that
renders; on a system without it the `process_*` metrics are missing, no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from ollamamax.metrics.catalogue import (
    PROCESS_CPU_SECONDS,
    PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
    PROCESS_VIRTUAL_MEMORY,
    PYTHON_GC_COLLECTED,
    PYTHON_GC_COLLECTIONS,
    PYTHON_GC_UNCOLLECTABLE,
    PYTHON_INFO,
)
from ollamamax.metrics.families import Families, Family, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.registry import Collector

    from ollamamax.metrics.catalogue import Metric

PROCESS_METRICS = (
    PROCESS_VIRTUAL_MEMORY,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
    PROCESS_CPU_SECONDS,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
)
GC_METRICS = (PYTHON_GC_COLLECTED, PYTHON_GC_UNCOLLECTABLE, PYTHON_GC_COLLECTIONS)
PLATFORM_METRICS = (PYTHON_INFO,)


def process(proc: str = "/proc") -> Families:
    """The families of this process.

    Args:
        proc: where Linux tells of processes.
    """
    return restated(PROCESS_METRICS, ProcessCollector(proc=proc, registry=None))


def garbage() -> Families:
    """The families of the garbage collector."""
    # It has no way of being in no registry.
    return restated(GC_METRICS, GCCollector(CollectorRegistry()))


def platform() -> Families:
    """The family that tells the interpreter's version."""
    return restated(PLATFORM_METRICS, PlatformCollector(registry=None))


def restated(metrics: Sequence[Metric], stock: Collector) -> Families:
    """What a stock collector gives, as these metrics; what it does not give is left out, and nothing else is let in."""

    def families() -> Iterable[Family]:
        samples = [sample for family in stock.collect() for sample in family.samples]
        for metric in metrics:
            found = [sample for sample in samples if sample.name == metric.name]
            if found:
                yield values(
                    metric, ((tuple(sample.labels[label] for label in metric.labels), sample.value) for sample in found)
                )

    return families
