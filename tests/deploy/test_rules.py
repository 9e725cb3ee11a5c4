"""The rules of deploy/prometheus read what the server exposes, and are what the documentation says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from deploy.expressions import SCRAPED, Labels, NeverMatchesError, UnknownNameError, result_labels, sample_labels
from deploy.rule_files import RULE_FILES, alerts, groups, matched_values, recordings, selectors

from ollamamax.metrics.catalogue import CATALOGUE
from ollamamax.web import operations
from ollamamax.web.operations import Operation

ROOT = Path(__file__).parent.parent.parent
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
LIMITED = "limited"
"""An outcome that nothing has before keys have limits; the indicators leave it out from the start."""

SECONDS = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400, "3d": 259200}
BURNS = {
    "ErrorBudgetBurn1h": ("1h", "5m", "14.4", "page"),
    "ErrorBudgetBurn6h": ("6h", "30m", "6", "page"),
    "ErrorBudgetBurn1d": ("1d", "2h", "3", "ticket"),
    "ErrorBudgetBurn3d": ("3d", "6h", "1", "ticket"),
}
"""Long window, short window, burn rate and severity of each alert on the error budget."""

ALIASES = {"/api/v1/inference/chat", "/api/v1/inference/generate"}
"""Inference routes of the gateway's own API."""


def known() -> dict[str, Labels]:
    """Every sample that a rule may read: scraped, written by Prometheus, recorded before."""
    names = {**sample_labels(CATALOGUE), **SCRAPED}
    # A recorded series has the labels by which its sum was taken; a constant has none.
    by = re.compile(r"by \((.*?)\)")
    return names | {
        rule.record: frozenset(found[1].split(", ") if (found := by.search(rule.expr)) else ()) for rule in recordings()
    }


def shown_queries() -> list[str]:
    """The queries that the pages tell a reader to look at."""
    pages = ((ROOT / "docs" / name).read_text("utf-8") for name in ("prometheus.md", "runbooks.md"))
    return [query for page in pages for query in re.findall(r"^```promql\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)]


def problems(expressions: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with expressions, by their names: unknown names, operands that never match, no vector."""
    names, found = known(), {}
    for name, expression in expressions.items():
        try:
            if result_labels(expression, names) is None:
                found[name] = "no vector"
        except (ValueError, UnknownNameError, NeverMatchesError) as error:
            found[name] = str(error)
    return found


def test_every_name_in_a_rule_exists() -> None:
    """Each metric that a rule reads is exposed or recorded, and has each label that is named there."""
    assert problems({rule.name: rule.expr for rule in [*recordings(), *alerts()]}) == {}


def test_every_name_in_a_query_of_the_pages_exists() -> None:
    """The queries that the pages show read what there is, too."""
    assert any(":rate" in query for query in shown_queries())
    assert problems({query: query for query in shown_queries()}) == {}


def test_every_value_of_a_closed_label_exists() -> None:
    """Values of labels with a closed set are of that set, wherever rules and pages name them; buckets are there."""
    closed = {metric.name: metric.closed for metric in CATALOGUE}
    bounds = {f"{metric.name}_bucket": {repr(bound) for bound in metric.buckets} for metric in CATALOGUE}
    named = 0
    for query in [*(rule.expr for rule in [*recordings(), *alerts()]), *shown_queries()]:
        for selector in selectors(query):
            sets = closed.get(selector.name or "", {})
            for label, values in matched_values(selector).items():
                named += 1
                if label in sets:
                    assert values - {LIMITED} <= set(sets[label]), selector
                if label == "le":
                    assert values <= bounds[selector.name or ""], selector
    assert named


def test_an_alert_has_all_that_is_needed_at_night() -> None:
    """An alert says how severe it is, for how long it has to be so, what is wrong, of what, and where to read on."""
    for alert in alerts():
        assert alert.labels in ({"severity": "page"}, {"severity": "ticket"}), alert
        assert alert.duration, alert
        assert alert.annotations.keys() == {"summary", "description", "runbook_url"}, alert
        assert "{{" in alert.annotations["summary"], alert
        assert "{{" in alert.annotations["description"], alert


def test_every_alert_has_a_section_of_the_runbooks_and_every_section_an_alert() -> None:
    """The anchors to which alerts lead are the page's sections, which say the four things that a reader wants."""
    anchors = {rule.annotations["runbook_url"].removeprefix("docs/runbooks.md#") for rule in alerts()}
    _, *sections = re.split(r"^## (?=\w+$)", RUNBOOKS, flags=re.MULTILINE)
    titles = [section.partition("\n")[0] for section in sections]
    assert sorted(title.lower() for title in titles) == sorted(anchors)
    for title, section in zip(titles, sections, strict=True):
        parts = re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE)
        assert parts == ["What it means.", "What users notice.", "How to look.", "What to do."], title


def test_the_runbooks_say_whom_an_alert_wakes() -> None:
    """Each section begins with its alerts and their severities, as the rules have them."""
    said: dict[str, tuple[str, str]] = {}
    for title, line in re.findall(r"^## (\w+)\n\n(.+)$", RUNBOOKS, re.MULTILINE):
        for names, severity in re.findall(r"((?:`\w+`(?:, )?)+): (page|ticket)\.", line):
            said |= {name: (title.lower(), severity) for name in re.findall(r"\w+", names)}
    assert said == {
        rule.alert: (rule.annotations["runbook_url"].partition("#")[2], rule.labels["severity"]) for rule in alerts()
    }


def test_names_are_unique() -> None:
    """No two alerts have one name, nor two recording rules: tests and runbooks tell them apart by it."""
    names = [rule.name for group in groups() for rule in group.rules]
    assert len(names) == len(set(names))


def test_the_objectives_are_in_one_place() -> None:
    """Each objective is a number in one rule, which alerts read by its name; no other place repeats it."""
    objectives = {rule.record: rule.expr for rule in recordings() if "objective" in rule.record}
    assert objectives == {
        "ollamamax:inference_objective:ratio": "vector(0.995)",
        "ollamamax:first_token_objective:ratio": "vector(0.95)",
    }
    text = "".join(path.read_text("utf-8") for path in RULE_FILES)
    assert re.findall(r"\b0\.(?:995|95|005|05)\b", text) == ["0.995", "0.95"]


def test_an_indicator_is_the_same_over_every_window() -> None:
    """Recording rules of one indicator differ by their window alone, which is the one that their name tells."""
    by_indicator: dict[str, set[str]] = {}
    windows: dict[str, set[str]] = {}
    for rule in recordings():
        indicator, rate, window = rule.record.partition(":rate")
        if not rate:
            continue
        assert set(re.findall(r"\[(\w+)\]", rule.expr)) == {window}, rule
        by_indicator.setdefault(indicator, set()).add(rule.expr.replace(f"[{window}]", "[]"))
        windows.setdefault(indicator, set()).add(window)
    assert {indicator: len(expressions) for indicator, expressions in by_indicator.items()} == {
        "job_model:ollamamax_inference_errors": 1,
        "job_model:ollamamax_inference_total": 1,
        "job_model:ollamamax_first_token_slow": 1,
        "job_model:ollamamax_first_token_total": 1,
    }
    assert (
        windows["job_model:ollamamax_inference_errors"] == windows["job_model:ollamamax_inference_total"] == {*SECONDS}
    )


def test_a_burn_rate_is_taken_over_two_windows_with_enough_requests() -> None:
    """An alert on the budget compares both of its windows with its rate, and wants 20 requests in the long one."""
    budget = r"> ([\d.]+) \* \(1 - scalar\(ollamamax:inference_objective:ratio\)\)"
    burning = {rule.alert: rule for rule in alerts() if "inference_objective" in rule.expr}
    assert burning.keys() == BURNS.keys()
    for name, (long, short, rate, severity) in BURNS.items():
        expression = burning[name].expr
        assert re.findall(budget, expression) == [rate, rate]
        assert re.findall(r":rate(\w+)", expression) == [long, long, short, short, long]
        assert re.findall(r" \* (\d+) >= (\d+)$", expression) == [(str(SECONDS[long]), "20")]
        assert burning[name].labels["severity"] == severity


def test_those_who_give_up_are_counted_on_all_inference_routes() -> None:
    """The routes on which a client can leave before it is answered are those that infer, and no others."""
    (alert,) = (rule for rule in alerts() if rule.alert == "ClientsGiveUp")
    (pattern,) = {m.value for s in selectors(alert.expr) for m in s.matchers.matchers if m.name == "endpoint"}
    inferring = {value.target.decode() for value in vars(operations).values() if isinstance(value, Operation)} | ALIASES
    assert {route for route in all_routes() if re.fullmatch(pattern, route)} == inferring


def all_routes() -> set[str]:
    """The patterns of all routes of the server."""
    from ollamamax.web.compatible import CompatibleRoutes
    from ollamamax.web.control import ControlRoutes
    from ollamamax.web.native import NativeRoutes

    apps = (NativeRoutes.app, CompatibleRoutes.app, ControlRoutes.app)
    return {rule.rule for app in apps for rule in app.url_map.iter_rules()}
