"""What found no room in a family: one count per family, for all who bound the series of theirs.

Everything is called on the reactor's thread; what `snapshot` gives may be rendered on any other.
"""

from __future__ import annotations

from ollamamax.metrics.catalogue import SERIES_OVERFLOWED, Metric
from ollamamax.metrics.families import Families, values

OVERFLOW_METRICS = (SERIES_OVERFLOWED,)


class Overflow:
    """Counts observations that were folded together, or left out, because their family was full."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def declare(self, *metrics: Metric) -> None:
        """Shows families from 0 on; whoever bounds them calls it once, so that a first overflow is an increase."""
        for metric in metrics:
            self._counts.setdefault(metric.name, 0)

    def add(self, *metrics: Metric, count: int = 1) -> None:
        """Counts for each of some families.

        Args:
            metrics: the families that were full.
            count: how many observations found no room in each.
        """
        for metric in metrics:
            self._counts[metric.name] = self._counts.get(metric.name, 0) + count

    def snapshot(self) -> Families:
        """Copies the counts as they are now."""
        counts = tuple(self._counts.items())
        return lambda: [values(SERIES_OVERFLOWED, (((family,), count) for family, count in counts))]
