"""Collectors that fail alone and render copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from twisted.python.failure import Failure

from ollamamax.metrics.catalogue import Metric
from ollamamax.metrics.collectors import SafeCollector, rendering
from ollamamax.metrics.families import Families, value, values

Flush = Callable[..., list[Failure]]

GAUGE = Metric("some_gauge", "gauge", (), "Something")
LABELLED = Metric("some_labelled_total", "counter", ("kind",), "Something")


class Observed:
    """A collector on a registry, with what it reported."""

    def __init__(self, metric: Metric, snapshot: Callable[[], Families]) -> None:
        self.failed: list[str] = []
        self.collector = SafeCollector("some", [metric], snapshot, self.failed.append)
        self.registry = CollectorRegistry()
        self.registry.register(self.collector)


def fail() -> NoReturn:
    """Fails as a collector may."""
    raise RuntimeError("broken")


def test_a_snapshot_is_rendered_as_it_was_taken() -> None:
    """Inside `rendering` the copy counts, outside of it the state as it is now."""
    state = [1]

    def snapshot() -> Families:
        copied = state[0]
        return lambda: [value(GAUGE, copied)]

    some = Observed(GAUGE, snapshot)
    frozen = {some.collector: some.collector.freeze()}
    state[0] = 2
    with rendering(frozen):
        assert some.registry.get_sample_value(GAUGE.name) == 1
    assert some.registry.get_sample_value(GAUGE.name) == 2
    with rendering({}):
        assert some.registry.get_sample_value(GAUGE.name) is None


@pytest.mark.parametrize("snapshot", [fail, lambda: fail], ids=["freezing", "rendering"])
def test_a_failing_collector_loses_its_samples_and_counts_itself(
    snapshot: Callable[[], Families], flush_logged_errors: Flush
) -> None:
    """Whether the copy fails or its rendering, the exposition goes on without these samples."""
    some = Observed(GAUGE, snapshot)
    some.registry.register(Counter("other", "Another", registry=None))
    text = generate_latest(some.registry)
    assert b"some_gauge" not in text
    assert b"other_total 0.0" in text
    assert some.failed == ["some"]
    assert len(flush_logged_errors(RuntimeError)) == 1


def test_a_failure_while_freezing_is_counted_once(flush_logged_errors: Flush) -> None:
    """A snapshot that failed is rendered as nothing, without a second failure."""
    some = Observed(GAUGE, fail)
    with rendering({some.collector: some.collector.freeze()}):
        assert list(some.registry.collect()) == []
    assert some.failed == ["some"]
    assert len(flush_logged_errors(RuntimeError)) == 1


@pytest.mark.parametrize(
    "families",
    [
        lambda: [values(LABELLED, [((3,), 1)])],  # type: ignore[list-item]
        lambda: [values(LABELLED, [(("a",), None)])],  # type: ignore[list-item]
        lambda: [value(GAUGE, 1)],
    ],
    ids=["label", "value", "undeclared"],
)
def test_what_would_break_the_whole_exposition_counts_as_failure(
    families: Families, flush_logged_errors: Flush
) -> None:
    """Labels that are no text, values that are no numbers and undeclared families stay with their collector."""
    some = Observed(LABELLED, lambda: families)
    generate_latest(some.registry)
    assert some.failed == ["some"]
    assert len(flush_logged_errors(TypeError, ValueError)) == 1


def test_created_samples_are_left_out() -> None:
    """Stock metrics come without `_created`, with no switch of the whole process touched."""
    stock = Counter(LABELLED.name, LABELLED.help, LABELLED.labels, registry=None)
    stock.labels("x").inc()
    some = Observed(LABELLED, lambda: stock.collect)
    assert b"_created" not in generate_latest(some.registry)
    assert b'some_labelled_total{kind="x"} 1.0' in generate_latest(some.registry)


def test_families_are_described_by_name() -> None:
    """A registry finds the collector by the names of its samples."""
    some = Observed(LABELLED, lambda: lambda: [values(LABELLED, [(("a",), 1)])])
    assert b"some_labelled_total" in generate_latest(some.registry.restricted_registry(["some_labelled_total"]))
    with pytest.raises(ValueError, match="Duplicated"):
        some.registry.register(SafeCollector("again", [LABELLED], fail, print))


def test_a_label_may_be_more_than_plain_text() -> None:
    """As a database's quoted names are: texts all the same."""

    class Quoted(str):
        __slots__ = ()

    some = Observed(LABELLED, lambda: lambda: [values(LABELLED, [((Quoted("a"),), 1)])])
    assert b'some_labelled_total{kind="a"} 1.0' in generate_latest(some.registry)
    assert some.failed == []
