"""A dashboard: its variables, its rows of panels, and the JSON that Grafana imports."""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from .panels import SOURCE, Panel

TAG = "ollamamax"

VARIABLES = {
    "job": ("Job", "label_values(ollamamax_build_info, job)"),
    "instance": ("Gateway", 'label_values(ollamamax_build_info{job=~"$job"}, instance)'),
    "node": ("Node", 'label_values(ollamamax_node_up{job=~"$job",instance=~"$instance"}, node)'),
    "model": ("Model", 'label_values(ollamamax_inference_requests_total{job=~"$job",instance=~"$instance"}, model)'),
}
"""What can be chosen: the heading, and where the values come from. Without a choice it is all of them."""


@attrs.frozen
class Row:
    """Panels under one heading.

    Attributes:
        title: the heading.
        panels: from left to right; they wrap at 24 columns.
    """

    title: str
    panels: Sequence[Panel]


@attrs.frozen
class Page:
    """One dashboard.

    Attributes:
        name: its file's name and, behind `ollamamax-`, its uid. It stays: links and bookmarks hold it.
        title: what it is called in Grafana.
        description: which question it answers.
        variables: what can be chosen on it, out of `VARIABLES`, beside the data source.
        rows: what it shows.
    """

    name: str
    title: str
    description: str
    variables: Sequence[str]
    rows: Sequence[Row]

    @property
    def uid(self) -> str:
        """What Grafana knows it by."""
        return f"{TAG}-{self.name}"

    def build(self) -> dashboard.Dashboard:
        """The dashboard, as Grafana's own kind of object."""
        builder = (
            build.Dashboard(f"OllamaMax / {self.title}")
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .timezone("browser")
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .variables([_source(), *(_variable(name) for name in self.variables)])
            .link(_others())
        )
        for row in self.rows:
            builder.with_row(build.Row(row.title))
            for panel in row.panels:
                builder.with_panel(panel)
        built = builder.build()
        for number, shown in enumerate(built.panels or (), 1):
            shown.id_val = number
        return built

    def json(self) -> str:
        """The text of the file that Grafana imports."""
        return json.dumps(self.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _source() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _variable(name: str) -> build.QueryVariable:
    label, query = VARIABLES[name]
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .definition(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _others() -> build.DashboardLink:
    return (
        build.DashboardLink("Dashboards of OllamaMax")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
