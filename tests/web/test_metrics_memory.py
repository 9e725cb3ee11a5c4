"""What the HTTP metrics cost with the server's real routes, all their methods and all statuses of its code."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import pytest
from prometheus_client import CollectorRegistry

from ollamamax.errors import GatewayError, MethodNotAllowed
from ollamamax.metrics.catalogue import HTTP_REQUESTS, SERIES_OVERFLOWED
from ollamamax.metrics.collectors import SafeCollector
from ollamamax.metrics.http import CLIENT_GONE, HTTP_METRICS, HttpMetrics, method_label
from ollamamax.metrics.overflow import OVERFLOW_METRICS
from ollamamax.web.routes import UNMATCHED, RouteTable

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND")
"""Those with a label of their own, and one without; CONNECT comes only with a path of no route."""

BEFORE_ROUTES = frozenset({400, 403, 431, 500, CLIENT_GONE})
"""What every method of a path can get before its route is asked: the guard's answers, a defect, a client that left."""
PREFLIGHT = 204
UNAUTHORIZED = 401
"""What Ollama answers for models of its cloud; it passes as it is."""
BUDGET_BYTES = 1_000_000


@attrs.frozen(order=True)
class Asked:
    """One combination that a client can bring about."""

    path: bytes
    method: bytes
    status: int


def own_statuses() -> set[int]:
    """Every status that the code can answer: its errors', the guard's, and what was recorded of Ollama."""
    recordings = (Path(__file__).parent.parent / "recordings").glob("*.jsonl")
    text = "".join(file.read_text("utf-8") for file in recordings)
    recorded = {int(status) for status in re.findall(r'"HTTP/1\.1 (\d{3}) ', text)}
    return {error.status for error in errors(GatewayError)} | BEFORE_ROUTES | {UNAUTHORIZED} | recorded


def errors(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """An error and all that are kinds of it."""
    yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


def possible(patterns: Iterable[str], routes: RouteTable) -> list[Asked]:
    """Every route with every status of its own methods, and with what all other methods can get."""
    own, others = own_statuses(), BEFORE_ROUTES | {MethodNotAllowed.status}
    asked = {Asked(b"/nowhere", method, status) for method in (*METHODS, b"CONNECT") for status in own}
    for path in (re.sub("<[^<>]+>", "an-id", pattern).encode() for pattern in patterns):
        known = {name.encode() for name in routes.allowed_methods(path)}
        for method in METHODS:
            statuses = own if method in known else others | ({PREFLIGHT} if method == b"OPTIONS" else set())
            asked.update(Asked(path, method, status) for status in statuses)
    return sorted(asked)


def test_every_real_route_with_every_status_of_its_code_costs_less_than_a_megabyte() -> None:
    """All series that the server's own routes can make have room, and cost less than 1 MB together."""
    # Not above: klein installs a reactor when it is imported.
    from ollamamax.web.compatible import CompatibleRoutes
    from ollamamax.web.control import ControlRoutes
    from ollamamax.web.native import NativeRoutes

    url_maps = [routes.app.url_map for routes in (ControlRoutes, CompatibleRoutes, NativeRoutes)]
    routes = RouteTable(url_maps)
    patterns = {rule.rule for url_map in url_maps for rule in url_map.iter_rules()}
    asked = possible(patterns, routes)
    tracemalloc.start()
    try:
        metrics = HttpMetrics()
        for one in asked:
            endpoint = routes.endpoint(one.method, one.path)
            # As a request brings it: an integer and a path of its own.
            metrics.observe(method_label(one.method), endpoint, int(str(one.status)), 0.1)
            if one.status == CLIENT_GONE:
                metrics.client_disconnected(endpoint, "before_response")
                metrics.client_disconnected(endpoint, "mid_stream")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    registry = CollectorRegistry()
    registry.register(SafeCollector("http", HTTP_METRICS, metrics.snapshot, pytest.fail))
    registry.register(SafeCollector("overflow", OVERFLOW_METRICS, metrics.overflow.snapshot, pytest.fail))
    samples = [sample for family in registry.collect() for sample in family.samples]
    counted = [sample for sample in samples if sample.name == HTTP_REQUESTS.name]
    endpoints = {sample.labels["endpoint"] for sample in counted}
    assert peak < BUDGET_BYTES, f"{kept} bytes kept for {len(counted)} series"
    assert {sample.value for sample in samples if sample.name == SERIES_OVERFLOWED.name} == {0}
    assert len(counted) == len(asked)
    assert endpoints == {re.sub("<(?:path:)?([^<>]+)>", r":\1", pattern) for pattern in patterns} | {UNMATCHED}
    assert {sample.labels["method"] for sample in counted} == {*map(method_label, METHODS), "CONNECT"}
