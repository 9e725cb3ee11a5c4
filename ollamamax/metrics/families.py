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
from prometheus_client.samples import Exemplar, Sample

if TYPE_CHECKING:
    from ollamamax.metrics.catalogue import Metric

__all__ = [
    "CompactHistogram",
    "Families",
    "Family",
    "bounds_of",
    "empty",
    "histogram",
    "series_of",
    "summary",
    "value",
    "values",
]

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


Row = tuple[tuple[str, ...], Sequence[float], float]
"""Of a histogram: label values, the count of each bucket by itself, the sum of what was observed."""

Exemplars = Mapping[tuple[tuple[str, ...], int], Exemplar]
"""Of a histogram: by label values and the number of the bucket."""

_NO_EXEMPLARS: Exemplars = MappingProxyType({})


class CompactHistogram(Family):
    """A histogram as rows of numbers.

    A sample per bucket costs more to make than to write, and a server has thousands of them. So they are made only for
    whoever asks for them, and `text` writes the rows.

    Args:
        metric: the declaration.
        rows: the series.
        exemplars: a request of a bucket; only OpenMetrics shows them.

    Attributes:
        metric: the declaration.
        rows: the series.
        exemplars: a request of a bucket.
    """

    def __init__(self, metric: Metric, rows: Iterable[Row], exemplars: Exemplars = _NO_EXEMPLARS) -> None:
        self.metric = metric
        self.rows = list(rows)
        self.exemplars = exemplars
        super().__init__(metric.name, metric.help, "histogram")

    @property
    def samples(self) -> list[Sample]:
        """What the stock client would hold."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.metric.labels)
        bounds = bounds_of(self.metric)
        for labels, counts, total in self.rows:
            places = enumerate(zip(bounds, accumulate(counts), strict=True))
            buckets = [(bound, count, self.exemplars.get((labels, at))) for at, (bound, count) in places]
            family.add_metric(labels, cast("list[tuple[str, float, Exemplar]]", buckets), total)
        return family.samples

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        assert not samples


def bounds_of(metric: Metric) -> list[str]:
    """The upper bounds of a histogram's buckets as text, +Inf too."""
    return [*map(repr, metric.buckets), "+Inf"]


def series_of(family: Family) -> int:
    """How many series a family has."""
    if isinstance(family, CompactHistogram):
        return len(family.rows) * (len(family.metric.buckets) + 3)
    return len(family.samples)


def histogram(metric: Metric, samples: Iterable[Row], exemplars: Exemplars = _NO_EXEMPLARS) -> Family:
    """A histogram.

    Args:
        metric: the declaration.
        samples: label values, the count of each bucket by itself (one more than the declared bounds, for +Inf; all as
            floats, as the stock client shows them), and the sum of what was observed.
        exemplars: by label values and the number of the bucket; only OpenMetrics shows them.
    """
    return CompactHistogram(metric, samples, exemplars)
