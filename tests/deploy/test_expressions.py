"""The check of expressions sees what Prometheus would answer with silence."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest
from deploy.expressions import (
    SCRAPED,
    NeverMatchesError,
    UnknownNameError,
    check_values,
    result_labels,
    sample_labels,
    sample_names,
)

from ollamamax.metrics.catalogue import Metric

METRICS = (
    Metric("asked_total", "counter", ("model", "outcome"), "Asked", closed={"outcome": ("good", "bad", "worse")}),
    Metric("took_seconds", "histogram", ("model",), "Took", (1.0,)),
    Metric("node_up", "gauge", ("node",), "Up"),
    Metric("node_info", "info", ("node", "version"), "Info"),
)
KNOWN = {**sample_labels(METRICS), **SCRAPED}


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("asked_total", {"job", "instance", "model", "outcome"}),
        ("sum by (model) (rate(asked_total[5m]))", {"model"}),
        ("sum(asked_total)", set()),
        ("max without (instance, job) (node_up)", {"node"}),
        ("histogram_quantile(0.9, sum by (le, model) (rate(took_seconds_bucket[1m])))", {"model"}),
        ("rate(took_seconds_sum[1m]) / rate(took_seconds_count[1m])", {"job", "instance", "model"}),
        ("topk(3, sum by (model) (asked_total))", {"model"}),
        ('count_values("n", node_up)', {"n"}),
        ("max_over_time(sum by (model) (rate(asked_total[1m]))[1h:1m])", {"model"}),
        ("node_up * on (node) group_left (version) node_info", {"job", "instance", "node", "version"}),
        ("max by (node) (node_up) * on (node) group_right () node_info", {"job", "instance", "node", "version"}),
        ("node_up and on (node) node_info", {"job", "instance", "node"}),
        ("sum by (node) (node_up) or vector(0)", {"node"}),
        ("1 - sum(up)", set()),
        ('label_replace(node_up, "name", "$1", "node", "(.*)")', {"job", "instance", "node", "name"}),
        ('label_join(node_up, "both", "-", "job", "node")', {"job", "instance", "node", "both"}),
        ("absent(up)", set()),
        ("asked_total / ignoring (outcome) group_left () took_seconds_sum", {"job", "instance", "model", "outcome"}),
    ],
)
def test_the_labels_of_a_result_are_known(expression: str, labels: AbstractSet[str]) -> None:
    """For each kind of expression the labels are those that Prometheus' documentation promises."""
    assert result_labels(expression, KNOWN) == labels


@pytest.mark.parametrize("expression", ["1 + 1", "time()", "scalar(sum(up))"])
def test_a_number_has_no_labels(expression: str) -> None:
    """What is no vector has no labels, which is not the same as a vector whose series have none."""
    assert result_labels(expression, KNOWN) is None


@pytest.mark.parametrize(
    "expression",
    [
        "askd_total",
        "took_seconds",
        "node_up_total",
        '{__name__=~"asked.*"}',
        'asked_total{modl="m"}',
        'rate(asked_total{model="m", le="1"}[1m])',
        "sum by (node) (asked_total)",
        "sum by (outcome) (sum by (model) (asked_total))",
        "sum without (node) (asked_total)",
        "histogram_quantile(0.9, sum by (model) (rate(took_seconds_bucket[1m])))",
        "node_up * on (node) group_left (version) node_up",
        "asked_total / on (node) took_seconds_sum",
        "asked_total / ignoring (node) asked_total",
        'label_replace(node_up, "name", "$1", "nod", "(.*)")',
        'label_join(node_up, "both", "-", "job", "nod")',
        "max_over_time(nowhere[1h:1m])",
        "topk(scalar(nowhere), node_up)",
        "absent(nowhere)",
    ],
)
def test_a_name_that_is_nowhere_is_seen(expression: str) -> None:
    """A metric or a label that does not exist at its place is an error, wherever in an expression it stands."""
    with pytest.raises(UnknownNameError):
        result_labels(expression, KNOWN)


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (model) (asked_total) / sum(asked_total)",
        "asked_total / took_seconds_count",
        "node_up and node_info",
        "sum by (model) (asked_total) / ignoring (model) sum by (outcome, model) (asked_total)",
    ],
)
def test_operands_that_never_match_are_seen(expression: str) -> None:
    """An operator whose sides have different labels to compare is an error: it has no result, ever."""
    with pytest.raises(NeverMatchesError):
        result_labels(expression, KNOWN)


def test_what_is_no_expression_is_refused() -> None:
    """A mistake in the syntax is an error of its own."""
    with pytest.raises(ValueError, match=r"."):
        result_labels("sum by model (asked_total", KNOWN)


def test_every_sample_that_is_read_is_named() -> None:
    """The names of all samples are found, in ranges, arguments and subqueries alike."""
    expression = "max_over_time(rate(asked_total[1m])[1h:1m]) / on (job) topk(1, up) > scalar(node_up)"
    assert sample_names(expression) == {"asked_total", "up", "node_up"}


@pytest.mark.parametrize(
    "matcher", ['outcome="god"', 'outcome!="god"', 'outcome=~"good|bat"', 'outcome!~"bad|.*x"', 'model="m",outcome=""']
)
def test_a_value_that_never_comes_is_seen(matcher: str) -> None:
    """A value outside of a label's closed set is an error, and so is an alternative of a pattern that matches none."""
    with pytest.raises(UnknownNameError, match="is never"):
        check_values(f"sum(rate(asked_total{{{matcher}}}[1m]))", METRICS)


@pytest.mark.parametrize("matcher", ['outcome="good"', 'outcome=~"good|b.*"', 'outcome!~"bad|worse"', 'model="any"'])
def test_a_value_that_may_come_is_none(matcher: str) -> None:
    """Values of the closed set, patterns that match some, and values of other labels are left alone."""
    check_values(f"asked_total{{{matcher}}} / ignoring (outcome) group_left () took_seconds_sum", METRICS)
