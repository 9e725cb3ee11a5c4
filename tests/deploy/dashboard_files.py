"""The dashboards as Grafana gets them, and what they ask, with Grafana's variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

FOLDER = Path(__file__).resolve().parent.parent.parent / "deploy" / "grafana"
DASHBOARDS: Mapping[str, Any] = {
    path.name: json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "json").glob("*.json"))
}

ALL = ".*"
"""What Grafana puts in the place of a variable for which everything is chosen: its `allValue`."""


@attrs.frozen
class Asked:
    """One query of a panel.

    Attributes:
        dashboard: the uid of its dashboard.
        panel: the title of its panel.
        expression: PromQL, with Grafana's variables.
        legend: what its series are called.
        instant: whether it is about one moment, not about each step of a graph.
    """

    dashboard: str
    panel: str
    expression: str
    legend: str
    instant: bool

    def promql(self, rate_interval: str = "1m", whole: str = "1h") -> str:
        """The expression as Prometheus gets it.

        Args:
            rate_interval: what stands for `$__rate_interval`.
            whole: what stands for `$__range`: how much time the dashboard shows.
        """
        text = self.expression.replace("$__rate_interval", rate_interval).replace("$__range", whole)
        for variable in ("$job", "$instance", "$node", "$model"):
            text = text.replace(variable, ALL)
        return text

    def __str__(self) -> str:
        return f"{self.dashboard.removeprefix('ollamamax-')}: {self.panel}: {self.legend}"


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a dashboard shows, without its headings."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def asked(dashboard: Mapping[str, Any], panel: Mapping[str, Any]) -> Iterator[Asked]:
    """The queries of a panel."""
    for target in panel.get("targets", ()):
        yield Asked(
            dashboard["uid"], panel["title"], target["expr"], target["legendFormat"], target.get("instant", False)
        )


QUERIES = [
    query for dashboard in DASHBOARDS.values() for panel in panels(dashboard) for query in asked(dashboard, panel)
]
"""Every query of every dashboard."""
