"""From a declaration of the catalogue to prometheus-client's metric families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.core import Metric as Family

if TYPE_CHECKING:
    from prometheus_client.core import Exemplar

    from ollamamax.metrics.catalogue import Metric

__all__ = ["Families", "Family", "empty", "histogram", "summary", "value", "values"]

Families = Callable[[], Iterable[Family]]
"""Makes the families of a state that was copied before; may be called on any thread."""


def empty(metric: Metric) -> Family:
    """A family without samples, as a registry wants it from `describe`."""
    match metric.kind:
        case "histogram":
            return histogram(metric, ())
        case "summary":
            return summary(metric, ())
        case _:
            return values(metric, ())


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


def summary(metric: Metric, samples: Iterable[tuple[Sequence[str], float, float]]) -> Family:
    """A summary.

    Args:
        metric: the declaration.
        samples: label values, how many values were observed, and their sum.
    """
    family = SummaryMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, count, total in samples:
        family.add_metric(labels, int(count), total)
    return family


def histogram(
    metric: Metric,
    samples: Iterable[tuple[tuple[str, ...], Sequence[float], float]],
    exemplars: Mapping[tuple[tuple[str, ...], int], Exemplar] = MappingProxyType({}),
) -> Family:
    """A histogram.

    Args:
        metric: the declaration.
        samples: label values, the count of each bucket by itself (one more than the declared bounds, for +Inf; all as
            floats, as the stock client shows them), and the sum of what was observed.
        exemplars: by label values and the number of the bucket; only OpenMetrics shows them.
    """
    bounds = [*map(repr, metric.buckets), "+Inf"]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, counts, total in samples:
        buckets = zip(bounds, accumulate(counts), strict=True)
        if exemplars:
            exemplified = ((bound, count, exemplars.get((labels, at))) for at, (bound, count) in enumerate(buckets))
            family.add_metric(labels, cast("list[tuple[str, float, Exemplar]]", list(exemplified)), total)
        else:
            family.add_metric(labels, list(buckets), total)
    return family
