"""The series of one family that is counted here, in compact arrays, so many of them and no more.

All numbers of a series are doubles in one array that the family's series share: a stock child of a histogram with
twenty buckets costs 5 KB, its part of the array 180 bytes. Beyond its cap a family goes on counting, with the model
(or where there is none, the node) of what is new told as `other`: sums stay true, and what was folded is counted.

Everything is called on the reactor's thread, `snapshot` too; what `snapshot` gives may be rendered on any other.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import Exemplar

from ollamamax.metrics.families import Families, Family, histogram, summary, values
from ollamamax.metrics.models import OTHER, ModelLabels
from ollamamax.metrics.overflow import Overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ollamamax.metrics.catalogue import Metric

Labels = tuple[str, ...]
"""The values of a family's labels, in the order in which they are declared."""

Asked = tuple[str, float]
"""Which request it was: its id, and when it ended, in Unix seconds."""

_FOLDED = ("model", "node")


class _Series:
    """What the kinds of families have in common: their series, each with a place in the array.

    Attributes:
        metric: the declaration.
    """

    def __init__(self, metric: Metric, width: int, most: int, overflow: Overflow) -> None:
        self.metric = metric
        self._overflow = overflow
        self._width = width
        self._most = most
        self._index: dict[Labels, int] = {}
        self._cells = array("d")
        self._model_at = metric.labels.index("model") if "model" in metric.labels else None
        self._folded_at = next((metric.labels.index(name) for name in _FOLDED if name in metric.labels), None)
        if self._folded_at is not None:
            overflow.declare(metric)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._index)

    def models(self) -> set[str]:
        """The models among the values of the labels; none of a family that tells none."""
        return set() if self._model_at is None else {labels[self._model_at] for labels in self._index}

    def forget(self, models: Collection[str]) -> None:
        """Drops the series of these models; one that comes again begins at 0."""
        if self._model_at is None:
            return
        index, self._index = self._index, {}
        cells, self._cells = self._cells, array("d")
        for labels, at in index.items():
            if labels[self._model_at] not in models:
                self._index[labels] = len(self._cells)
                self._cells.extend(cells[at : at + self._width])

    def _at(self, labels: Labels) -> tuple[Labels, int]:
        """The series of these labels, or the one that stands for it, and its place."""
        at = self._index.get(labels)
        if at is None and len(self._index) >= self._most and self._folded_at is not None:
            self._overflow.add(self.metric)
            labels = (*labels[: self._folded_at], OTHER, *labels[self._folded_at + 1 :])
            at = self._index.get(labels)
        if at is None:
            at = self._index[labels] = len(self._cells)
            self._cells.extend([0.0] * self._width)
        return labels, at


class CounterSeries(_Series):
    """The series of a counter.

    Args:
        metric: the declaration.
        most: how many series there are before folding begins.
        overflow: counts what is folded.
    """

    def __init__(self, metric: Metric, most: int, overflow: Overflow) -> None:
        super().__init__(metric, 1, most, overflow)

    def begin(self, *labels: str) -> None:
        """Makes a series that begins at 0; none where it would be folded."""
        if len(self._index) < self._most:
            self._at(labels)

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Counts."""
        self._cells[self._at(labels)[1]] += amount

    def snapshot(self) -> Callable[[], Family]:
        """Copies the numbers; gives what makes a family of them."""
        return partial(_counter, self.metric, tuple(self._index), self._cells[:])


class SummarySeries(_Series):
    """The series of a summary: how many were observed, and their sum.

    Args:
        metric: the declaration.
        most: how many series there are before folding begins.
        overflow: counts what is folded.
    """

    def __init__(self, metric: Metric, most: int, overflow: Overflow) -> None:
        super().__init__(metric, 2, most, overflow)

    def observe(self, *labels: str, value: float) -> None:
        """Records one value."""
        at = self._at(labels)[1]
        self._cells[at] += 1.0
        self._cells[at + 1] += value

    def snapshot(self) -> Callable[[], Family]:
        """Copies the numbers; gives what makes a family of them."""
        return partial(_summary, self.metric, tuple(self._index), self._cells[:])


class HistogramSeries(_Series):
    """The series of a histogram, each bucket with the last request that fell into it, where requests are told.

    Args:
        metric: the declaration.
        most: how many series there are before folding begins.
        overflow: counts what is folded.
    """

    def __init__(self, metric: Metric, most: int, overflow: Overflow) -> None:
        self._sum = len(metric.buckets) + 1
        super().__init__(metric, self._sum + 1, most, overflow)
        self._last: dict[tuple[Labels, int], tuple[Asked, float]] = {}

    def observe(self, *labels: str, value: float, asked: Asked | None = None) -> None:
        """Records one value, maybe with the request that it was observed of."""
        labels, at = self._at(labels)
        bucket = bisect_left(self.metric.buckets, value)
        self._cells[at + bucket] += 1.0
        self._cells[at + self._sum] += value
        if asked is not None:
            self._last[labels, bucket] = asked, value

    def forget(self, models: Collection[str]) -> None:
        """See `_Series.forget`."""
        super().forget(models)
        self._last = {key: one for key, one in self._last.items() if key[0] in self._index}

    def snapshot(self) -> Callable[[], Family]:
        """Copies the numbers; gives what makes a family of them."""
        return partial(_histogram, self.metric, tuple(self._index), self._cells[:], self._sum, self._last.copy())


class Series(Protocol):
    """The series of one family of whatever kind."""

    metric: Metric

    def models(self) -> set[str]:
        """The models among the values of the labels."""

    def forget(self, models: Collection[str]) -> None:
        """Drops the series of these models."""

    def snapshot(self) -> Callable[[], Family]:
        """Copies the numbers; gives what makes a family of them."""


class ModelFamilies:
    """Families of series with models among their labels, seen as one thing.

    Args:
        labels: which models' names are labels.
        families: the series of each family.

    Attributes:
        labels: which models' names are labels.
    """

    def __init__(self, labels: ModelLabels, families: Sequence[Series]) -> None:
        self.labels = labels
        self._families = tuple(families)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The declarations of all of them."""
        return tuple(series.metric for series in self._families)

    def forget_models(self) -> None:
        """Drops the series of models whose names are labels no more, which makes room for others."""
        models = set[str]().union(*(series.models() for series in self._families))
        gone = {model for model in models if not self.labels.is_label(model)}
        if gone:
            for series in self._families:
                series.forget(gone)

    def snapshot(self) -> Families:
        """Copies the state as it is now."""
        return partial(_made, [series.snapshot() for series in self._families])


def _made(snapshots: list[Callable[[], Family]]) -> Iterable[Family]:
    return [make() for make in snapshots]


def _counter(metric: Metric, keys: tuple[Labels, ...], cells: array[float]) -> Family:
    return values(metric, zip(keys, cells, strict=True))


def _summary(metric: Metric, keys: tuple[Labels, ...], cells: array[float]) -> Family:
    return summary(metric, ((key, cells[2 * at], cells[2 * at + 1]) for at, key in enumerate(keys)))


def _histogram(
    metric: Metric,
    keys: tuple[Labels, ...],
    cells: array[float],
    sum_at: int,
    last: Mapping[tuple[Labels, int], tuple[Asked, float]],
) -> Family:
    starts = range(0, len(cells), sum_at + 1)
    samples = ((key, cells[at : at + sum_at], cells[at + sum_at]) for key, at in zip(keys, starts, strict=True))
    # Its labels may be 128 characters together (OpenMetrics 1.0.0, "Exemplars"); an id of the gateway's own has 36.
    exemplars = {key: Exemplar({"request_id": name}, value, at) for key, ((name, at), value) in last.items()}
    return histogram(metric, samples, exemplars)
