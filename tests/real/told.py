"""What the queries of the dashboards give on a real Prometheus."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from deploy.dashboard_files import QUERIES, Asked
from real.prometheus import Prometheus

PATIENCE_SECONDS = 90.0
RATE_INTERVAL = "8s"
"""What Grafana makes of `$__rate_interval` where scrapes are two seconds apart."""


class Told:
    """What the queries have given since some moment.

    Args:
        prometheus: who is asked.
    """

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._started = time.time()
        self.empty = {str(query) for query in QUERIES}
        self.silent = set(self.empty)

    def wait_for(self, names: Iterable[str], seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until each of these queries has given something other than zero, as long as that may take."""
        wanted = set(names)
        deadline = time.monotonic() + seconds
        while self.silent & wanted and time.monotonic() < deadline:
            self.ask(self.silent & wanted)
            time.sleep(0.2)

    def ask(self, names: AbstractSet[str]) -> None:
        """Asks these queries, about all of the time that has passed."""
        for query in QUERIES:
            if str(query) in names:
                values = list(self._values(query))
                if values:
                    self.empty.discard(str(query))
                if any(value and math.isfinite(value) for value in values):
                    self.silent.discard(str(query))

    def _values(self, query: Asked) -> Iterator[float]:
        now = time.time()
        promql = query.promql(RATE_INTERVAL, f"{math.ceil(now - self._started)}s")
        if query.instant:
            for result in self._prometheus.instant(promql):
                yield float(result["value"][1])
        else:
            for result in self._prometheus.range(promql, self._started, now, 1):
                yield from (float(value) for _, value in result["values"])
