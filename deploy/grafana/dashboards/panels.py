"""The kinds of panels, each with what every panel of its kind has: a unit, a description, a legend, a height."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import text as prose
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shown
from grafana_foundation_sdk.models import dashboard, text
from grafana_foundation_sdk.models import prometheus as asked
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

from .queries import Query

Panel = Builder[dashboard.Panel]
Unit = Literal["reqps", "percentunit", "s", "bytes", "short", "cps", "ops", "suffix: tok/s", "suffix: tokens", "none"]
"""Grafana's names of units; `short` is a plain number, `cps` counts per second, `none` is for texts and states."""

SOURCE = shown.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that is chosen at the top of the dashboard."""

WIDTH = 24
_HEIGHT = 8
_LOW = 4
"""Of a single number."""


def lines(
    title: str, description: str, unit: Unit, *queries: Query, span: int = 12, stacked: bool = False, most: float = 0
) -> Panel:
    """Values over time, one line for each series.

    Args:
        title: what is seen.
        description: what it means, and what to do with it.
        unit: of its values.
        queries: what is asked.
        span: how many of the 24 columns it takes.
        stacked: whether the lines are parts of one sum.
        most: the highest value that there can be; 0: there is none.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .span(span)
        .height(_HEIGHT)
        .datasource(SOURCE)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(shown.LegendDisplayMode.TABLE)
            .placement(shown.LegendPlacement.BOTTOM)
            .calcs(["mean", "max", "lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(shown.TooltipDisplayMode.MULTI).sort(shown.SortOrder.DESCENDING))
        .show_points(shown.VisibilityMode.NEVER)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .targets(_targets(queries))
    )
    if most:
        panel.max(most)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shown.StackingMode.NORMAL).group("A"))
    return panel


def number(
    title: str, description: str, unit: Unit, query: Query, *, span: int = 4, colours: Mapping[float, str] | None = None
) -> Panel:
    """The last value of one series, with its way there behind it.

    Args:
        title: what is seen.
        description: what it means.
        unit: of its value.
        query: what is asked; it gives one series.
        span: how many of the 24 columns it takes.
        colours: from which value on it has which; none: it is no judgement.
    """
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(span)
        .height(_LOW)
        .datasource(SOURCE)
        .graph_mode(shown.BigValueGraphMode.AREA)
        .color_mode(shown.BigValueColorMode.VALUE)
        .thresholds(_thresholds(colours or {}))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets(_targets([query]))
    )


def bars(
    title: str,
    description: str,
    unit: Unit,
    query: Query,
    *,
    span: int = 12,
    colours: Mapping[float, str] | None = None,
) -> Panel:
    """One bar for each series, of a query about all of the time that is shown."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .span(span)
        .height(_HEIGHT)
        .datasource(SOURCE)
        .display_mode(shown.BarGaugeDisplayMode.BASIC)
        .orientation(shown.VizOrientation.HORIZONTAL)
        .thresholds(_thresholds(colours or {}))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets([_target(query, "A").instant()])
    )


def states(
    title: str, description: str, query: Query, meanings: Mapping[int, tuple[str, str]], *, span: int = 12
) -> Panel:
    """What each series was, and when: a band each.

    Args:
        title: what is seen.
        description: what it means.
        query: what is asked.
        meanings: for each value its word and its colour.
        span: how many of the 24 columns it takes.
    """
    options = {
        str(value): dashboard.ValueMappingResult(text=word, color=colour, index=index)
        for index, (value, (word, colour)) in enumerate(meanings.items())
    }
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .unit("none")
        .span(span)
        .height(_HEIGHT)
        .datasource(SOURCE)
        .mappings([dashboard.ValueMap(options=options)])
        .show_value(shown.VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(True).placement(shown.LegendPlacement.BOTTOM))
        .targets(_targets([query]))
    )


def heat(title: str, description: str, unit: Unit, query: Query, *, span: int = 12) -> Panel:
    """How many observations fell into which bucket, and when.

    Args:
        title: what is seen.
        description: what it means.
        unit: of the buckets' bounds.
        query: the rate of each bucket, by `le`.
        span: how many of the 24 columns it takes.
    """
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(span)
        .height(_HEIGHT)
        .datasource(SOURCE)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .show_legend()
        .targets([_target(query, "A").range().format(asked.PromQueryFormat.HEATMAP)])
    )


def rows(title: str, description: str, query: Query, *, columns: Mapping[str, str], span: int = 12) -> Panel:
    """A table of the labels of series that tell something by their labels.

    Args:
        title: what is seen.
        description: what it means.
        query: what is asked; its series have these labels and no others.
        columns: the labels, with their headings.
        span: how many of the 24 columns it takes.
    """
    organised = {
        "excludeByName": {"Time": True, "Value": True},
        "indexByName": {label: place for place, label in enumerate(columns)},
        "renameByName": dict(columns),
    }
    return (
        table.Panel()
        .title(title)
        .description(description)
        .unit("none")
        .span(span)
        .height(_HEIGHT)
        .datasource(SOURCE)
        .transformations([dashboard.DataTransformerConfig(id_val="organize", options=organised)])
        .targets([_target(query, "A").instant().format(asked.PromQueryFormat.TABLE)])
    )


def words(title: str, description: str, content: str, *, span: int = WIDTH, height: int = _HEIGHT) -> Panel:
    """A text, in Markdown."""
    return (
        prose.Panel()
        .title(title)
        .description(description)
        .mode(text.TextMode.MARKDOWN)
        .content(content)
        .span(span)
        .height(height)
    )


def _targets(queries: Iterable[Query]) -> list[Builder[Dataquery]]:
    return [_target(query, chr(ord("A") + place)).range() for place, query in enumerate(queries)]


def _target(query: Query, name: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(name)


def _thresholds(colours: Mapping[float, str]) -> build.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color="green" if colours else "text")]
    steps += [dashboard.Threshold(value=value, color=colour) for value, colour in colours.items()]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
