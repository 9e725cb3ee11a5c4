"""docs/prometheus.md says what the catalogue declares."""

from __future__ import annotations

import re
from pathlib import Path

from ollamamax.metrics.catalogue import CATALOGUE
from ollamamax.metrics.http import MAX_SERIES

PAGE = (Path(__file__).parent.parent.parent / "docs" / "prometheus.md").read_text("utf-8")
SUFFIXES = r"(?:_bucket|_sum|_count)?"


def test_every_metric_that_is_named_exists() -> None:
    """No text, query or table of the page names a metric that the server does not have.

    What rules record has a colon in its name; tests/deploy/test_rules.py looks at queries of those.
    """
    known = {metric.name for metric in CATALOGUE}
    named = set(
        re.findall(
            rf"(?<!:)\b((?:http_request|ollamamax_|process_|python_|db_(?:conn|quer))[a-z_]*?){SUFFIXES}\b(?!\*)", PAGE
        )
    )
    assert named - known == set()


def test_the_cap_is_the_one_in_force() -> None:
    """The number of series at which the page says that folding begins is the server's."""
    assert f"Above {MAX_SERIES:,} combinations" in PAGE
