"""Grafana's dashboards as code: `python -m dashboards`, in the folder above, writes them as JSON.

`queries` builds PromQL, `panels` the kinds of panels, `page` a dashboard with its variables; each dashboard is a module
with a `PAGE`.
"""

from __future__ import annotations

from pathlib import Path

from . import capacity, fleet, inference, overview, runtime

PAGES = (overview.PAGE, inference.PAGE, fleet.PAGE, capacity.PAGE, runtime.PAGE)
"""All dashboards, in the order in which they are shown."""

FOLDER = Path(__file__).resolve().parent.parent / "json"
"""Where their JSON is."""
