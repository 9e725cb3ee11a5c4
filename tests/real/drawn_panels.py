"""Panels drawn from the results of their queries, at their places on the dashboard: pictures for the documentation.

It is no Grafana and does not try to be one: it draws the same queries, legends, units and places, plainly.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

COLUMNS = 24
_WIDTH_INCHES = 15.0
_UNIT_INCHES = 0.37
"""Height of one of the units in which Grafana counts the height of panels."""
_DOTS_PER_INCH = 75
_COLOURS = 96
_MOST_NAMES = 8
"""Series that a legend names; the picture shows all, and the rest goes by `…`."""
_FAINT = "#8a8f98"
_NAMED_COLOURS = {"green": "#3a9d5d", "orange": "#e08a2e", "red": "#cf3f3f", "text": "#30343b"}

mpl.rcParams.update({
    "font.size": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#c4c8cf",
    "axes.grid": True,
    "grid.color": "#eceef1",
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "lines.linewidth": 1.1,
})  # fmt: skip


@attrs.frozen
class Drawn:
    """One series to draw.

    Attributes:
        name: its legend.
        labels: its labels.
        times: seconds since the begin of the picture.
        values: the value at each; NaN where there was none.
    """

    name: str
    labels: Mapping[str, str]
    times: Sequence[float]
    values: Sequence[float]

    @property
    def last(self) -> float:
        """The last value that there was."""
        return next((value for value in reversed(self.values) if math.isfinite(value)), math.nan)


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A legend with the labels of a series in it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def picture(dashboard: Mapping[str, Any], series: Mapping[str, Sequence[Drawn]], path: Path) -> None:
    """Draws a dashboard.

    Args:
        dashboard: as Grafana gets it.
        series: what the queries of each panel gave, by the panel's title.
        path: the PNG file to write.
    """
    height = max(panel["gridPos"].get("y", 0) + panel["gridPos"]["h"] for panel in dashboard["panels"]) + 1
    figure = Figure(figsize=(_WIDTH_INCHES, height * _UNIT_INCHES), dpi=_DOTS_PER_INCH)
    figure.text(0.008, 1 - 0.55 / height, dashboard["title"], fontsize=12, weight="bold", va="center")
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left, top = place.get("x", 0) / COLUMNS, 1 - (place.get("y", 0) + 1) / height
        if panel["type"] == "row":
            figure.text(0.008, top - 0.55 / height, panel["title"], fontsize=10, color=_FAINT, va="center")
            continue
        bottom = top - place["h"] / height
        inside = (left + 0.045, bottom + 1.0 / height, place["w"] / COLUMNS - 0.055, (place["h"] - 2.1) / height)
        axes = figure.add_axes(inside)
        axes.set_title(panel["title"], fontsize=8, weight="bold", loc="left")
        axes.set_axisbelow(True)
        _KINDS[panel["type"]](axes, panel, series.get(panel["title"], ()))
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    drawn.seek(0)
    Image.open(drawn).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def told(value: float, unit: str) -> str:
    """A value with its unit, as short as it can be read."""
    if not math.isfinite(value):
        return "–"
    if unit in _SCALES:
        scale, name = next((each for each in _SCALES[unit] if abs(value) >= each[0]), _SCALES[unit][-1])
    else:
        scale, prefix = next((each for each in _THOUSANDS if abs(value) >= each[0]), (1.0, ""))
        name = prefix + _NAMES.get(unit, f" {unit.removeprefix('suffix: ')}")
    return f"{value / scale:.3g}{name}" if value else f"0{_NAMES.get(unit, '')}"


_SCALES = {
    "s": ((86400.0, " d"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "bytes": ((2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B")),
    "percentunit": ((0.01, " %"),),
}
_THOUSANDS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
_NAMES = {"reqps": "/s", "cps": "/s", "ops": "/s", "suffix: tok/s": "/s", "short": "", "none": "", "suffix: tokens": ""}


def _unit(panel: Mapping[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"].get("unit", "short"))


def _scaled(axes: Axes, panel: Mapping[str, Any], axis: str = "y") -> None:
    chosen = axes.yaxis if axis == "y" else axes.xaxis
    chosen.set_major_locator(MaxNLocator(5))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: told(value, _unit(panel))))


def _lines(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    stacking = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode")
    if stacking == "normal" and series:
        times = sorted({time for each in series for time in each.times})
        known = [dict(zip(each.times, each.values, strict=True)) for each in series]
        layers = [[_present(values.get(time, 0.0)) for time in times] for values in known]
        axes.stackplot(times, layers, labels=[each.name for each in series], alpha=0.75)
    else:
        for each in series:
            axes.plot(each.times, each.values, label=each.name)
    axes.set_ylim(bottom=0)
    _scaled(axes, panel)
    _named(axes)


def _present(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _named(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"… {len(names) - _MOST_NAMES + 1} more"]
    if names:
        axes.legend(
            handles[: len(names)],
            names,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.09),
            ncol=4,
            fontsize=6,
            frameon=False,
            handlelength=1,
            columnspacing=1,
            borderaxespad=0.2,
        )


def _number(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    axes.axis("off")
    for each in series:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        passed = [step for step in steps if step["value"] is None or each.last >= step["value"]]
        colour = _NAMED_COLOURS[passed[-1]["color"]]
        if len(each.times) > 1:
            axes.fill_between(each.times, each.values, alpha=0.15, color=colour)
            axes.set_ylim(bottom=0)
        text = told(each.last, _unit(panel))
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=17, color=colour)


def _bars(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    rows = range(len(series))
    axes.barh(rows, [each.last for each in series], color="#9dbbe6", height=0.75)
    for row, each in zip(rows, series, strict=True):
        axes.text(0, row, f" {each.name}: {told(each.last, _unit(panel))}", va="center", fontsize=6)
    axes.set_yticks([])
    _scaled(axes, panel, "x")


def _states(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    for row, each in enumerate(series):
        for time, until, value in _spans(each):
            shown = mapping["options"].get(f"{value:g}", {"color": "text"})
            axes.broken_barh([(time, until - time)], (row - 0.35, 0.7), color=_NAMED_COLOURS[shown["color"]])
        begin = next((time for time, _, _ in _spans(each)), 0.0)
        axes.text(begin, row, f" {each.name}", va="center", fontsize=6, color="white")
    axes.set_yticks([])
    axes.set_ylim(-0.6, max(len(series), 3) - 0.4)


def _spans(series: Drawn) -> Iterator[tuple[float, float, float]]:
    """From when until when the series had which value."""
    for place, (time, value) in enumerate(zip(series.times, series.values, strict=True)):
        if place + 1 < len(series.times) and math.isfinite(value):
            yield time, series.times[place + 1], value


def _heat(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    bounds = sorted((each for each in series if each.labels["le"] != "+Inf"), key=lambda each: float(each.labels["le"]))
    if not bounds:
        return
    times = sorted({time for each in bounds for time in each.times})
    known = [dict(zip(each.times, each.values, strict=True)) for each in bounds]
    sums = [[_present(values.get(time, 0.0)) for time in times] for values in known]
    # Buckets hold all that is not longer; a cell shows what is between two bounds.
    cells = [
        [max(0.0, a - b) for a, b in zip(row, below, strict=True)]
        for row, below in zip(sums, [[0.0] * len(times), *sums], strict=False)
    ]
    axes.pcolormesh(times, range(len(cells)), cells, cmap="Oranges", shading="nearest")
    ticks = range(0, len(bounds), 3)
    axes.set_yticks(ticks, [told(float(bounds[tick].labels["le"]), _unit(panel)) for tick in ticks])
    axes.grid(visible=False)


def _rows(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    (organised,) = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
    columns = organised["renameByName"]
    rows = [[each.labels.get(label, "") for label in columns] for each in series]
    _table(axes, list(columns.values()), rows)


def _words(axes: Axes, panel: Mapping[str, Any], series: Sequence[Drawn]) -> None:
    rows = [
        [cell.strip().replace("*", "").replace("`", "") for cell in line.strip("|").split("|")]
        for line in panel["options"]["content"].splitlines()
        if line.startswith("|") and not line.startswith("|--")
    ]
    _table(axes, rows[0], rows[1:])


def _table(axes: Axes, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    axes.axis("off")
    if rows:
        table = axes.table(
            cellText=[list(row) for row in rows], colLabels=list(headings), cellLoc="left", loc="upper left"
        )
        for cell in table.get_celld().values():
            cell.set_edgecolor("#e3e6ea")


_KINDS = {
    "timeseries": _lines,
    "stat": _number,
    "bargauge": _bars,
    "state-timeline": _states,
    "heatmap": _heat,
    "table": _rows,
    "text": _words,
}
