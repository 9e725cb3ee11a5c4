"""The series of one family, in compact arrays."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, Summary, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ollamamax.metrics.catalogue import Metric
from ollamamax.metrics.models import ModelLabels
from ollamamax.metrics.overflow import Overflow
from ollamamax.metrics.series import CounterSeries, HistogramSeries, ModelFamilies, SummarySeries

COUNTED = Metric("some_total", "counter", ("model", "type"), "Counted")
TIMED = Metric("some_seconds", "histogram", ("node", "model"), "Timed", (0.1, 1.0, 10.0))
SUMMED = Metric("some_sums", "summary", ("node",), "Summed")
REQUEST = "0f9b5f34-5d0c-4c52-8f4e-3f5c8d0f2f11"


class Shown:
    """Shows families as a registry does, without what stock ones add."""

    def __init__(self, *make: Callable[[], Family]) -> None:
        self._make = make

    def collect(self) -> list[Family]:
        """The families."""
        return [one() for one in self._make]


def folded(overflow: Overflow) -> dict[str, float]:
    """How many observations found no room, by family."""
    return {sample.labels["family"]: sample.value for family in overflow.snapshot()() for sample in family.samples}


def _uncreated(family: Family) -> Family:
    family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    return family


def samples(make: Callable[[], Family]) -> dict[tuple[str, ...], float]:
    """Values by what the sample's name adds to the family's, and the values of the labels."""
    family = make()
    return {(sample.name.removeprefix(family.name), *sample.labels.values()): sample.value for sample in family.samples}


@pytest.mark.parametrize("render", [generate_latest, generate_openmetrics], ids=["text", "openmetrics"])
def test_the_text_is_that_of_the_stock_client(render: Callable[[object], bytes]) -> None:
    """The exposition is, to the byte, what stock children give for the same observations."""
    registry = CollectorRegistry()
    counter = Counter(COUNTED.name, COUNTED.help, COUNTED.labels, registry=registry)
    histogram = Histogram(TIMED.name, TIMED.help, TIMED.labels, buckets=TIMED.buckets, registry=registry)
    summary = Summary(SUMMED.name, SUMMED.help, SUMMED.labels, registry=registry)
    full = Overflow()
    counted, timed = CounterSeries(COUNTED, 99, full), HistogramSeries(TIMED, 99, full)
    summed = SummarySeries(SUMMED, 99, full)
    chance = random.Random(5)
    for _ in range(500):
        place = chance.choice(("a", 'odd "\\\n')), chance.choice(("x:1b", "y:latest"))
        value = chance.choice((0.0, 0.1, 0.10001, 10.0, 11.0, 1234567.0, chance.expovariate(1.0)))
        counter.labels(*place).inc(value)
        histogram.labels(*place).observe(value)
        summary.labels(place[0]).observe(value)
        counted.add(*place, amount=value)
        timed.observe(*place, value=value)
        summed.observe(place[0], value=value)
    ours = render(Shown(counted.snapshot(), timed.snapshot(), summed.snapshot()))
    assert ours == render(Shown(*(partial(_uncreated, family) for family in registry.collect())))
    assert (len(counted), len(timed), len(summed)) == (4, 4, 2)


def test_exemplars_are_the_last_request_of_each_bucket() -> None:
    """OpenMetrics has them, within its bound of 128 characters, and a parser finds them; the text format has none."""
    timed = HistogramSeries(TIMED, 9, Overflow())
    timed.observe("a", "x", value=0.5, asked=("earlier", 1.0))
    timed.observe("a", "x", value=0.6, asked=(REQUEST, 1795682214.25))
    timed.observe("a", "x", value=20.0)
    without = HistogramSeries(TIMED, 9, Overflow())
    for value in (0.5, 0.6, 20.0):
        without.observe("a", "x", value=value)

    text = generate_openmetrics(Shown(timed.snapshot())).decode()
    (family,) = text_string_to_metric_families(text)
    exemplars = {sample.labels.get("le"): sample.exemplar for sample in family.samples if sample.exemplar}

    assert list(exemplars) == ["1.0"]
    assert exemplars["1.0"].labels == {"request_id": REQUEST}
    assert (exemplars["1.0"].value, float(exemplars["1.0"].timestamp)) == (0.6, 1795682214.25)
    assert generate_latest(Shown(timed.snapshot())) == generate_latest(Shown(without.snapshot()))


def test_beyond_the_cap_models_are_folded() -> None:
    """What is new is told as the model `other`, on its own node, and counted as folded; what is there goes on."""
    timed = HistogramSeries(TIMED, 2, full := Overflow())
    for node, model in (("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("b", "z"), ("a", "x")):
        timed.observe(node, model, value=1.0, asked=(model, 1.0))
    counts = {key[1:]: value for key, value in samples(timed.snapshot()).items() if key[0] == "_count"}
    assert counts == {("a", "x"): 2, ("b", "x"): 1, ("a", "other"): 1, ("b", "other"): 2}
    assert folded(full) == {TIMED.name: 3}


def test_beyond_the_cap_nodes_are_folded_where_no_model_is_told() -> None:
    """A family without models folds nodes."""
    summed = SummarySeries(SUMMED, 1, full := Overflow())
    for node in ("a", "b", "c"):
        summed.observe(node, value=2.0)
    assert samples(summed.snapshot()) == {
        ("_count", "a"): 1,
        ("_sum", "a"): 2,
        ("_count", "other"): 2,
        ("_sum", "other"): 4,
    }
    assert folded(full) == {SUMMED.name: 2}


def test_closed_labels_are_never_folded() -> None:
    """A family whose labels have few values by nature has room for them all."""
    closed = CounterSeries(Metric("closed_total", "counter", ("reason",), "Closed"), 1, full := Overflow())
    for reason in ("a", "b", "c"):
        closed.add(reason)
    assert (len(closed), folded(full)) == (3, {})


def test_a_counter_begins_at_zero() -> None:
    """A series may be there before anything is counted, as long as there is room; asked twice, it goes on."""
    counted = CounterSeries(COUNTED, 1, full := Overflow())
    counted.begin("x", "input")
    assert samples(counted.snapshot()) == {("_total", "x", "input"): 0}
    counted.add("x", "input", amount=3)
    counted.begin("x", "input")
    counted.begin("y", "input")
    assert samples(counted.snapshot()) == {("_total", "x", "input"): 3}
    assert folded(full) == {COUNTED.name: 0}


def test_a_snapshot_is_a_copy() -> None:
    """What is observed later is in no earlier snapshot."""
    timed = HistogramSeries(TIMED, 9, Overflow())
    timed.observe("a", "x", value=0.5, asked=("before", 1.0))
    before = timed.snapshot()
    timed.observe("a", "x", value=0.5, asked=("after", 2.0))
    timed.observe("b", "x", value=0.5)
    assert {key: value for key, value in samples(before).items() if key[0] == "_count"} == {("_count", "a", "x"): 1}
    assert "before" in str(before().samples)


def test_what_is_forgotten_begins_again() -> None:
    """A series that is dropped makes room, the others keep their numbers, and it may come again."""
    timed = HistogramSeries(TIMED, 3, full := Overflow())
    for model, value in (("x", 0.05), ("y", 0.5), ("z", 5.0)):
        timed.observe("a", model, value=value, asked=(model, 1.0))
    kept = {key: value for key, value in samples(timed.snapshot()).items() if key[2] != "y"}
    assert timed.models() == {"x", "y", "z"}
    timed.forget({"y"})
    assert samples(timed.snapshot()) == kept
    assert "'y'" not in str(timed.snapshot()().samples)
    timed.observe("a", "y", value=0.5)
    assert samples(timed.snapshot())["_count", "a", "y"] == 1
    assert folded(full) == {TIMED.name: 0}


def test_families_with_models_are_seen_as_one() -> None:
    """Their declarations, their series and what was folded; models that are no labels any more are dropped from all."""
    full = Overflow()
    counted, closed = CounterSeries(COUNTED, 1, full), SummarySeries(SUMMED, 9, full)
    held = {"x", "y"}
    families = ModelFamilies(ModelLabels(held.__contains__), (counted, closed))
    for model in ("x", "y"):
        counted.add(model, "input")
    closed.observe("a", value=1.0)
    assert families.metrics == (COUNTED, SUMMED)
    assert folded(full) == {COUNTED.name: 1, SUMMED.name: 0}
    held.remove("x")
    families.forget_models()
    shown = {(sample.name, *sample.labels.values()) for family in families.snapshot()() for sample in family.samples}
    assert shown == {("some_total", "other", "input"), ("some_sums_count", "a"), ("some_sums_sum", "a")}
