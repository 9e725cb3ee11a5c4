"""The two text formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from ollamamax.metrics.catalogue import Metric
from ollamamax.metrics.families import Exemplars, Family, histogram, values
from ollamamax.metrics.text import PIECE_LINES, exposition

Stock = Callable[[CollectorRegistry], bytes]

BUCKETS = (0.005, 0.25, 1.0, 262144.0)
HISTOGRAM = Metric("some_duration_seconds", "histogram", ("model", "endpoint"), 'How "long"\nit \\ took', BUCKETS)
BARE = Metric("bare_seconds", "histogram", (), "Bare", BUCKETS)
EARLY = Metric("early_seconds", "histogram", ("a", "b"), "Labels before le", BUCKETS)
COUNTER = Metric("some_total", "counter", ("outcome",), "Counted")
INFO = Metric("some_info", "info", ("version",), "Known")
EXEMPLARS: Exemplars = {
    (("x", "y"), 0): Exemplar({"request_id": 'a"b'}, 0.001, 1761561000.5),
    (("x", "y"), 4): Exemplar({"request_id": "c"}, 2.5),
}

TEXTS = some.text(alphabet=some.characters(codec="utf-8"), max_size=5)
NUMBERS = some.integers(0, 10**9).map(float) | some.floats(0, 1e12) | some.sampled_from([0.0, 1e6, 1e7, math.inf])


class Given(Collector):
    """A collector of the families of a test."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Family]:
        return self._families


def registry_of(*families: Family) -> CollectorRegistry:
    """A registry that holds nothing else."""
    registry = CollectorRegistry()
    registry.register(Given(families))
    return registry


def both(registry: CollectorRegistry) -> list[tuple[bytes, bytes]]:
    """What is written in each format, here and by the stock client."""
    stock: list[tuple[bool, Stock]] = [(False, generate_latest), (True, generate_openmetrics)]
    return [
        (b"".join(exposition(registry.collect(), openmetrics=openmetrics)), generate(registry))
        for openmetrics, generate in stock
    ]


@given(some.dictionaries(some.tuples(TEXTS, TEXTS), some.lists(NUMBERS, min_size=6, max_size=6), max_size=3))
@example({("", ""): [0.0, 0.0, 99511627777.0, 999999999999.8099, 1.308837890625, 0.0]}).via(
    "sum() is exact since Python 3.12"
)
def test_it_is_what_the_stock_client_writes(series: dict[tuple[str, str], list[float]]) -> None:
    """Byte for byte, whatever the labels and the numbers."""
    rows = [(labels, numbers[:5], numbers[5]) for labels, numbers in series.items()]
    families = [
        histogram(HISTOGRAM, rows),
        values(COUNTER, [((labels[0],), numbers[0]) for labels, numbers in series.items()]),
        values(INFO, [((labels[1],), 1) for labels in series]),
    ]
    for written, stock in both(registry_of(*families)):
        assert written == stock


def test_labels_stand_in_the_order_of_the_alphabet() -> None:
    """`le` among them, wherever that is, also alone."""
    rows = [((), [1.0, 0.0, 2.0, 0.0, 1.0], 3.5)]
    families = [
        histogram(BARE, rows),
        histogram(EARLY, [(("1", "2"), *rows[0][1:])]),
        histogram(HISTOGRAM, [(("x", "y"), *rows[0][1:])]),
    ]
    for written, stock in both(registry_of(*families)):
        assert written == stock
    text = b"".join(exposition(families, openmetrics=False)).decode()
    assert 'some_duration_seconds_bucket{endpoint="y",le="+Inf",model="x"} 4.0\n' in text
    assert 'early_seconds_bucket{a="1",b="2",le="0.25"} 1.0\n' in text
    assert 'bare_seconds_bucket{le="0.25"} 1.0\n' in text


def test_exemplars_are_shown_where_there_is_a_place_for_them() -> None:
    """In OpenMetrics, at their bucket; not in the text format."""
    family = histogram(HISTOGRAM, [(("x", "y"), [1.0, 0.0, 0.0, 0.0, 1.0], 2.5)], EXEMPLARS)
    (text, stock), (openmetrics, stock_openmetrics) = both(registry_of(family))
    assert (text, openmetrics) == (stock, stock_openmetrics)
    assert b"#" not in text.split(b"\n", 2)[2]
    assert b'le="0.005",model="x"} 1.0 # {request_id="a\\"b"} 0.001 1761561000.5\n' in openmetrics


def test_stock_metrics_are_written_too() -> None:
    """Whatever a collector of the stock client gives, without its `_created`."""
    registry = CollectorRegistry()
    Gauge("a", "A", registry=registry).set(-0.0)
    Counter("b", "B", ["x"], registry=registry).labels("y").inc(3, exemplar={"trace": "1"})
    Summary("c", "C", registry=registry).observe(1.5)
    for family in (families := list(registry.collect())):
        family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    for written, stock in both(registry_of(*families)):
        assert written == stock


@pytest.mark.parametrize("openmetrics", [False, True])
def test_it_comes_in_pieces(openmetrics: bool) -> None:
    """None is long, and none empty."""
    rows = [((str(number), "y"), [1.0] * 5, 2.5) for number in range(500)]
    pieces = list(exposition([histogram(HISTOGRAM, rows)], openmetrics=openmetrics))
    assert len(pieces) > 10
    assert all(0 < piece.count(b"\n") <= PIECE_LINES + 2 for piece in pieces)


def test_what_is_no_text_is_replaced() -> None:
    """Half a character in a label costs that character."""
    (piece,) = exposition([values(COUNTER, [(("a\ud800",), 1)])], openmetrics=False)
    assert b'some_total{outcome="a?"} 1.0\n' in piece


def test_nothing_is_a_text_too() -> None:
    """Of no families there is the end alone."""
    assert b"".join(exposition([], openmetrics=True)) == b"# EOF\n"
    assert b"".join(exposition([], openmetrics=False)) == b""
