"""From a declaration of the catalogue to prometheus-client's metric families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family

if TYPE_CHECKING:
    from ollamamax.metrics.catalogue import Metric

__all__ = ["Families", "Family", "empty", "histogram", "value", "values"]

Families = Callable[[], Iterable[Family]]
"""Makes the families of a state that was copied before; may be called on any thread."""


def empty(metric: Metric) -> Family:
    """A family without samples, as a registry wants it from `describe`."""
    return values(metric, ()) if metric.kind != "histogram" else histogram(metric, ())


def values(metric: Metric, samples: Iterable[tuple[Sequence[str], float]]) -> Family:
    """A counter, gauge or info.

    Args:
        metric: the declaration.
        samples: label values in the declared order, and the value; the value of an info is always 1.
    """
    if metric.kind == "info":
        info = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help, labels=metric.labels)
        for labels, _ in samples:
            info.add_metric(labels, {})
        return info
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def value(metric: Metric, number: float) -> Family:
    """A counter or gauge without labels."""
    return values(metric, [((), number)])


def histogram(metric: Metric, samples: Iterable[tuple[Sequence[str], Sequence[float], float]]) -> Family:
    """A histogram.

    Args:
        metric: the declaration.
        samples: label values, the count of each bucket by itself (one more than the declared bounds, for +Inf; all as
            floats, as the stock client shows them), and the sum of what was observed.
    """
    bounds = [*map(repr, metric.buckets), "+Inf"]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, counts, total in samples:
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family
