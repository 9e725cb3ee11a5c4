"""What is counted of the scrapes themselves."""

from __future__ import annotations

from ollamamax.metrics.collectors import rendering
from ollamamax.metrics.registry import Metrics
from ollamamax.metrics.text import exposition

SERIES = "ollamamax_metrics_series"


def rendered(metrics: Metrics, *names: str) -> str:
    """A scrape: whole, or of some samples."""
    registry = metrics.registry.restricted_registry(names) if names else metrics.registry
    with rendering(metrics.snapshot(), whole=not names):
        return b"".join(exposition(registry.collect(), openmetrics=False)).decode()


def shown(text: str) -> dict[str, int]:
    """What a scrape tells of the size of its families."""
    lines = [line for line in text.splitlines() if line.startswith(f"{SERIES}{{")]
    return {line.split('"')[1]: int(float(line.rpartition(" ")[2])) for line in lines}


def counted(text: str) -> int:
    """How many series a scrape has."""
    return sum(not line.startswith("#") for line in text.splitlines())


def test_a_scrape_tells_its_own_size() -> None:
    """Family by family, with those that are empty and its own; the sum is the number of its series."""
    metrics = Metrics("1")
    metrics.http.observe("GET", "/", 200, 0.1)
    metrics.http.observe("GET", "/", 404, 0.1)
    text = rendered(metrics)
    sizes = shown(text)
    assert sum(sizes.values()) == counted(text)
    assert sizes["http_requests_total"] == 2
    assert sizes["http_request_duration_seconds"] == 2 * 17
    assert sizes["ollamamax_metrics_scrapes_total"] == 0
    assert sizes[SERIES] == len(sizes)


def test_a_part_tells_of_the_last_whole() -> None:
    """Whoever asks for some samples learns how many there are of all."""
    metrics = Metrics("1")
    assert shown(rendered(metrics, SERIES)) == {}
    whole = shown(rendered(metrics))
    assert shown(rendered(metrics, SERIES)) == shown(rendered(metrics, SERIES, "http_requests_total")) == whole


def test_scrapes_are_counted_and_the_good_ones_timed() -> None:
    """A refusal takes no time worth knowing."""
    metrics = Metrics("1")
    for status, seconds in ((200, 0.02), (200, 0.3), (503, 9.0), (499, 9.0)):
        metrics.scrapes.answered(status, seconds)
    read = metrics.registry.get_sample_value
    assert read("ollamamax_metrics_scrapes_total", {"code": "499"}) == 1
    assert read("ollamamax_metrics_scrapes_total", {"code": "200"}) == 2
    assert read("ollamamax_metrics_scrape_duration_seconds_sum") == 0.32
    assert read("ollamamax_metrics_scrape_duration_seconds_bucket", {"le": "0.025"}) == 1
    assert read("ollamamax_metrics_scrape_duration_seconds_bucket", {"le": "+Inf"}) == 2
