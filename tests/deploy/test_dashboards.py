"""The dashboards are those that the code makes, Grafana can read them, and what they ask for exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser as promql
import pytest
import yaml
from dashboards import FOLDER as MADE
from dashboards import PAGES
from dashboards.page import VARIABLES
from dashboards.queries import CALLERS, GOOD, OURS
from deploy.dashboard_files import DASHBOARDS, FOLDER, QUERIES, panels
from deploy.expressions import (
    SCRAPED,
    TARGET_LABELS,
    NeverMatchesError,
    UnknownNameError,
    check_values,
    result_labels,
    sample_labels,
    selectors,
)

from ollamamax.metrics.catalogue import CATALOGUE, OUTCOMES

KNOWN = {**sample_labels(CATALOGUE), **SCRAPED}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

UNITS = {"reqps", "percentunit", "s", "bytes", "short", "cps", "ops", "none", "suffix: tok/s", "suffix: tokens"}
OBSERVED = "ollamamax_node_"
"""Of nodes; whoever scrapes several gateways sees each of these gauges several times."""
OWN_GAUGES = {"ollamamax_node_in_flight"}
"""What a gauge of nodes tells of the gateway's own work."""


each_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_files_are_those_that_the_code_makes() -> None:
    """Each file is what `make dashboards` would write now, and there is no other."""
    made = {f"{page.uid}.json": page.json() for page in PAGES}
    assert sorted(DASHBOARDS) == sorted(made)
    stale = [name for name, text in made.items() if (MADE / name).read_text("utf-8") != text]
    assert stale == []


def test_the_addresses_of_dashboards_stay() -> None:
    """The uids are those that links and bookmarks hold."""
    assert [page.uid for page in PAGES] == [
        "ollamamax-overview",
        "ollamamax-inference",
        "ollamamax-fleet",
        "ollamamax-capacity",
        "ollamamax-runtime",
    ]


@each_dashboard
def test_grafana_can_import_it(name: str) -> None:
    """It has the schema that it was written for, ids of its own, none of an installation, and places on the grid."""
    dashboard = DASHBOARDS[name]
    assert dashboard["schemaVersion"] == 42
    assert dashboard.get("id") is None
    assert dashboard["title"]
    assert dashboard["description"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        columns = range(place.get("x", 0), place.get("x", 0) + place["w"])
        cells = {(x, y) for x in columns for y in range(place.get("y", 0), place.get("y", 0) + place["h"])}
        assert columns.stop <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@each_dashboard
def test_nothing_is_tied_to_one_data_source(name: str) -> None:
    """Wherever a data source is named it is the one that is chosen at the top."""

    def named(part: object) -> Iterator[object]:
        if isinstance(part, dict):
            if "datasource" in part:
                yield part["datasource"]
            for value in part.values():
                yield from named(value)
        elif isinstance(part, list):
            for value in part:
                yield from named(value)

    dashboard = DASHBOARDS[name]
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert dashboard["templating"]["list"][0]["name"] == "datasource"
    found = list(named(dashboard))
    assert len(found) > len(list(panels(dashboard))) / 2
    assert [each for each in found if each != SOURCE] == []


@each_dashboard
def test_every_panel_says_what_it_shows(name: str) -> None:
    """Each panel has its own title and a description; each that asks has a unit, and legends that tell series apart."""
    seen: set[str] = set()
    for panel in panels(DASHBOARDS[name]):
        title = panel["title"]
        assert title not in seen, title
        seen.add(title)
        assert panel["description"].endswith("."), title
        if panel["type"] == "text":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, title
        assert panel["datasource"] == SOURCE, title
        assert panel["targets"], title
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert all(legends), title
        assert len(set(legends)) == len(legends), title
        assert len({target["refId"] for target in panel["targets"]}) == len(legends), title


@each_dashboard
def test_variables_are_declared_and_used(name: str) -> None:
    """What a query or a variable refers to can be chosen, and what can be chosen changes something."""
    dashboard = DASHBOARDS[name]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    text = json.dumps([panel.get("targets", []) for panel in panels(dashboard)])
    used = set(re.findall(r"\$(\w+)", text)) - {"__rate_interval", "__range"}
    assert used == variables.keys() - {"datasource"}
    for variable in variables.values():
        assert set(re.findall(r"\$(\w+)", str(variable.get("definition", "")))) <= variables.keys()


@pytest.mark.parametrize("name", VARIABLES)
def test_the_values_of_variables_exist(name: str) -> None:
    """The metric from which a variable takes its values is there, and has the label."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", VARIABLES[name][1])
    assert found is not None
    labels = result_labels(found[1].replace("$job", ".*").replace("$instance", ".*"), KNOWN)
    assert labels is not None
    assert found[2] == name
    assert name in labels


def test_the_provisioning_is_what_grafana_reads() -> None:
    """The examples are YAML of the version that Grafana reads: one Prometheus, one folder with all dashboards."""
    folder = FOLDER / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "ollamamax.yaml").read_text("utf-8"))
    providers = yaml.safe_load((folder / "dashboards" / "ollamamax.yaml").read_text("utf-8"))
    assert sources["apiVersion"] == providers["apiVersion"] == 1
    (source,) = sources["datasources"]
    assert source["type"] == SOURCE["type"]
    assert re.fullmatch(r"\d+s", source["jsonData"]["timeInterval"])
    (provider,) = providers["providers"]
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()


# --- the queries ------------------------------------------------------------------------------------------------------


def test_what_is_asked_for_exists() -> None:
    """Each query parses; each metric, label and value is in the catalogue; operands match; a legend has labels."""
    wrong = {}
    for query in QUERIES:
        try:
            labels = result_labels(query.promql(), KNOWN)
            check_values(query.promql(), CATALOGUE)
        except (ValueError, UnknownNameError, NeverMatchesError) as error:
            wrong[str(query)] = str(error)
        else:
            missing = set(re.findall(r"\{\{(\w+)\}\}", query.legend)) - (labels or set())
            if missing or labels is None:
                wrong[str(query)] = f"no {', '.join(missing) or 'vector'} in the result"
    assert wrong == {}


def test_what_is_chosen_counts() -> None:
    """Each selector takes the chosen jobs and gateways, and nodes and models where one can choose them."""
    wrong = []
    for query in QUERIES:
        chosen = {variable["name"] for variable in DASHBOARDS[f"{query.dashboard}.json"]["templating"]["list"]}
        for selector in selectors(query.promql()):
            matched = {matcher.name for matcher in selector.matchers.matchers}
            labels = KNOWN.get(selector.name or "", TARGET_LABELS)
            if not labels & {"job", "instance", "node", "model"} & chosen <= matched:
                wrong.append(f"{query}: {selector.name}")
    assert wrong == []


def test_no_interval_is_fixed() -> None:
    """A range is what fits the graph and the scrapes, or all that is shown: never a length of its own."""
    ranges = {found for query in QUERIES for found in re.findall(r"\[([^\]]*)\]", query.expression)}
    assert ranges == {"$__rate_interval", "$__range", "$__range:$__rate_interval"}


def test_clients_that_left_are_no_errors_and_take_no_time() -> None:
    """Every duration and every ratio of HTTP requests is without the status 499."""
    wrong = []
    for query in QUERIES:
        for selector in selectors(query.promql()):
            name = selector.name or ""
            if name.startswith("http_request_duration") or (name == "http_requests_total" and "/" in query.promql()):
                texts = {str(matcher) for matcher in selector.matchers.matchers}
                if not texts & {'status!="499"', 'status=~"5.."'}:
                    wrong.append(f"{query}: {selector}")
    assert wrong == []


def test_quantiles_are_of_sums_of_buckets() -> None:
    """A quantile is taken of the sum, by `le`, of rates of all gateways' buckets: quantiles cannot be added after."""
    found = 0
    for query in QUERIES:
        for part, _ in walk(promql.parse(query.promql())):
            if isinstance(part, promql.Call) and part.func.name == "histogram_quantile":
                found += 1
                _, summed = part.args
                assert isinstance(summed, promql.AggregateExpr), query
                assert str(summed.op) == "sum", query
                assert summed.modifier is not None, query
                assert "le" in summed.modifier.labels, query
                assert isinstance(summed.expr, promql.Call), query
                assert summed.expr.func.name == "rate", query
    assert found > 20


def test_own_work_is_summed_and_observations_are_not() -> None:
    """Rates of counters are summed over the gateways at once; of gauges of a node the highest counts, by node."""
    observations = {m.name for m in CATALOGUE if m.name.startswith(OBSERVED) and m.kind in ("gauge", "info")}
    for query in QUERIES:
        for part, parent in walk(promql.parse(query.promql())):
            if isinstance(part, promql.Call) and part.func.name in ("rate", "increase"):
                assert isinstance(parent, promql.AggregateExpr), query
                assert str(parent.op) == "sum", query
            if isinstance(part, promql.VectorSelector) and part.name in observations - OWN_GAUGES:
                assert isinstance(parent, promql.AggregateExpr), query
                assert str(parent.op) == "max", query
                assert parent.modifier is not None, query
                assert "node" in parent.modifier.labels, query


def walk(part: promql.Expr, parent: promql.Expr | None = None) -> Iterator[tuple[promql.Expr, promql.Expr | None]]:
    """Every part of an expression, with what it stands in; parentheses are looked through."""
    if isinstance(part, promql.ParenExpr):
        yield from walk(part.expr, parent)
        return
    yield part, parent
    inner: list[promql.Expr] = []
    if isinstance(part, promql.BinaryExpr):
        inner = [part.lhs, part.rhs]
    elif isinstance(part, promql.Call):
        inner = part.args
    elif isinstance(part, promql.AggregateExpr | promql.SubqueryExpr | promql.UnaryExpr):
        inner = [part.expr]
    for each in inner:
        yield from walk(each, part)


def test_every_outcome_has_its_side() -> None:
    """Good, the caller's or ours: each outcome is exactly one of them."""
    assert sorted(f"{GOOD}|{CALLERS}|{OURS}".split("|")) == sorted(OUTCOMES)


def test_the_code_is_whole() -> None:
    """Each module of the dashboards' code that has a page is shown."""
    modules = {path.stem for path in (FOLDER / "dashboards").glob("*.py") if "\nPAGE = " in path.read_text()}
    assert modules == {page.name for page in PAGES}
