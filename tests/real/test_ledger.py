"""The ledger of a running server: one row per inference request, with what its client saw.

With `OLLAMAMAX_TEST_NODES=URL,…` the requests go to real nodes, which need the model `tiny`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import httpx
import pytest
from real.processes import Process, Processes

PROMPT = "hello LIMIT 6"
MESSAGES = [{"role": "user", "content": PROMPT}]
STREAMS = [
    ("/api/chat", "chat", {"model": "tiny", "messages": MESSAGES}),
    ("/api/generate", "generate", {"model": "TINY", "prompt": PROMPT}),
    ("/api/v1/inference/chat", "chat", {"model": "tiny:latest", "messages": MESSAGES}),
    ("/api/v1/inference/generate", "generate", {"model": "tiny", "prompt": PROMPT}),
]


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, nodes: list[str], database: list[str]) -> Process:
    """A server before the nodes, on either database."""
    return shared_processes.gateway(*(f"--node=node{number}={url}" for number, url in enumerate(nodes)), *database)


def row_of(gateway: Process, response: httpx.Response) -> dict[str, Any]:
    """The row of the request that a response answers."""
    row: dict[str, Any] = httpx.get(
        f"{gateway.url}/api/v1/inference/requests/{response.headers['X-Request-Id']}"
    ).json()
    return row


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "operation", "body"), STREAMS)
def test_a_row_agrees_with_what_the_client_saw(
    gateway: Process, path: str, operation: str, body: dict[str, Any], stream: bool
) -> None:
    """Tokens and phases are those of the final chunk, the model's name is the normalised one."""
    response = httpx.post(gateway.url + path, json={**body, "stream": stream}, timeout=30)
    final = json.loads(response.text.strip().splitlines()[-1])
    row = row_of(gateway, response)
    expected = {
        "operation": operation,
        "endpoint": path,
        "outcome": "success",
        "status": 200,
        "error_code": None,
        "model": "tiny:latest",
        "requested_model": body["model"],
        "attempts": 1,
        "client_address": "127.0.0.1",
        "input_tokens": final["prompt_eval_count"],
        "output_tokens": final["eval_count"],
    }
    assert {name: row[name] for name in expected} == expected
    assert row["node"].startswith("node")
    for column, field in (
        ("load_seconds", "load_duration"),
        ("prompt_seconds", "prompt_eval_duration"),
        ("output_seconds", "eval_duration"),
    ):
        assert row[column] == pytest.approx(final[field] / 1e9)
    assert (row["first_token_seconds"] is not None) == stream
    assert row["duration_seconds"] > 0
    assert row["started_at"] <= row["finished_at"]


def test_a_length_is_told_apart(gateway: Process) -> None:
    """A text that was cut by `num_predict` has the outcome `length`."""
    body = {"model": "tiny", "prompt": "LIMIT 9", "stream": False, "options": {"num_predict": 3}}
    response = httpx.post(f"{gateway.url}/api/generate", json=body, timeout=30)
    assert row_of(gateway, response)["outcome"] == "length"
    assert row_of(gateway, response)["output_tokens"] == 3


def test_loads_and_unloads_have_no_tokens(gateway: Process) -> None:
    """A request without a prompt is a load: of no tokens, and no first one."""
    for body in ({"model": "tiny"}, {"model": "tiny", "keep_alive": 0}):
        row = row_of(gateway, httpx.post(f"{gateway.url}/api/generate", json=body, timeout=30))
        assert (row["operation"], row["outcome"]) == ("load", "success")
        assert not row["output_tokens"]
        assert row["first_token_seconds"] is None


def test_embeddings(gateway: Process) -> None:
    """`/api/embed` reports its input, the older route nothing."""
    response = httpx.post(f"{gateway.url}/api/embed", json={"model": "tiny", "input": ["a b", "c"]}, timeout=30)
    row = row_of(gateway, response)
    assert (row["operation"], row["outcome"], row["input_tokens"]) == (
        "embed",
        "success",
        response.json()["prompt_eval_count"],
    )
    row = row_of(
        gateway, httpx.post(f"{gateway.url}/api/embeddings", json={"model": "tiny", "prompt": "a"}, timeout=30)
    )
    assert (row["operation"], row["outcome"], row["input_tokens"]) == ("embed", "success", None)


@pytest.mark.parametrize(
    ("body", "status", "outcome", "code"),
    [
        ({"model": "absent", "messages": MESSAGES}, 404, "client_error", "model_not_found"),
        ({"messages": MESSAGES}, 400, "client_error", "model_required"),
        ({"model": "tiny", "messages": MESSAGES, "think": True}, 400, "client_error", "node_status_400"),
        ({"model": "tiny", "messages": MESSAGES, "options": {"num_ctx": "many"}}, 500, "node_error", "node_status_500"),
    ],
)
def test_failures_have_rows_too(gateway: Process, body: dict[str, Any], status: int, outcome: str, code: str) -> None:
    """What is rejected here and what the node answers with an error are told apart, and both have one finished row."""
    response = httpx.post(f"{gateway.url}/api/chat", json=body, timeout=30)
    assert response.status_code == status
    row = row_of(gateway, response)
    assert (row["status"], row["outcome"], row["error_code"]) == (status, outcome, code)
    assert row["finished_at"] is not None


def test_no_node_that_is_up(processes: Processes) -> None:
    """With its only node down a request is unavailable, at once, and may be sent again."""
    gateway = processes.gateway("--node=gone=http://127.0.0.1:9")
    response = httpx.post(f"{gateway.url}/api/chat", json={"model": "tiny", "messages": MESSAGES})
    assert (response.status_code, response.headers["X-Should-Retry"]) == (503, "true")
    assert row_of(gateway, response)["outcome"] == "unavailable"


def test_rows_outlive_the_process(processes: Processes, nodes: list[str]) -> None:
    """What was answered stands in the file once the process has ended, and no prompt does."""
    gateway = processes.gateway(f"--node=node={nodes[0]}")
    identifiers = {
        httpx.post(f"{gateway.url}/api/generate", json={"model": "tiny", "prompt": PROMPT}, timeout=30).headers[
            "X-Request-Id"
        ]
        for _ in range(5)
    }
    assert gateway.stop() == 0
    (database,) = gateway.directory.rglob("ollamamax.db")
    with closing(sqlite3.connect(database)) as connection:
        assert {row[0] for row in connection.execute("select id from requests")} == identifiers
    assert b"hello" not in database.read_bytes()
