"""Draws the dashboards for the documentation: `python -m real.dashboard_pictures FOLDER`, in the folder of the tests.

It runs what tests/real/test_dashboards.py runs (a gateway before three simulated nodes, with all that may happen to
it), for longer, and draws what the queries give of it.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
from deploy.dashboard_files import DASHBOARDS, Asked, asked, panels
from real.drawn_panels import Drawn, named, picture
from real.monitored import Monitored, monitored
from real.processes import Processes
from real.prometheus import Result

SECONDS = 180.0
LOCKED_FROM, LOCKED_UNTIL = 45.0, 65.0
NODE_ENDS = 110.0
STANDS_STILL = 145.0
STEP_SECONDS = 5
"""Between two scrapes, and between two points of a line."""
RATE_INTERVAL = "20s"


@attrs.frozen
class Span:
    """What a picture shows, in seconds of Unix time.

    Attributes:
        start: its begin.
        end: its end.
    """

    start: float
    end: float


def run(servers: Monitored) -> Span:
    """Has everything happen, and waits for the last scrape of it."""
    start = time.time()

    def until(seconds: float) -> None:
        time.sleep(max(0.0, start + seconds - time.time()))

    with servers.living():
        until(LOCKED_FROM)
        with servers.locked_database():
            until(LOCKED_UNTIL)
        until(NODE_ENDS)
        servers.end_a_node()
        until(STANDS_STILL)
        servers.stand_still()
        until(SECONDS)
    return Span(start, start + SECONDS)


def drawn(servers: Monitored, query: Asked, span: Span) -> list[Drawn]:
    """What a query gave, as series to draw."""
    promql = query.promql(RATE_INTERVAL, f"{math.ceil(span.end - span.start)}s")
    if query.instant:
        now = servers.prometheus.instant(promql, time=str(span.end))
        return [_series(query, result, [0.0], {0: float(result["value"][1])}) for result in now]
    steps = range(0, int(span.end - span.start) + 1, STEP_SECONDS)
    results = servers.prometheus.range(promql, span.start, span.end, STEP_SECONDS)
    return [
        _series(query, result, steps, {round(moment - span.start): float(value) for moment, value in result["values"]})
        for result in results
    ]


def _series(query: Asked, result: Result, times: Sequence[float], values: Mapping[float, float]) -> Drawn:
    """One series at all times, with a gap where there was no value."""
    labels = result["metric"]
    return Drawn(named(query.legend, labels), labels, times, [values.get(time, math.nan) for time in times])


def found(name: str, package: str = "") -> str:
    """A program's path."""
    path = shutil.which(name)
    if path is None:
        sys.exit(f"{name} is not installed (Debian's package {package or name})")
    return path


def main(folder: Path, program: Callable[..., str] = found) -> None:
    """Runs the servers and writes a picture of each dashboard into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        processes = Processes(Path(temporary))
        try:
            with monitored(processes, program, Path(temporary), interval=f"{STEP_SECONDS}s") as servers:
                span = run(servers)
                series: Mapping[str, Mapping[str, Sequence[Drawn]]] = {
                    name: {
                        panel["title"]: [
                            one for query in asked(dashboard, panel) for one in drawn(servers, query, span)
                        ]
                        for panel in panels(dashboard)
                    }
                    for name, dashboard in DASHBOARDS.items()
                }
        finally:
            processes.stop_all()
    for name, dashboard in DASHBOARDS.items():
        picture(dashboard, series[name], folder / f"{Path(name).stem.removeprefix('ollamamax-')}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
