"""The files of deploy/prometheus as values: rules, and the tests of rules that `promtool` runs.

What Prometheus would not understand is refused here too, so that a misspelt key is no rule that is silently different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import promql_parser as promql

PROMETHEUS = Path(__file__).parent.parent.parent / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))


class Rule(msgspec.Struct, rename={"duration": "for"}, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A recording rule, which has `record`, or an alert, which has `alert` and all that follows."""

    expr: str
    record: str = ""
    alert: str = ""
    duration: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.record or self.alert


class Group(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Rules that are evaluated one after the other."""

    name: str
    rules: list[Rule]
    interval: str = ""


class RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file of rules."""

    groups: list[Group]


class ExpectedAlert(msgspec.Struct, forbid_unknown_fields=True):
    """An alert that a test expects."""

    exp_labels: dict[str, str]
    exp_annotations: dict[str, str]


class AlertTest(msgspec.Struct, forbid_unknown_fields=True):
    """What an alert does at one moment: fires as expected, or, with nothing expected, is silent."""

    alertname: str
    eval_time: str
    exp_alerts: list[ExpectedAlert]


class RuleTest(msgspec.Struct, forbid_unknown_fields=True):
    """A story of a few series, and what is to become of it."""

    name: str
    interval: str
    input_series: list[dict[str, str]]
    alert_rule_test: list[AlertTest] = []
    promql_expr_test: list[dict[str, object]] = []


class RuleTestFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file of tests."""

    rule_files: list[str]
    evaluation_interval: str
    tests: list[RuleTest]
    group_eval_order: list[str] = []


def groups() -> list[Group]:
    """All groups, recording rules before the alerts that read them."""
    files = [msgspec.yaml.decode(path.read_bytes(), type=RuleFile) for path in RULE_FILES]
    found = [group for file in files for group in file.groups]
    return sorted(found, key=lambda group: any(rule.alert for rule in group.rules))


def recordings() -> list[Rule]:
    """All recording rules."""
    return [rule for group in groups() for rule in group.rules if rule.record]


def alerts() -> list[Rule]:
    """All alerts."""
    return [rule for group in groups() for rule in group.rules if rule.alert]


def stories() -> list[RuleTest]:
    """All tests of rules."""
    files = [msgspec.yaml.decode(path.read_bytes(), type=RuleTestFile) for path in TEST_FILES]
    return [test for file in files for test in file.tests]


def selectors(expression: str) -> Iterator[promql.VectorSelector]:
    """What an expression selects, ranges too."""
    found: list[promql.VectorSelector] = []

    def visit(part: promql.Expr) -> None:
        match part:
            case promql.VectorSelector():
                found.append(part)
            case promql.MatrixSelector():
                found.append(part.vector_selector)

    promql.walk(promql.parse(expression), visit)
    return iter(found)


def matched_values(selector: promql.VectorSelector) -> Mapping[str, set[str]]:
    """The values that a selector names, by label; of a pattern the alternatives that it is made of."""
    return {matcher.name: set(matcher.value.split("|")) for matcher in selector.matchers.matchers}
