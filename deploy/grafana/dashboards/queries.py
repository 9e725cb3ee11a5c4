"""PromQL of the dashboards, built so that what has to be in every query cannot be left out of one.

Two kinds of numbers are kept apart. A gateway's own work (requests, tokens, what is in flight) is summed over all
gateways. What a gateway only observes of a node (up, memory, what is resident) is seen by each of them, so that of
several observations of one thing the highest counts, and nothing is added up twice.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

TARGET = 'job=~"$job",instance=~"$instance"'
MODEL = 'model=~"$model"'
NODE = 'node=~"$node"'

RATE = "$__rate_interval"
"""At least four scrapes, and at least a step of the graph: shorter, `rate` has gaps; longer, it smooths."""
RANGE = "$__range"
"""All that the dashboard shows."""

GOOD = "success|length"
"""Outcomes of inference that are what was asked for."""
CALLERS = "client_error|client_disconnected"
"""Outcomes for which the caller answers: neither good nor bad of the server."""
OURS = "unavailable|timeout|node_error|stream_error|incomplete"
"""Outcomes for which the fleet answers."""
STAYED = 'status!="499"'
"""Without requests whose client left: they are no errors, and took as long as the client had patience."""

QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


@attrs.frozen
class Query:
    """One query of a panel.

    Attributes:
        expression: PromQL, with Grafana's variables.
        legend: what a series of it is called, by its labels: `{{model}}`.
    """

    expression: str
    legend: str


def series(name: str, *matchers: str) -> str:
    """A selector of the chosen gateways' series."""
    return f"{name}{{{','.join((TARGET, *matchers))}}}"


def rate(name: str, *matchers: str, over: str = RATE) -> str:
    """What a counter grows by in a second, per series."""
    return f"rate({series(name, *matchers)}[{over}])"


def total(expression: str, *by: str) -> str:
    """The sum over everything but these labels: for a gateway's own work."""
    return f"sum{_by(by)} ({expression})"


def seen(name: str, *by: str, where: Iterable[str] = ()) -> str:
    """The highest of several gateways' observations of one thing."""
    return f"max{_by(by)} ({series(name, *where)})"


def share(part: str, whole: str) -> str:
    """One sum as a part of another with the same labels: 0 where there is nothing of the part, not nothing."""
    return f"({part} or 0 * {whole}) / {whole}"


def mean(name: str, *matchers: str, by: Iterable[str] = ()) -> str:
    """The mean of a histogram's or a summary's observations."""
    labels = tuple(by)
    return f"{total(rate(f'{name}_sum', *matchers), *labels)} / {total(rate(f'{name}_count', *matchers), *labels)}"


def quantile(of: str, name: str, *matchers: str, by: Iterable[str] = ()) -> str:
    """A quantile of a histogram's observations, over all gateways together.

    Args:
        of: `0.95`, say.
        name: the histogram's, without `_bucket`.
        matchers: which of its series.
        by: labels of which each combination has a quantile of its own.
    """
    return f"histogram_quantile({of}, {total(rate(f'{name}_bucket', *matchers), 'le', *by)})"


def quantiles(name: str, *matchers: str) -> list[Query]:
    """The median and what few requests exceed, as three queries."""
    return [Query(quantile(of, name, *matchers), legend) for legend, of in QUANTILES.items()]


def worst(name: str, *matchers: str, by: str) -> Query:
    """The 95th percentile for each value of a label."""
    return Query(quantile("0.95", name, *matchers, by=[by]), f"{{{{{by}}}}}")


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
