"""Collectors around state that belongs to the reactor's thread.

A scrape is rendered on another thread, and whoever walks a live set from there fails now and then ("Set changed size
during iteration"). So it goes in two steps: `freeze` copies the state on the reactor's thread, and what it returns is
rendered on the other one, inside `rendering`. A collector that fails loses its own samples, no others, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import attrs
from prometheus_client.registry import Collector
from twisted.logger import Logger

from ollamamax.metrics.families import CompactFamily, Families, Family, empty, series_of

if TYPE_CHECKING:
    from ollamamax.metrics.catalogue import Metric

Snapshot = Mapping["SafeCollector", Families]
"""The state of all collectors of a registry at one moment."""


@attrs.define
class Rendering:
    """One rendering of a registry.

    Attributes:
        snapshot: what is rendered.
        whole: whether all families are, not only some that were asked for.
        series: how many series each family has, of those that are rendered so far.
    """

    snapshot: Snapshot
    whole: bool = True
    series: dict[str, int] = attrs.field(factory=dict)


_rendering: ContextVar[Rendering | None] = ContextVar("ollamamax_rendering", default=None)


@contextmanager
def rendering(snapshot: Snapshot, *, whole: bool = True) -> Iterator[None]:
    """Makes the collectors of this thread give what was copied into the snapshot, until the end of the block.

    Args:
        snapshot: what they give.
        whole: whether all of them will be asked.
    """
    token = _rendering.set(Rendering(snapshot, whole))
    try:
        yield
    finally:
        _rendering.reset(token)


def current_rendering() -> Rendering | None:
    """The rendering that this thread is in."""
    return _rendering.get()


class SafeCollector(Collector):
    """A collector that fails alone.

    It also leaves out the `_created` samples of stock metrics: one more series per child, which no query here uses.
    prometheus-client's own switch for that (`disable_created_metrics`) is global, and other registries of the process
    are not ours to change.

    Args:
        name: how the collector is called when it fails.
        metrics: what it may give; a registry finds families by name with it (`name[]`), and nothing else passes.
        snapshot: copies the state, on the reactor's thread, and gives a callable that makes families of the copy.
        failed: told the collector's name once per failure, on whichever thread it happened.
    """

    _log = Logger()

    def __init__(
        self, name: str, metrics: Sequence[Metric], snapshot: Callable[[], Families], failed: Callable[[str], object]
    ) -> None:
        self.name = name
        self.metrics = tuple(metrics)
        self._snapshot = snapshot
        self._failed = failed
        self._names = {empty(metric).name: metric.name for metric in metrics}

    def freeze(self) -> Families:
        """Copies the state as it is now; never raises."""
        try:
            return self._snapshot()
        except Exception:  # noqa: BLE001 - a defect in one collector must not cost the others their samples
            self._report()
            return _nothing

    def describe(self) -> Iterable[Family]:
        """The families without their samples."""
        return [empty(metric) for metric in self.metrics]

    def collect(self) -> Iterable[Family]:
        """The families of the snapshot being rendered; outside `rendering`, of the state as it is now."""
        current = current_rendering()
        families = self.freeze() if current is None else current.snapshot.get(self, _nothing)
        try:
            collected = [_checked(family, self._names) for family in families()]
        except Exception:  # noqa: BLE001 - a defect in one collector must not cost the others their samples
            self._report()
            return ()
        if current is not None:
            current.series.update((self._names[family.name], series_of(family)) for family in collected)
        return collected

    def _report(self) -> None:
        self._failed(self.name)
        self._log.failure("the collector {collector} failed, its metrics are missing", collector=self.name)


def _checked(family: Family, names: Container[str]) -> Family:
    """Drops `_created` samples, and raises for what would fail later in the rendering of the whole registry."""
    if family.name not in names:
        raise ValueError(f"{family.name} is not declared for this collector")
    if isinstance(family, CompactFamily):
        family.check()
        return family
    created = f"{family.name}_created"
    family.samples = [sample for sample in family.samples if sample.name != created]
    for sample in family.samples:
        if type(sample.value) is not float:
            float(sample.value)
        for text in sample.labels.values():
            if not isinstance(text, str):
                raise TypeError(f"a label of {family.name} is no text")
    return family


def _nothing() -> Iterable[Family]:
    return ()
