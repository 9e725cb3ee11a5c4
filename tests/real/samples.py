"""What a scrape shows, as numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from real.wire import asked, request

Series = tuple[str, tuple[tuple[str, str], ...]]
Ended = tuple[str, str, str]
"""Method, endpoint and status of requests that have ended."""

# A line of the text format; label values hold no line ends, and quotes only escaped.
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)')


def scraped(url: str) -> str:
    """The text of a scrape."""
    answer = asked(url, request("GET", "/metrics"))
    assert answer.status == 200
    return answer.body.decode()


def samples(text: str, *names: str) -> dict[Series, float]:
    """The samples of a text by their series: a sample's name and its labels, sorted.

    Args:
        text: of a scrape.
        names: of the samples that are wanted; none for all.

    Raises:
        AssertionError: a line is no sample, or a series is there twice.
    """
    found: dict[Series, float] = {}
    for line in text.splitlines():
        if line.startswith("#") or (names and not line.startswith(names)):
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        if names and match["name"] not in names:
            continue
        series = (match["name"], tuple(sorted(_LABEL.findall(match["labels"] or ""))))
        assert series not in found, line
        found[series] = float(match["value"])
    return found


def value(found: Mapping[Series, float], name: str, **labels: str) -> float:
    """One sample; 0 for a series that is not there."""
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def requests_ended(text: str) -> Counter[Ended]:
    """How many requests have ended, by method, endpoint and status; by the counter and the histogram alike.

    Raises:
        AssertionError: the two do not agree.
    """
    counted, timed = (
        _by_ended(samples(text, name)) for name in ("http_requests_total", "http_request_duration_seconds_count")
    )
    assert counted == timed
    return counted


def _by_ended(found: Mapping[Series, float]) -> Counter[Ended]:
    ended: Counter[Ended] = Counter()
    for (_, pairs), number in found.items():
        labels = dict(pairs)
        ended[labels["method"], labels["endpoint"], labels["status"]] = int(number)
    return ended
