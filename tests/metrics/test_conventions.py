"""The table of OpenTelemetry's names."""

from __future__ import annotations

import re

from ollamamax.metrics.catalogue import CATALOGUE
from ollamamax.metrics.conventions import LABELS, METRICS


def test_metrics_are_ours_and_named_once() -> None:
    """Each line is about a metric that is declared, and no metric has two."""
    named = [counterpart.metric for counterpart in METRICS]
    assert set(named) <= set(CATALOGUE)
    assert len({metric.name for metric in named}) == len(named)


def test_counterparts_have_names_as_there() -> None:
    """Their names are dotted and in lower case, as the conventions have them."""
    for name in [*(counterpart.name for counterpart in METRICS), *(attribute for _, attribute, _ in LABELS)]:
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name)


def test_labels_are_those_of_metrics() -> None:
    """Every label of the table is one that a metric has."""
    known = {label for metric in CATALOGUE for label in metric.labels}
    for text, _, _ in LABELS:
        (label,) = re.findall(r"^`([a-z_]+)`", text)
        assert label in known
