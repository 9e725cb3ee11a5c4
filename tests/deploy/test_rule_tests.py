"""The tests of the rules are whole, and `promtool` finds the rules, their tests and the example as they should be."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable

from deploy.expressions import sample_labels
from deploy.rule_files import PROMETHEUS, RULE_FILES, TEST_FILES, alerts, recordings, selectors, stories

from ollamamax.metrics.catalogue import CATALOGUE

TIMEOUT_SECONDS = 100


def promtool(program: Callable[..., str], *arguments: str) -> tuple[int, str]:
    """The exit status of `promtool` and what it prints."""
    command = [program("promtool", "prometheus"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    """Each alert is expected at some moment of some story, and at another, of which there are values, not."""
    counted = Counter(
        (case.alertname, "fires" if case.exp_alerts else "silent")
        for story in stories()
        for case in story.alert_rule_test
    )
    names = {alert.alert for alert in alerts()}
    assert {name for name, _ in counted} == names
    assert [(name, kind) for name in names for kind in ("fires", "silent") if not counted[name, kind]] == []


def test_the_stories_are_told_with_what_the_server_exposes() -> None:
    """A series of a test has the labels of a metric of the catalogue, all of them: what fires there can fire."""
    known = {**sample_labels(CATALOGUE), "up": frozenset({"job", "instance"})}
    wrong = []
    for story in stories():
        for series in story.input_series:
            (selector,) = selectors(series["series"])
            if known.get(selector.name or "") != frozenset(matcher.name for matcher in selector.matchers.matchers):
                wrong.append(series["series"])
    assert wrong == []


def test_promtool_accepts_the_rules_and_the_example(program: Callable[..., str]) -> None:
    """`promtool check rules` counts all of them, and `check config` finds them where the example looks for them."""
    status, printed = promtool(program, "check", "rules", *map(str, RULE_FILES))
    assert status == 0, printed
    assert sum(int(line.split()[1]) for line in printed.splitlines() if "rules found" in line) == len(
        [*recordings(), *alerts()]
    )
    status, printed = promtool(program, "check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert status == 0, printed
    assert f"{len(RULE_FILES)} rule files found" in printed


def test_promtool_runs_the_tests_of_the_rules(program: Callable[..., str]) -> None:
    """`promtool test rules` runs every file, and all of them hold."""
    status, printed = promtool(program, "test", "rules", *map(str, TEST_FILES))
    assert status == 0, printed
    assert printed.count("SUCCESS") == len(TEST_FILES)
