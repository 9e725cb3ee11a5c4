"""The generated reference of metrics: complete and current."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ollamamax.metrics.catalogue import CATALOGUE
from ollamamax.metrics.reference import SECTIONS, reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_committed_document_is_current() -> None:
    """`python -m ollamamax.metrics.reference > docs/metrics.md` would change nothing."""
    assert DOCUMENT.read_text(encoding="utf-8") == reference()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_the_module_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    """As the document's head says it is made."""
    runpy.run_module("ollamamax.metrics.reference", run_name="__main__")
    assert capsys.readouterr().out == reference()


def test_every_metric_has_one_line_and_one_section() -> None:
    """No metric is left out, and no prefix of a section fits a metric of another."""
    text = reference()
    for metric in CATALOGUE:
        assert text.count(f"\n| `{metric.name}` | {metric.kind} |") == 1
        assert [title for title, prefixes in SECTIONS if metric.name.startswith(prefixes)]


def test_closed_values_and_buckets_are_told() -> None:
    """Whatever value a closed label can have, and every bound of a histogram, is in the document."""
    text = reference()
    for metric in CATALOGUE:
        for values in metric.closed.values():
            assert ", ".join(f"`{value}`" for value in values) in text
        if metric.buckets:
            assert ", ".join(f"{bound:.15g}" for bound in metric.buckets) in text
