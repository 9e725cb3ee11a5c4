# mypy: allow-untyped-calls
"""The registry of one server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from types import SimpleNamespace

import prometheus_client
import pytest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from ollamamax.metrics.catalogue import CATALOGUE
from ollamamax.metrics.inference import Course, InferenceMetrics
from ollamamax.metrics.inference_attempts import AnsweredAttempt
from ollamamax.metrics.models import ModelLabels
from ollamamax.metrics.registry import Metrics
from ollamamax.metrics.ticks import ReactorTicks
from ollamamax.store.ledger_row import LedgerRow

Flush = Callable[..., list[Failure]]


def wired(metrics: Metrics) -> Metrics:
    """Metrics with everything wired to them and at least one sample for each family."""
    pool = SimpleNamespace(
        max_open=4,
        open=1,
        in_use=0,
        idle=1,
        wait_count=0,
        wait_duration_seconds=0.0,
        closed={"error": 1},
        queries={("select", "requests", "ok"): 2},
    )
    residency = SimpleNamespace(model="m:latest", size_bytes=2, vram_bytes=1, expires_at=9.0)
    node = SimpleNamespace(
        name="a",
        simulated=True,
        up=True,
        state="up",
        version="0.33.0",
        probed_at=1.0,
        probes={"ok": 1},
        in_flight=set(),
        resident={"m:latest"},
        residencies=lambda: [residency],
        memory_bytes=1,
        disk_bytes=3,
        models_size_bytes=2,
    )
    work = SimpleNamespace(loads={("a", "m:latest", "first"): 1}, slot_seconds=lambda: {("a", "m:latest"): 2.0})
    metrics.watch_database(lambda: pool)
    metrics.watch_ledger(lambda: SimpleNamespace(pending=0, kept_bytes=0, dropped=0))
    metrics.watch_size(lambda: SimpleNamespace(bytes=4096, free_bytes=1024))
    metrics.watch_fleet(lambda: [node])
    metrics.watch_work(lambda: work)
    metrics.watch_attempts(lambda: SimpleNamespace(attempts={("a", "success"): 1}, retries={"busy": 1}))
    ticks = ReactorTicks(clock := Clock(), time.time)
    ticks.start()
    clock.advance(1.0)
    metrics.watch_reactor(ticks)
    metrics.watch_inference(counted())
    metrics.watch_threads(lambda: {"reactor": ThreadPool(0, 1)})
    metrics.observe_query("select", "requests", "ok", 0.001)
    metrics.observe_flush(0.001)
    metrics.http.observe("GET", "/api/v1/models/:id", 200, 0.2)
    metrics.http.client_disconnected("/api/v1/models/:id", "mid_stream")
    metrics.scrapes.answered(200, 0.02)
    return metrics


def counted() -> InferenceMetrics:
    """One request and its attempt, with everything that can be known of them."""
    inference = InferenceMetrics(ModelLabels(lambda _: True), cold_start_seconds=0.1)
    inference.begin("tiny:latest", "chat")
    inference.ended(
        LedgerRow(
            id="0f9b5f34-5d0c-4c52-8f4e-3f5c8d0f2f11",
            started_at=1.0,
            finished_at=2.0,
            endpoint="/api/chat",
            operation="chat",
            outcome="success",
            model="tiny:latest",
            input_tokens=1,
            output_tokens=2,
            cached_tokens=1,
            slot_wait_seconds=0.0,
            load_seconds=0.5,
            prompt_seconds=0.1,
            first_token_seconds=0.7,
            duration_seconds=1.0,
        ),
        Course(output_token_seconds=0.2, overhead_seconds=0.001),
    )
    inference.attempts.answered(
        AnsweredAttempt(
            node="a",
            model="tiny:latest",
            response_start_seconds=0.7,
            first_token_seconds=0.7,
            output_token_seconds=0.2,
            input_tokens=1,
            output_tokens=2,
        )
    )
    return inference


def test_everything_declared_is_shown() -> None:
    """Each metric of the catalogue has a sample once all is wired, with its kind, help and labels, and nothing else."""
    text = wired(Metrics("1.2.3")).text().decode()
    families = [line.split(" ", 3)[2:] for line in text.splitlines() if line.startswith("# HELP")]
    assert sorted(families) == sorted([metric.name, metric.help] for metric in CATALOGUE)
    for metric in CATALOGUE:
        suffix = "_count" if metric.kind in ("histogram", "summary") else ""
        kind = "gauge" if metric.kind == "info" else metric.kind
        assert f"# TYPE {metric.name} {kind}\n" in text
        lines = [
            line
            for line in text.splitlines()
            if line.startswith((f"{metric.name}{suffix}{{", f"{metric.name}{suffix} "))
        ]
        assert lines, metric.name
        assert all(f'{label}="' in line for label in metric.labels for line in lines)
    assert "_created" not in text


def test_openmetrics_is_well_formed() -> None:
    """The other format passes prometheus-client's strict parser."""
    text = generate_openmetrics(wired(Metrics("1.2.3")).registry).decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"http_requests", "ollamamax_node", "ollamamax_build", "db_queries"} <= names


def test_promtool_has_nothing_to_say(program: Callable[..., str]) -> None:
    """`promtool check metrics` accepts the exposition without a remark."""
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=wired(Metrics("1.2.3")).text(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_two_servers_do_not_mix() -> None:
    """Each server has its own figures, and the process's global registry none of them."""
    one, other = wired(Metrics("1")), wired(Metrics("2"))
    one.http.observe("GET", "/only-one", 200, 0.1)
    one.scrapes.answered(500, 0.02)
    one.observe_query("select", "only_one", "ok", 0.1)
    assert b"only-one" in one.text()
    assert b"only_one" in one.text()
    for alien in (b"only-one", b"only_one", b'code="500"', b'version="1"'):
        assert alien not in other.text()
    # The one place that looks at it, to see that nothing of ours is there.
    stock = {sample.name for family in prometheus_client.REGISTRY.collect() for sample in family.samples}
    assert not any(name.startswith(("http_", "db_", "ollamamax_")) for name in stock)


def test_a_failing_source_shows_in_the_same_scrape(flush_logged_errors: Flush) -> None:
    """What cannot be read is missing, counted at once, and keeps nothing else from being shown."""
    metrics = Metrics("1")
    metrics.watch_ledger(lambda: SimpleNamespace(pending=1))
    text = metrics.text().decode()
    assert "ollamamax_ledger_pending" not in text
    assert 'ollamamax_metrics_collector_errors_total{collector="ledger"} 1.0' in text
    assert 'ollamamax_metrics_collector_errors_total{collector="http"} 0.0' in text
    assert "ollamamax_build_info" in text
    assert len(flush_logged_errors(AttributeError)) == 1


def test_nothing_is_wired_twice() -> None:
    """A second source of the same metrics is refused, and the first goes on."""
    metrics = wired(Metrics("1"))
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.watch_fleet(list)
    assert b"ollamamax_node_up" in metrics.text()
