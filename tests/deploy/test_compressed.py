"""Compressed rules are the rules, but for the time that they take."""

from __future__ import annotations

import re

import promql_parser as promql
import pytest
from deploy.compressed import compressed
from deploy.rule_files import Group, Rule, groups


def one(expression: str, duration: str = "") -> Group:
    """A group of one alert."""
    return Group("g", [Rule(expr=expression, alert="A", duration=duration)])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(a[5m])", "rate(a[5000ms])"),
        ("sum by (job) (job_model:a:rate1h) * 3600 >= 20", "sum by (job) (job_model:a:rate1h) * 60 >= 20"),
        ("job_model:a:rate3d * 259200 >= 20", "job_model:a:rate3d * 4320 >= 20"),
        ("predict_linear(a[6h], 86400) < 0", "predict_linear(a[360000ms], 1440) < 0"),
        ("a / 3600 > 14.4 * (1 - scalar(b:c:rate1h))", "a / 3600 > 14.4 * (1 - scalar(b:c:rate1h))"),
    ],
)
def test_times_are_divided_and_nothing_else(expression: str, expected: str) -> None:
    """Ranges, counts and predictions follow the factor; names, thresholds and other numbers stay."""
    (group,) = compressed([one(expression)], 60)
    assert group.rules[0].expr == expected


def test_a_rate_times_other_seconds_is_refused() -> None:
    """What looks like a count and is none cannot be compressed, and is a mistake in the rule."""
    with pytest.raises(ValueError, match="counts nothing"):
        compressed([one("a:b:rate1h * 360 >= 20")], 60)


def test_waits_and_intervals_are_divided() -> None:
    """What an alert waits for and how often a group is evaluated follow the factor; without one there is none."""
    before = [Group("g", [Rule(expr="a", alert="A", duration="2m")], "30s"), one("a")]
    first, second = compressed(before, 20)
    assert (first.interval, first.rules[0].duration) == ("1500ms", "6000ms")
    assert (second.interval, second.rules[0].duration) == ("", "")
    assert before[0].rules[0].duration == "2m"


def test_every_rule_that_there_is_can_be_compressed() -> None:
    """All rules stay PromQL, and none keeps a range of minutes, hours or days."""
    rules = [rule for group in compressed(groups(), 20) for rule in group.rules]
    for rule in rules:
        promql.parse(rule.expr)
        assert re.findall(r"\[\d+[mhd]\]", rule.expr) == []
    assert [rule.name for rule in rules] == [rule.name for group in groups() for rule in group.rules]
