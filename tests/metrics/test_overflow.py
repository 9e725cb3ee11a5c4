"""What found no room in a family."""

from __future__ import annotations

from ollamamax.metrics.catalogue import HTTP_REQUEST_DURATION, HTTP_REQUESTS, NODE_REQUESTS
from ollamamax.metrics.http import HttpMetrics
from ollamamax.metrics.overflow import Overflow
from ollamamax.metrics.registry import Metrics


def counts(overflow: Overflow) -> dict[str, float]:
    """The counts that a scrape would show now, by family."""
    return {sample.labels["family"]: sample.value for family in overflow.snapshot()() for sample in family.samples}


def test_each_family_is_counted_by_itself() -> None:
    """A declared family is shown from 0 on, and again declared keeps its count; others come with their first one."""
    overflow = Overflow()
    overflow.declare(HTTP_REQUESTS)
    overflow.add(HTTP_REQUESTS, HTTP_REQUEST_DURATION)
    overflow.add(HTTP_REQUESTS, count=5)
    overflow.declare(HTTP_REQUESTS, NODE_REQUESTS)
    assert counts(overflow) == {HTTP_REQUESTS.name: 6, HTTP_REQUEST_DURATION.name: 1, NODE_REQUESTS.name: 0}


def test_a_snapshot_is_a_copy() -> None:
    """What is counted after a snapshot is no part of it."""
    overflow = Overflow()
    overflow.declare(NODE_REQUESTS)
    families = overflow.snapshot()
    overflow.add(NODE_REQUESTS)
    assert [sample.value for family in families() for sample in family.samples] == [0]


def test_all_of_a_server_count_in_one_place() -> None:
    """A server's registry shows the overflow of its HTTP families and of whoever else uses its counter."""
    metrics = Metrics("1.2.3", max_series=1)
    metrics.overflow.add(NODE_REQUESTS)
    for endpoint in ("/a", "/b", "/c"):
        metrics.http.observe("GET", endpoint, 200, 1.0)
    shown = metrics.text().decode()
    assert f'ollamamax_metrics_series_overflowed_total{{family="{NODE_REQUESTS.name}"}} 1.0\n' in shown
    assert f'ollamamax_metrics_series_overflowed_total{{family="{HTTP_REQUESTS.name}"}} 2.0\n' in shown


def test_http_metrics_alone_have_their_own() -> None:
    """Two sets of HTTP metrics without a common counter share none."""
    assert HttpMetrics().overflow is not HttpMetrics().overflow
