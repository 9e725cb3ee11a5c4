"""From a declaration of the catalogue to prometheus-client's metric families."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    "CompactFamily",
    "Exemplars",
    "Families",
    "Family",
    "Histogram",
    "Summary",
    "Values",
    "bounds_of",
    "empty",
    "histogram",
    "series_of",
    "summary",
    "value",
    "values",
]

_SUFFIXES = {"counter": "_total", "info": "_info"}
"""What a family's samples have behind its name."""

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


Labels = tuple[str, ...]
"""The values of a family's labels, in the order in which they are declared."""

ValueRow = tuple[Sequence[str], float]
"""Of a counter, gauge or info: label values, the value."""

SummaryRow = tuple[Sequence[str], float, float]
"""Of a summary: label values, how many values were observed, their sum."""

HistogramRow = tuple[Labels, Sequence[float], float]
"""Of a histogram: label values, the count of each bucket by itself, the sum of what was observed."""

Exemplars = Mapping[tuple[Labels, int], Exemplar]
"""Of a histogram: by label values and the number of the bucket."""

_NO_EXEMPLARS: Exemplars = MappingProxyType({})


class CompactFamily(Family, ABC):
    """A family as rows of numbers.

    Samples cost more to make than to write, and a server has thousands of them. So they are made only for whoever asks
    for them, and `text` writes the rows.

    Args:
        metric: the declaration.

    Attributes:
        metric: the declaration.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        name = metric.name.removesuffix(_SUFFIXES.get(metric.kind, ""))
        super().__init__(name, metric.help, metric.kind)

    @property
    def samples(self) -> list[Sample]:
        """What the stock client would hold."""
        return self._stock().samples

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        assert not samples

    @abstractmethod
    def __len__(self) -> int:
        """How many series there are."""

    @abstractmethod
    def check(self) -> None:
        """Raises for what could not be written: a label that is no text, a number that is none."""

    @abstractmethod
    def _stock(self) -> Family:
        """The stock client's family of the same rows."""

    def _check_row(self, labels: Sequence[str], *numbers: float) -> None:
        for text in labels:
            if not isinstance(text, str):
                raise TypeError(f"a label of {self.metric.name} is no text")
        for number in numbers:
            if type(number) is not float:
                float(number)


class Values(CompactFamily):
    """A counter, gauge or info.

    Args:
        metric: the declaration.
        rows: the series.

    Attributes:
        rows: the series.
    """

    def __init__(self, metric: Metric, rows: Iterable[ValueRow]) -> None:
        self.rows = list(rows)
        super().__init__(metric)

    def __len__(self) -> int:
        return len(self.rows)

    def check(self) -> None:
        for labels, number in self.rows:
            self._check_row(labels, number)

    def _stock(self) -> Family:
        metric = self.metric
        if metric.kind == "info":
            info = InfoMetricFamily(self.name, metric.help, labels=metric.labels)
            for labels, _ in self.rows:
                info.add_metric(labels, {})
            return info
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=metric.labels)
        for labels, number in self.rows:
            family.add_metric(labels, number)
        return family


class Summary(CompactFamily):
    """A summary without quantiles.

    Args:
        metric: the declaration.
        rows: the series.

    Attributes:
        rows: the series.
    """

    def __init__(self, metric: Metric, rows: Iterable[SummaryRow]) -> None:
        self.rows = list(rows)
        super().__init__(metric)

    def __len__(self) -> int:
        return 2 * len(self.rows)

    def check(self) -> None:
        for labels, count, total in self.rows:
            self._check_row(labels, count, total)

    def _stock(self) -> Family:
        family = SummaryMetricFamily(self.name, self.metric.help, labels=self.metric.labels)
        for labels, count, total in self.rows:
            family.add_metric(labels, int(count), total)
        return family


class Histogram(CompactFamily):
    """A histogram.

    Args:
        metric: the declaration.
        rows: the series.
        exemplars: a request of a bucket; only OpenMetrics shows them.

    Attributes:
        rows: the series.
        exemplars: a request of a bucket.
    """

    def __init__(self, metric: Metric, rows: Iterable[HistogramRow], exemplars: Exemplars = _NO_EXEMPLARS) -> None:
        self.rows = list(rows)
        self.exemplars = exemplars
        super().__init__(metric)

    def __len__(self) -> int:
        return len(self.rows) * (len(self.metric.buckets) + 3)

    def check(self) -> None:
        for labels, counts, total in self.rows:
            self._check_row(labels, sum(counts), total)

    def _stock(self) -> Family:
        family = HistogramMetricFamily(self.name, self.metric.help, labels=self.metric.labels)
        bounds = bounds_of(self.metric)
        for labels, counts, total in self.rows:
            places = enumerate(zip(bounds, accumulate(counts), strict=True))
            buckets = [(bound, count, self.exemplars.get((labels, at))) for at, (bound, count) in places]
            family.add_metric(labels, cast("list[tuple[str, float, Exemplar]]", buckets), total)
        return family


def values(metric: Metric, samples: Iterable[ValueRow]) -> Family:
    """A counter, gauge or info.

    Args:
        metric: the declaration.
        samples: label values in the declared order, and the value; the value of an info is always 1.
    """
    return Values(metric, samples)


def value(metric: Metric, number: float) -> Family:
    """A counter or gauge without labels."""
    return Values(metric, [((), number)])


def summary(metric: Metric, samples: Iterable[SummaryRow]) -> Family:
    """A summary.

    Args:
        metric: the declaration.
        samples: label values, how many values were observed, and their sum.
    """
    return Summary(metric, samples)


def bounds_of(metric: Metric) -> list[str]:
    """The upper bounds of a histogram's buckets as text, +Inf too."""
    return [*map(repr, metric.buckets), "+Inf"]


def series_of(family: Family) -> int:
    """How many series a family has."""
    return len(family) if isinstance(family, CompactFamily) else len(family.samples)


def histogram(metric: Metric, samples: Iterable[HistogramRow], exemplars: Exemplars = _NO_EXEMPLARS) -> Family:
    """A histogram.

    Args:
        metric: the declaration.
        samples: label values, the count of each bucket by itself (one more than the declared bounds, for +Inf; all as
            floats, as the stock client shows them), and the sum of what was observed.
        exemplars: by label values and the number of the bucket; only OpenMetrics shows them.
    """
    return Histogram(metric, samples, exemplars)
