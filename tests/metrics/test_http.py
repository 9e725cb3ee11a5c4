"""The metrics of the HTTP server."""

from __future__ import annotations

import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from ollamamax.metrics.catalogue import (
    HTTP_CLIENT_DISCONNECTS,
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_IN_FLIGHT,
    SERIES_OVERFLOWED,
)
from ollamamax.metrics.collectors import SafeCollector
from ollamamax.metrics.families import CompactFamily
from ollamamax.metrics.http import HTTP_METRICS, MAX_SERIES, HttpMetrics, method_label
from ollamamax.metrics.overflow import OVERFLOW_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client.core import Metric

    from ollamamax.metrics.families import Families

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER")
STATUSES = (200, 201, 204, 400, 401, 403, 404, 408, 413, 415, 499, 500, 502, 503, 504)


class TwoFamilies:
    """Shows the two stock families of a registry's collectors, without what else they give."""

    def __init__(self, collect: Callable[[], Sequence[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Sequence[Metric]:
        """The families of requests and their durations, without `_created`."""
        wanted = ("http_requests", "http_request_duration_seconds")
        families = [family for family in self._collect() if family.name in wanted]
        for family in families:
            if isinstance(family, CompactFamily):
                continue  # has none, and no list of samples to take them out of
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        return families


def registered(metrics: HttpMetrics) -> CollectorRegistry:
    """A registry that shows these metrics."""
    registry = CollectorRegistry()
    registry.register(SafeCollector("http", HTTP_METRICS, metrics.snapshot, print))
    registry.register(SafeCollector("overflow", OVERFLOW_METRICS, metrics.overflow.snapshot, print))
    return registry


def value(metrics: HttpMetrics, name: str, **labels: str) -> float | None:
    """One sample."""
    return registered(metrics).get_sample_value(name, labels)


def total(metrics: HttpMetrics) -> float:
    """The sum of all counted requests."""
    (family,) = [family for family in metrics.snapshot()() if family.name == "http_requests"]
    return sum(sample.value for sample in family.samples)


@pytest.mark.parametrize("render", [generate_latest, generate_openmetrics], ids=["text", "openmetrics"])
def test_text_equals_the_stock_client(render: Callable[[object], bytes]) -> None:
    """The exposition is, to the byte, what a stock counter and histogram give for the same observations."""
    stock = CollectorRegistry()
    counter = Counter(HTTP_REQUESTS.name, HTTP_REQUESTS.help, HTTP_REQUESTS.labels, registry=stock)
    histogram = Histogram(
        HTTP_REQUEST_DURATION.name, HTTP_REQUEST_DURATION.help, HTTP_REQUEST_DURATION.labels, registry=stock
    )
    metrics = HttpMetrics()
    chance = random.Random(7)
    observations = [
        (
            chance.choice(METHODS),
            chance.choice(("/", "/api/v1/models/:id", 'odd "\\\n')),
            chance.choice(STATUSES),
            chance.choice((0.0, 0.005, 0.0050001, 10.0, 10.5, 1234567.0, chance.expovariate(1.0))),
        )
        for _ in range(2000)
    ]
    for method, endpoint, status, seconds in observations:
        metrics.observe(method, endpoint, status, seconds)
        counter.labels(method, endpoint, status).inc()
        histogram.labels(method, endpoint, status).observe(seconds)

    ours = render(TwoFamilies(lambda: list(registered(metrics).collect())))

    assert ours == render(TwoFamilies(lambda: list(stock.collect())))
    assert b"_created" not in ours


def test_memory_stays_below_a_megabyte() -> None:
    """Both families cost less than 1 MB when full, and no more than 400 bytes for each triple."""
    endpoints = [f"/api/v1/route{number}/:id" for number in range(60)]
    tracemalloc.start()
    try:
        metrics = HttpMetrics()
        for status in STATUSES:
            for endpoint in endpoints:
                metrics.client_disconnected(endpoint, "mid_stream")
                metrics.client_disconnected(endpoint, "before_response")
                for method in METHODS:
                    metrics.observe(method, endpoint, status, 0.1)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert kept / MAX_SERIES < 400
    assert total(metrics) == len(STATUSES) * len(endpoints) * len(METHODS)


def test_every_route_with_every_status_of_its_code_has_room() -> None:
    """60 routes of two methods with 15 statuses each, and a 405 for all their other methods, make no overflow."""
    metrics = HttpMetrics()
    for number in range(60):
        for method in METHODS:
            for status in STATUSES if method in ("GET", "HEAD") else (405,):
                metrics.observe(method, f"/route{number}", status, 0.1)
    assert value(metrics, SERIES_OVERFLOWED.name, family=HTTP_REQUESTS.name) == 0


def test_overflow_is_folded_and_counted() -> None:
    """Beyond the cap, requests are counted by class of status under one endpoint, so that sums stay true."""
    metrics = HttpMetrics(max_series=2)
    metrics.observe("GET", "/a", 200, 1.0)
    metrics.observe("GET", "/b", 200, 1.0)
    for status in (200, 204, 404, 404, 499, 502, 0, 777, 123456):
        metrics.observe("GET", "/c", status, 1.0)
    metrics.observe("GET", "/a", 200, 1.0)

    folded = {
        status: value(metrics, HTTP_REQUESTS.name, method="_OTHER", endpoint="other", status=status)
        for status in ("200", "400", "499", "500")
    }

    assert folded == {"200": 2, "400": 2, "499": 1, "500": 4}
    assert value(metrics, HTTP_REQUESTS.name, method="GET", endpoint="/a", status="200") == 2
    assert value(metrics, SERIES_OVERFLOWED.name, family=HTTP_REQUESTS.name) == 9
    assert value(metrics, SERIES_OVERFLOWED.name, family=HTTP_REQUEST_DURATION.name) == 9
    assert total(metrics) == 12


def test_disconnects_have_a_cap_too() -> None:
    """Beyond the cap, clients that left are counted under one endpoint."""
    metrics = HttpMetrics(max_series=1)
    metrics.client_disconnected("/a", "mid_stream")
    metrics.client_disconnected("/b", "mid_stream")
    metrics.client_disconnected("/a", "mid_stream")
    assert value(metrics, HTTP_CLIENT_DISCONNECTS.name, endpoint="/a", phase="mid_stream") == 2
    assert value(metrics, HTTP_CLIENT_DISCONNECTS.name, endpoint="other", phase="mid_stream") == 1
    assert value(metrics, SERIES_OVERFLOWED.name, family=HTTP_CLIENT_DISCONNECTS.name) == 1


def test_methods_are_text_and_few() -> None:
    """The methods of RFC 9110 and PATCH keep their names, whatever else comes is `_OTHER`."""
    assert [method_label(name.encode()) for name in METHODS[:-1]] == list(METHODS[:-1])
    assert {method_label(odd) for odd in (b"", b"get", b"FOO", b"\xff", b"PROPFIND", b"_OTHER")} == {"_OTHER"}


def test_in_flight_is_the_size_of_the_live_set() -> None:
    """What is in flight is counted by looking, so it cannot drift."""
    metrics = HttpMetrics()
    request = object()
    metrics.live.add(request)
    metrics.live.add(request)
    assert value(metrics, HTTP_REQUESTS_IN_FLIGHT.name) == 1
    metrics.live.discard(request)
    metrics.live.discard(request)
    assert value(metrics, HTTP_REQUESTS_IN_FLIGHT.name) == 0


def test_rendering_beside_observations_is_never_torn() -> None:
    """While requests are observed, renderings on another thread never fail, and counts agree within each of them."""
    metrics = HttpMetrics()

    def check(families: Families) -> float:
        counted: dict[object, float] = {}
        timed: dict[object, list[float]] = {}
        for family in families():
            for sample in family.samples:
                key: object = tuple(sample.labels.get(name) for name in HTTP_REQUESTS.labels)
                if sample.name == HTTP_REQUESTS.name:
                    counted[key] = sample.value
                elif sample.name.startswith(HTTP_REQUEST_DURATION.name):
                    timed.setdefault(key, []).append(sample.value)
        for key, (*buckets, count, seconds) in timed.items():
            assert buckets == sorted(buckets)
            assert buckets[-1] == count == counted[key] == seconds
        assert counted.keys() == timed.keys()
        return sum(counted.values())

    with ThreadPoolExecutor(1) as thread:
        renderings = []
        for number in range(3000):
            request = object()
            metrics.live.add(request)
            metrics.observe("GET", f"/{number % 100}", 200 + number % 7, 1.0)
            if number % 100 == 0:
                renderings.append((number + 1, thread.submit(check, metrics.snapshot())))
            metrics.live.discard(request)
        assert [(seen, rendered.result()) for seen, rendered in renderings] == [(seen, seen) for seen, _ in renderings]
