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

SECONDS = 120.0
LOCKED_FROM, LOCKED_UNTIL = 30.0, 45.0
NODE_ENDS = 75.0
STANDS_STILL = 95.0
STEP_SECONDS = 2
RATE_INTERVAL = "8s"


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
        results = servers.prometheus.instant(promql, time=str(span.end))
        samples = [[result["value"]] for result in results]
    else:
        results = servers.prometheus.range(promql, span.start, span.end, STEP_SECONDS)
        samples = [result["values"] for result in results]
    return [
        Drawn(
            named(query.legend, result["metric"]),
            result["metric"],
            [moment - span.start for moment, _ in values],
            [float(value) for _, value in values],
        )
        for result, values in zip(results, samples, strict=True)
    ]


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
            with monitored(processes, program, Path(temporary)) as servers:
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
