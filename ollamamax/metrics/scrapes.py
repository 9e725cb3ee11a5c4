"""What is counted of the scrapes themselves: how many there were, how long they took, how much they brought."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import partial

from ollamamax.metrics.catalogue import SCRAPE_DURATION, SCRAPES, SERIES
from ollamamax.metrics.collectors import current_rendering
from ollamamax.metrics.families import Families, Family, histogram, values

SCRAPE_METRICS = (SCRAPES, SCRAPE_DURATION)
SERIES_METRICS = (SERIES,)


class Scrapes:
    """Counts and times the answers of `/metrics`, on the reactor's thread."""

    def __init__(self) -> None:
        self._by_status: dict[str, int] = {}
        self._counts = array("d", [0.0] * (len(SCRAPE_DURATION.buckets) + 1))
        self._seconds = 0.0
        self._series: Mapping[str, int] = {}

    def answered(self, status: int, seconds: float) -> None:
        """Counts a scrape, and times it where it got what it asked for.

        Args:
            status: of the answer; 499 where the scraper left.
            seconds: from its arrival to its end.
        """
        label = str(status)
        self._by_status[label] = self._by_status.get(label, 0) + 1
        if status == 200:
            self._counts[bisect_left(SCRAPE_DURATION.buckets, seconds)] += 1.0
            self._seconds += seconds

    def snapshot(self) -> Families:
        """Copies the numbers as they are now."""
        return partial(_families, tuple(self._by_status.items()), self._counts[:], self._seconds)

    def series(self) -> Iterable[Family]:
        """How much a whole scrape is; to be rendered as its last family, on whichever thread.

        Within one that is not whole, it tells of the last one that was.
        """
        current = current_rendering()
        if current is not None and current.whole:
            self._series = {**current.series, SERIES.name: len(current.series) + 1}
        return [values(SERIES, (((family,), number) for family, number in self._series.items()))]


def _families(by_status: tuple[tuple[str, int], ...], counts: array[float], seconds: float) -> Iterable[Family]:
    yield values(SCRAPES, (((status,), number) for status, number in by_status))
    yield histogram(SCRAPE_DURATION, [((), counts, seconds)])
