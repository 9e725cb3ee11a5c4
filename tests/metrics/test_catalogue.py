"""The declarations of metrics."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from prometheus_client import Histogram

from ollamamax.fleet.loads import CAUSES
from ollamamax.fleet.nodes import PROBE_RESULTS, State
from ollamamax.fleet.retries import REASONS
from ollamamax.metrics.catalogue import (
    CATALOGUE,
    DEFAULT_BUCKETS,
    HTTP_REQUEST_DURATION,
    NODE_MODEL_LOADS,
    NODE_PROBES,
    NODE_STATE,
    RETRIES,
    USAGE_MISSING,
    Metric,
)
from ollamamax.metrics.inference import MissingUsage


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    """Names, suffixes and labels are what Prometheus' conventions ask of each kind."""
    assert re.fullmatch(r"(http|db|ollamamax|process|python)_[a-z_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_info") == (metric.kind == "info")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help
    assert not metric.help.endswith(".")
    assert "le" not in metric.labels


def test_names_are_declared_once() -> None:
    """No two families have the same name."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_default_buckets_are_those_of_the_stock_client() -> None:
    """The duration of HTTP requests is measured with prometheus-client's default buckets."""
    assert (*DEFAULT_BUCKETS, float("inf")) == Histogram.DEFAULT_BUCKETS
    assert HTTP_REQUEST_DURATION.buckets == DEFAULT_BUCKETS


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_closed_labels_are_labels(metric: Metric) -> None:
    """A closed set belongs to a label that the metric has, and says each value once."""
    assert metric.closed.keys() <= set(metric.labels)
    for values in metric.closed.values():
        assert values
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("metric", "label", "values"),
    [
        (RETRIES, "reason", REASONS),
        (NODE_STATE, "state", get_args(State)),
        (NODE_PROBES, "result", PROBE_RESULTS),
        (NODE_MODEL_LOADS, "cause", CAUSES),
        (USAGE_MISSING, "reason", get_args(MissingUsage)),
    ],
    ids=lambda value: value.name if isinstance(value, Metric) else "",
)
def test_closed_values_are_those_of_their_source(metric: Metric, label: str, values: tuple[str, ...]) -> None:
    """What is counted elsewhere has just the values that the catalogue says."""
    assert metric.closed[label] == values
