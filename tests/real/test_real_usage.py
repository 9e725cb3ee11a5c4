"""Usage and past requests of a running server, through every parameter of the API and every option of the commands."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from real.processes import Process, Processes

COMMAND = [sys.executable, "-c", "from ollamamax.cli import main; main()"]
MESSAGES = [{"role": "user", "content": "LIMIT 3"}]
PATIENCE_SECONDS = 60.0
TRAFFIC: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", {"model": "tiny", "messages": MESSAGES}),
    ("/v1/chat/completions", {"model": "tiny", "messages": MESSAGES, "user": "ada", "stream": True}),
    ("/v1/messages", {"model": "tiny", "messages": MESSAGES, "max_tokens": 9, "metadata": {"user_id": "=bob()"}}),
    ("/v1/embeddings", {"model": "tiny", "input": "a b", "user": "ada"}),
    ("/api/generate", {"model": "tiny", "prompt": "HTTP500"}),
    ("/api/chat", {"model": "made up", "messages": MESSAGES}),
    ("/api/chat", {"messages": MESSAGES}),
]


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, nodes: list[str]) -> Process:
    """A server that has had some traffic, and trusts what its clients call their requests.

    On SQLite alone: the same queries are tried on PostgreSQL in tests/store.
    """
    process = shared_processes.gateway(
        *(f"--node=node{number}={url}" for number, url in enumerate(nodes)),
        environ={"OLLAMAMAX_TRUSTED_NETWORKS": "127.0.0.0/8"},
    )
    for number, (path, body) in enumerate(TRAFFIC):
        httpx.post(process.url + path, json=body, headers={"X-Request-Id": f"mine-{number}"}, timeout=30)
    return process


def rows(gateway: Process, query: str = "") -> list[dict[str, Any]]:
    """Rows of the API."""
    answer = httpx.get(f"{gateway.url}/api/v1/inference/requests?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["requests"]
    return found


def start(gateway: Process, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A command."""
    environ = {**os.environ, "OLLAMAMAX_URL": gateway.url, "TZ": "Asia/Kolkata", "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return cast("subprocess.Popen[str]", subprocess.Popen([*COMMAND, *arguments], env=environ, **{**pipes, **options}))


def run(gateway: Process, *arguments: str) -> str:
    """What a command prints that ends well."""
    process = start(gateway, *arguments)
    output, complaints = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, complaints) == (0, "")
    return output


def test_every_filter_of_requests(gateway: Process) -> None:
    """Each finds what it should, alone and with the others; what is unknown is refused by its name."""
    everything = rows(gateway)
    assert len(everything) == len(TRAFFIC)
    assert [row["started_at"] for row in everything] == sorted((row["started_at"] for row in everything), reverse=True)
    assert [row["end_user"] for row in everything[::-1]] == [None, "ada", "=bob()", "ada", None, None, None]
    first, last = everything[-1], everything[0]
    for query, count in {
        "model=TINY": 5,
        "node=node0": 5,
        "outcome=success": 4,
        "outcome=node_error&outcome=client_error": 3,
        "operation=embed": 1,
        "owner=nobody": 0,
        "key_id=none": 0,
        "end_user=ada": 2,
        "client_request_id=mine-3": 1,
        "status=404": 1,
        "status=4xx&status=500": 3,
        f"since={last['started_at']}": 1,
        f"until={first['started_at']}": 0,
        "since=1h&until=0s&finished=true": 7,
        "finished=false": 0,
        "finished_since=1h&order=finished&operation=chat&model=tiny": 3,
    }.items():
        assert (query, len(rows(gateway, query))) == (query, count)
    for query in ("modle=x", "status=x", "since=x", "cursor=x", "limit=0"):
        answer = httpx.get(f"{gateway.url}/api/v1/inference/requests?{query}")
        assert (answer.status_code, query.partition("=")[0] in answer.json()["error"]["message"]) == (400, True)


def test_pages_of_requests(gateway: Process) -> None:
    """By offset as ever, with a total; by cursor, each row once."""
    everything = [row["id"] for row in rows(gateway)]
    page = httpx.get(f"{gateway.url}/api/v1/inference/requests?limit=3&offset=2").json()
    assert [row["id"] for row in page["requests"]] == everything[2:5]
    assert page["pagination"]["total"] == len(everything)
    seen: list[str] = []
    following = ""
    while True:
        page = httpx.get(f"{gateway.url}/api/v1/inference/requests?limit=3{following}").json()
        seen += [row["id"] for row in page["requests"]]
        if page["pagination"]["next"] is None:
            break
        following = f"&cursor={page['pagination']['next']}"
    assert seen == everything


def test_usage_agrees_with_the_rows(gateway: Process) -> None:
    """To the token and the request, by anything; CSV says the same, and nothing in it is a formula."""
    everything = rows(gateway)
    found = httpx.get(f"{gateway.url}/api/v1/usage?by=model,node,owner,end_user,operation&since=1h").json()
    for name in ("input_tokens", "output_tokens", "cached_tokens", "node_seconds"):
        expected = sum(row[name] or 0 for row in everything)
        assert found["total"][name] == pytest.approx(expected, abs=1e-4)
        assert sum(row[name] for row in found["usage"]) == pytest.approx(expected, abs=1e-4)
    assert (found["total"]["requests"], found["total"]["errors"]) == (7, 1)
    assert found["total"]["outcomes"] == {"success": 4, "client_error": 2, "node_error": 1}
    assert {row["model"] for row in found["usage"]} == {"tiny:latest", None}
    by_day = httpx.get(f"{gateway.url}/api/v1/usage?by=day&end_user=ada&outcome=success").json()["usage"]
    assert [(row["day"], row["requests"]) for row in by_day] == [(everything[0]["started_at"][:10], 2)]
    answer = httpx.get(f"{gateway.url}/api/v1/usage?by=end_user", headers={"Accept": "text/csv"})
    lines = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [line["end_user"] for line in lines] == ["'=bob()", "ada", ""]
    assert sum(int(line["input_tokens"]) for line in lines) == found["total"]["input_tokens"]


def test_the_command_usage(gateway: Process) -> None:
    """As a table, as JSON, as CSV; what the server refuses is a wrong command line."""
    table = run(gateway, "usage", "--since", "1h", "--by", "model,node", "--operation", "chat").splitlines()
    assert table[0].startswith("from 20")
    assert "+05:30" in table[0]
    assert table[1].split() == ["model", "node", "requests", "errors", "input", "output", "cached", "node", "time"]
    assert [line.split()[:4] for line in table[2:]] == [
        ["tiny:latest", "node0", "3", "0"],
        ["-", "-", "2", "0"],
        ["total", "5", "0", table[-1].split()[3]],
    ]
    lines = run(gateway, "usage", "--json", "--by", "end_user", "--end-user", "ada", "--node", "node0").splitlines()
    assert [json.loads(line)["requests"] for line in lines] == [2]
    text = run(gateway, "usage", "--csv", "--model", "tiny", "--outcome", "success", "--until", "0s", "--owner", "x")
    assert text.startswith("day,model,requests,")
    process = start(gateway, "usage", "--since", "yesterday")
    output, complaints = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, output) == (2, "")
    assert complaints.startswith("ollamamax: since: expected a time as")


def test_the_command_requests(gateway: Process) -> None:
    """The newest last, with times of this place in the table, and of UTC in JSON."""
    everything = rows(gateway)[::-1]
    table = run(gateway, "requests").splitlines()
    assert table[0].split()[:3] == ["started", "outcome", "status"]
    assert [line.split()[-1] for line in table[1:]] == [row["id"] for row in everything]
    assert all("+05:30" in line for line in table[1:])
    lines = run(gateway, "requests", "--json", "-n", "2", "--status", "4xx", "--since", "1h", "--until", "0s")
    assert [json.loads(line) for line in lines.splitlines()] == everything[-2:]
    options = ["--model", "tiny", "--node", "node0", "--outcome", "success", "--operation", "chat", "--end-user", "ada"]
    options += ["--client-request-id", "mine-1"]
    assert len(run(gateway, "requests", "--json", *options).splitlines()) == 1
    assert run(gateway, "requests", "--json", "--running", "--key-id", "x", "--owner", "y") == ""


@pytest.fixture
def following(gateway: Process) -> Iterator[subprocess.Popen[str]]:
    """A command that follows requests, and has printed the last one."""
    process = start(gateway, "requests", "--follow", "-n", "1", "--json")
    yield process
    process.kill()
    process.communicate()


def generate(gateway: Process) -> str:
    """A request more; its id."""
    answer = httpx.post(f"{gateway.url}/api/generate", json={"model": "tiny", "prompt": "LIMIT 1"}, timeout=30)
    return answer.headers["X-Request-Id"]


def test_requests_are_followed_until_ctrl_c(gateway: Process, following: subprocess.Popen[str]) -> None:
    """Those that end are printed as they end, each once; Ctrl-C ends it as it ends any program."""
    assert following.stdout is not None
    last = json.loads(following.stdout.readline())
    assert last["id"] == rows(gateway, "order=finished&limit=1")[0]["id"]
    asked = [generate(gateway) for _ in range(3)]
    assert [json.loads(following.stdout.readline())["id"] for _ in asked] == asked
    asked = [generate(gateway)]
    assert json.loads(following.stdout.readline())["id"] == asked[0]
    following.send_signal(signal.SIGINT)
    output, complaints = following.communicate(timeout=PATIENCE_SECONDS)
    assert (following.returncode, output, complaints) == (-signal.SIGINT, "", "")


def test_a_reader_that_goes_ends_it(gateway: Process, following: subprocess.Popen[str]) -> None:
    """Quietly, and without waiting for another request; while there is more to print, too."""
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.readline()
    following.stdout.close()
    assert following.wait(PATIENCE_SECONDS) in (0, -signal.SIGPIPE)
    assert following.stderr.read() == ""
    read, write = os.pipe()
    os.close(read)
    process = start(gateway, "requests", stdout=write)
    os.close(write)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_server_that_is_not_there(gateway: Process) -> None:
    """One line, and status 1."""
    for command in (["usage"], ["requests"], ["requests", "--follow"]):
        process = start(gateway, *command, "--url", "http://127.0.0.1:9")
        output, complaints = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, output) == (1, "")
        assert complaints == "ollamamax: http://127.0.0.1:9: no connection: Connection refused\n"
