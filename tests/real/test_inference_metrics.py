"""Ledger and metrics of a running server, over a mixed run with faults: the same, to the token and the bucket."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from real.callers import wait_for
from real.processes import Processes
from real.samples import Series, samples, scraped, value

from ollamamax.metrics.catalogue import (
    INFERENCE_DURATION,
    INFERENCE_FIRST_TOKEN,
    INFERENCE_INPUT_TOKENS,
    INFERENCE_LOAD_DURATION,
    INFERENCE_OUTPUT_TOKENS,
    INFERENCE_PROMPT_DURATION,
    INFERENCE_SLOT_WAIT_DURATION,
    Metric,
)

PROMPT = "hello LIMIT 12"
MESSAGES = [{"role": "user", "content": PROMPT}]
GOOD = ("success", "length")
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", {"messages": MESSAGES}),
    ("/api/generate", {"prompt": PROMPT}),
    ("/api/generate", {"prompt": PROMPT, "options": {"num_predict": 3}}),
    ("/v1/chat/completions", {"messages": MESSAGES}),
    ("/v1/completions", {"prompt": PROMPT}),
    ("/v1/responses", {"input": PROMPT}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}),
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("/api/embed", {"input": ["a b", "c"]}),
    ("/api/embeddings", {"prompt": "a"}),
    ("/v1/embeddings", {"input": "a b c"}),
    ("/api/generate", {}),
    ("/api/chat", {"model": "absent", "messages": MESSAGES}),
    ("/api/chat", {"messages": "none"}),
]
FAULTS = ("HTTP500", "BUSY", "INBAND 3", "RESET 3", "NOEND 3", "TRUNCATE 3", "GARBAGE 3")

Row = dict[str, Any]


@pytest.fixture(scope="module")
def run(shared_processes: Processes) -> tuple[list[Row], dict[Series, float]]:
    """The rows of some eighty requests, and what a scrape shows after them."""
    nodes = [shared_processes.simulator("--load-seconds=0.3", "--tokens-per-second=400") for _ in range(2)]
    gateway = shared_processes.gateway(*(f"--node=node{number}={node.url}" for number, node in enumerate(nodes)))
    asked = [(path, body | {"stream": stream}) for path, body in BODIES for stream in (True, False)]
    faulty = [
        (path, {name: text.replace(PROMPT, f"{fault} {PROMPT}") for name, text in body.items()} | {"stream": True})
        for path, body in (("/api/generate", {"prompt": PROMPT}), ("/v1/completions", {"prompt": PROMPT}))
        for fault in FAULTS
    ]
    plan = [*asked, *asked, *faulty, *OTHERS]

    def ask(request: tuple[str, dict[str, Any]]) -> None:
        path, body = request
        with suppress(httpx.TransportError):  # some answers are broken on purpose
            httpx.post(gateway.url + path, json={"model": "tiny"} | body, timeout=60)

    def leave(number: int) -> None:
        body = {"model": "tiny", "prompt": "LIMIT 500", "stream": bool(number % 2)}
        with httpx.Client(timeout=60) as client, client.stream("POST", f"{gateway.url}/api/generate", json=body) as got:
            if number % 2:
                next(got.iter_raw())

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(ask, plan))
        list(callers.map(leave, (1, 3)))

    def finished() -> list[Row]:
        found = httpx.get(f"{gateway.url}/api/v1/inference/requests", params={"limit": 100}).json()["requests"]
        return [row for row in found if row["finished_at"] is not None]

    wait_for(lambda: len(finished()) == len(plan) + 2)
    return finished(), samples(scraped(gateway.url))


def of(found: dict[Series, float], name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name that are not 0, by the values of their labels in the order of the labels' names."""
    return {
        tuple(value for _, value in pairs): number for (one, pairs), number in found.items() if one == name and number
    }


def test_every_row_is_one_request(run: tuple[list[Row], dict[Series, float]]) -> None:
    """By model, operation and outcome; a model that no node has is `other`, and so is none."""
    rows, found = run
    counted = Counter(
        (row["model"] if row["model"] == "tiny:latest" else "other", row["operation"], row["outcome"]) for row in rows
    )
    assert of(found, "ollamamax_inference_requests_total") == counted
    outcomes = {row["outcome"] for row in rows}
    assert outcomes >= {*GOOD, "client_error", "client_disconnected", "node_error", "stream_error", "incomplete"}


def test_tokens_agree(run: tuple[list[Row], dict[Series, float]]) -> None:
    """The sums of the ledger are the counters, of all and of each node, and there are some."""
    rows, found = run
    worked = [row for row in rows if row["operation"] != "load"]
    for kind in ("input", "output"):
        column = f"{kind}_tokens"
        total = sum(row[column] or 0 for row in worked)
        assert total > 0
        assert value(found, "ollamamax_tokens_total", model="tiny:latest", type=kind) == total
        for node in ("node0", "node1"):
            of_node = sum(row[column] or 0 for row in worked if row["node"] == node)
            assert value(found, "ollamamax_node_tokens_total", model="tiny:latest", node=node, type=kind) == of_node
    cached = sum(row["cached_tokens"] or 0 for row in worked)
    assert value(found, "ollamamax_input_tokens_cached_total", model="tiny:latest") == cached


def missing(row: Row) -> str | None:
    """Why usage is missing, told anew from a row."""
    if row["attempts"] == 0 or row["operation"] == "load":
        return None
    needed = [row["input_tokens"]] if row["operation"] == "embed" else [row["input_tokens"], row["output_tokens"]]
    if None not in needed:
        return None
    reasons = {"success": "not_reported", "length": "not_reported", "client_disconnected": "aborted"}
    refused = {"client_error": None, "unavailable": None}
    begun = row["status"] == 200
    return reasons.get(row["outcome"], "aborted" if begun else refused.get(row["outcome"], "node_error"))


def test_missing_usage_agrees(run: tuple[list[Row], dict[Series, float]]) -> None:
    """Each row without its tokens is counted, by its reason, and each reason is there."""
    rows, found = run
    counted = Counter(reason for row in rows if (reason := missing(row)) is not None)
    assert set(counted) == {"aborted", "node_error", "not_reported"}
    assert of(found, "ollamamax_usage_missing_total") == {(reason,): number for reason, number in counted.items()}


HISTOGRAMS: list[tuple[Metric, str, Callable[[Row], bool]]] = [
    (INFERENCE_FIRST_TOKEN, "first_token_seconds", lambda row: row["outcome"] in GOOD),
    (INFERENCE_PROMPT_DURATION, "prompt_seconds", lambda row: True),
    (INFERENCE_SLOT_WAIT_DURATION, "slot_wait_seconds", lambda row: True),
    (INFERENCE_LOAD_DURATION, "load_seconds", lambda row: row["load_seconds"] > 0.1),
    (INFERENCE_INPUT_TOKENS, "input_tokens", lambda row: True),
    (INFERENCE_OUTPUT_TOKENS, "output_tokens", lambda row: True),
]


@pytest.mark.parametrize(("metric", "column", "counts"), HISTOGRAMS, ids=[metric.name for metric, _, _ in HISTOGRAMS])
def test_histograms_agree(
    run: tuple[list[Row], dict[Series, float]], metric: Metric, column: str, counts: Callable[[Row], bool]
) -> None:
    """Every bucket and the sum are those of the rows' column."""
    rows, found = run
    told = [row for row in rows if row["operation"] != "load" and row[column] is not None]
    compare(found, metric, (row[column] for row in told if counts(row)), model="tiny:latest")


@pytest.mark.parametrize("operation", ["chat", "generate", "embed", "load"])
def test_durations_agree(run: tuple[list[Row], dict[Series, float]], operation: str) -> None:
    """Those of good ends, by operation; the gateway's own time is a part of them."""
    rows, found = run
    good = [row for row in rows if row["operation"] == operation and row["outcome"] in GOOD]
    compare(
        found, INFERENCE_DURATION, (row["duration_seconds"] for row in good), model="tiny:latest", operation=operation
    )
    own = value(found, "ollamamax_gateway_overhead_seconds_sum", operation=operation)
    answered = [row for row in rows if row["operation"] == operation and row["outcome"] != "client_disconnected"]
    assert 0 < own < sum(row["duration_seconds"] for row in answered)


def compare(found: dict[Series, float], metric: Metric, numbers: Iterable[float], **labels: str) -> None:
    """Sees that a histogram shows just these numbers."""
    told = list(numbers)
    assert told
    buckets = Counter(bisect_left(metric.buckets, number) for number in told)
    cumulated = 0
    for at, bound in enumerate([*map(repr, metric.buckets), "+Inf"]):
        cumulated += buckets[at]
        assert value(found, f"{metric.name}_bucket", le=bound, **labels) == cumulated
    assert value(found, f"{metric.name}_sum", **labels) == pytest.approx(sum(told))


def test_cold_starts_and_nothing_in_flight(run: tuple[list[Row], dict[Series, float]]) -> None:
    """Each node loaded the model once, before the eyes of some request; in the end nobody waits for anything."""
    rows, found = run
    native = sum((row["load_seconds"] or 0) > 0.1 for row in rows if row["operation"] != "load")
    assert native <= value(found, "ollamamax_inference_cold_starts_total", model="tiny:latest")
    assert of(found, "ollamamax_inference_in_flight") == {}
    assert of(found, "ollamamax_metrics_series_overflowed_total") == {}
