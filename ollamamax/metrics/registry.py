"""All metrics of one server, on a registry of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram

from ollamamax.metrics import fleet, process, sources
from ollamamax.metrics.catalogue import (
    COLLECTOR_ERRORS,
    DB_QUERY_DURATION,
    INFERENCE_IN_FLIGHT,
    LEDGER_FLUSH_DURATION,
    Metric,
)
from ollamamax.metrics.collectors import SafeCollector, Snapshot, rendering
from ollamamax.metrics.families import Families
from ollamamax.metrics.http import HTTP_METRICS, MAX_SERIES, HttpMetrics
from ollamamax.metrics.inference import InferenceMetrics
from ollamamax.metrics.overflow import OVERFLOW_METRICS, Overflow
from ollamamax.metrics.scrapes import SCRAPE_METRICS, SERIES_METRICS, Scrapes
from ollamamax.metrics.text import exposition
from ollamamax.metrics.threads import THREAD_METRICS, threads
from ollamamax.metrics.ticks import TICK_METRICS, ReactorTicks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from twisted.python.threadpool import ThreadPool


class Metrics:
    """The registry of one server and what is wired to it; the process's global registry is never used.

    The stores of state come later than the metrics that they report to, so each is wired when it stands: `http`,
    `scraped`, `observe_query`, `observe_flush` and what is known of the process work from the start, `watch_database`,
    `watch_ledger`, `watch_size`, `watch_fleet`, `watch_work`, `watch_attempts`, `watch_inference`, `watch_reactor` and
    `watch_threads` add the rest.

    Args:
        version: the server's, for `ollamamax_build_info`.
        max_series: how many series each of the HTTP families may hold.

    Attributes:
        registry: what a scrape renders.
        overflow: counts what found no room, for every family that is bounded.
        http: the metrics of the HTTP server.
        scrapes: what is counted of the scrapes themselves.
    """

    def __init__(self, version: str, *, max_series: int = MAX_SERIES) -> None:
        self.registry = CollectorRegistry()
        self.overflow = Overflow()
        self.http = HttpMetrics(self.overflow, max_series=max_series)
        self._collectors: list[SafeCollector] = []
        self.scrapes = Scrapes()
        self._failures = Counter(COLLECTOR_ERRORS.name, COLLECTOR_ERRORS.help, COLLECTOR_ERRORS.labels, registry=None)
        self._query_durations = Histogram(
            DB_QUERY_DURATION.name,
            DB_QUERY_DURATION.help,
            DB_QUERY_DURATION.labels,
            buckets=DB_QUERY_DURATION.buckets,
            registry=None,
        )
        self._flush_durations = Histogram(
            LEDGER_FLUSH_DURATION.name, LEDGER_FLUSH_DURATION.help, buckets=LEDGER_FLUSH_DURATION.buckets, registry=None
        )
        # Registered last for ever, so that they tell of the scrape in which they are: what failed, and how much it was.
        self._last = (
            self._collector("collector_errors", [COLLECTOR_ERRORS], lambda: self._failures.collect),
            self._collector("series", SERIES_METRICS, lambda: self.scrapes.series),
        )
        for last in self._last:
            self.registry.register(last)
        self._collectors += self._last
        self.add("build", sources.BUILD_METRICS, lambda: sources.build(version))
        self.add("http", HTTP_METRICS, self.http.snapshot)
        self.add("overflow", OVERFLOW_METRICS, self.overflow.snapshot)
        self.add("scrapes", SCRAPE_METRICS, self.scrapes.snapshot)
        # No state of the reactor's thread, so there is nothing to copy: they are read while they are rendered.
        self.add("process", process.PROCESS_METRICS, partial(_same, process.process()))
        self.add("gc", process.GC_METRICS, partial(_same, process.garbage()))
        self.add("platform", process.PLATFORM_METRICS, partial(_same, process.platform()))

    def add(self, name: str, metrics: Sequence[Metric], snapshot: Callable[[], Families]) -> None:
        """Wires one more collector.

        Args:
            name: the label under which its failures are counted.
            metrics: what it gives.
            snapshot: copies the state on the reactor's thread; see `SafeCollector`.

        Raises:
            ValueError: one of the metrics is already there.
        """
        collector = self._collector(name, metrics, snapshot)
        self.registry.register(collector)
        self._collectors.append(collector)
        for last in self._last:
            self.registry.unregister(last)
            self.registry.register(last)

    def watch_database(self, read: Callable[[], sources.DatabaseState]) -> None:
        """Wires the database's pool, whose statistics `read` gives, and the durations of `observe_query`."""
        self.add("database", sources.DATABASE_METRICS, lambda: sources.database(read()))
        self.add("database_queries", [DB_QUERY_DURATION], lambda: self._query_durations.collect)

    def watch_ledger(self, read: Callable[[], sources.LedgerState]) -> None:
        """Wires the ledger, and the durations of `observe_flush`."""
        self.add("ledger", sources.LEDGER_METRICS, lambda: sources.ledger(read()))
        self.add("ledger_flushes", [LEDGER_FLUSH_DURATION], lambda: self._flush_durations.collect)

    def watch_size(self, read: Callable[[], sources.SizeState]) -> None:
        """Wires how much space the database takes."""
        self.add("store_size", sources.SIZE_METRICS, lambda: sources.size(read()))

    def watch_fleet(self, read: Callable[[], Iterable[fleet.NodeState]]) -> None:
        """Wires the nodes; `read` gives those that exist at that moment."""
        self.overflow.declare(*fleet.RESIDENCY_METRICS)
        self.add("fleet", fleet.FLEET_METRICS, lambda: fleet.fleet(read(), self.overflow))

    def watch_work(self, read: Callable[[], fleet.WorkState]) -> None:
        """Wires what nodes are had to do: slots and loads."""
        self.overflow.declare(*fleet.WORK_METRICS)
        self.add("work", fleet.WORK_METRICS, lambda: fleet.work(read()))

    def watch_attempts(self, read: Callable[[], sources.AttemptState]) -> None:
        """Wires what becomes of the attempts of inference requests."""
        self.add("attempts", sources.ATTEMPT_METRICS, lambda: sources.attempts(read()))

    def watch_inference(self, inference: InferenceMetrics) -> None:
        """Wires inference requests and their attempts."""
        self.add("inference", (*inference.metrics, INFERENCE_IN_FLIGHT), inference.snapshot)
        self.add("inference_attempts", inference.attempts.metrics, inference.attempts.snapshot)

    def watch_reactor(self, ticks: ReactorTicks) -> None:
        """Wires the event loop."""
        self.add("reactor", TICK_METRICS, ticks.snapshot)

    def watch_threads(self, read: Callable[[], Mapping[str, ThreadPool]]) -> None:
        """Wires the thread pools; `read` gives them by the names under which they are shown."""
        self.add("threads", THREAD_METRICS, lambda: threads(read()))

    def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
        """Times one query, from any thread; by status, queries are counted in the pool's own statistics."""
        self._query_durations.labels(operation, table).observe(seconds)

    def observe_flush(self, seconds: float) -> None:
        """Times one group of ledger rows, on the reactor's thread."""
        self._flush_durations.observe(seconds)

    def snapshot(self) -> Snapshot:
        """Copies all state as it is now, for `collectors.rendering`; on the reactor's thread."""
        return {collector: collector.freeze() for collector in self._collectors}

    def text(self) -> bytes:
        """The exposition in the text format, rendered at once: for tests and tools, not for a running reactor."""
        with rendering(self.snapshot()):
            return b"".join(exposition(self.registry.collect(), openmetrics=False))

    def _collector(self, name: str, metrics: Sequence[Metric], snapshot: Callable[[], Families]) -> SafeCollector:
        self._failures.labels(name)
        return SafeCollector(name, metrics, snapshot, self._count_failure)

    def _count_failure(self, name: str) -> None:
        self._failures.labels(name).inc()


def _same(families: Families) -> Families:
    return families
