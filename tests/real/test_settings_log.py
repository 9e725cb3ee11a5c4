"""The log of real servers, text and JSON: what it tells, what it never does, and which settings it heeds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from console_blocks import masked
from real.callers import Caller, call, wait_for
from real.observed_settings import observes
from real.processes import Process, Processes
from real.wire import asked, request

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
SECRET = "geheim-4711"
HOSTILE_NAMES = ["a\nb [ollamamax.access#info] forged", "\x1b[2J\x1b]0;x\x07", "a\x9b31m\x85\u2028\u202eb", '"} {"x":"']
HOSTILE_TARGETS = [
    "/api/%0a%0d%1b[2J",
    "/api/chat%0AGET",
    "/api/x;key=y\x1b[1m",
    "/%9b31m/\x9b31m",
    "/\xff\xfe\r",
    "/" + "a" * 9000,
    "/{log_format}{0}",
]


class Servers(NamedTuple):
    """Servers before the same node, each with another log.

    Attributes:
        text: as it is by default.
        json: JSON.
        quiet: without lines for requests, and with nothing that is less than an error.
    """

    text: Process
    json: Process
    quiet: Process


@pytest.fixture(scope="module")
def servers(shared_processes: Processes, nodes: list[str]) -> Servers:
    """The servers; a quiet one does not say where it listens."""
    option = f"--node=desk={nodes[0]}"
    quiet = {"OLLAMAMAX_LOG_ACCESS": "false", "OLLAMAMAX_LOG_LEVEL": "error"}
    return Servers(
        shared_processes.gateway(option),
        shared_processes.gateway(option, environ={"OLLAMAMAX_LOG_FORMAT": "json"}),
        shared_processes.gateway(option, "--listen=unix:quiet.sock", environ=quiet, ready=False),
    )


def objects(server: Process) -> list[dict[str, Any]]:
    """The log of a server that writes JSON; each line is an object."""
    return [json.loads(line) for line in server.text().splitlines()]


def line_of(server: Process, identifier: str) -> str:
    """The only line with an identifier."""
    wait_for(lambda: identifier in server.text())
    (line,) = [line for line in server.text().splitlines() if identifier in line]
    return line


def samples(language: str) -> list[str]:
    """The lines that the documentation shows."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def shape(line: str) -> str:
    """A line without its numbers."""
    return re.sub(r"\d+(?:\.\d+)?", "N", masked(line))


@observes("log.format")
def test_the_documented_lines_are_those_that_are_written(servers: Servers) -> None:
    """Field by field, in their order, for a small request and for an inference request, by either server."""
    for server, language in ((servers.text, "text"), (servers.json, "json")):
        answers = [call(server.url, "GET", "/api/version?x=1"), call(server.url, "POST", "/api/chat", CHAT)]
        lines = [line_of(server, answer.headers["x-request-id"]) for answer in answers]
        assert [shape(line) for line in lines] == [shape(line) for line in samples(language)]


def test_a_line_agrees_with_the_account(servers: Servers) -> None:
    """What the log and the ledger say of one request is the same."""
    identifier = call(servers.json.url, "POST", "/v1/chat/completions", CHAT).headers["x-request-id"]
    path = f"/api/v1/inference/requests/{identifier}"
    wait_for(lambda: call(servers.json.url, "GET", path).json().get("finished_at"))
    account: Mapping[str, Any] = call(servers.json.url, "GET", path).json()
    line = json.loads(line_of(servers.json, f'"request_id":"{identifier}"'))
    common = set(line) & set(account) - {"first_token_seconds"}
    assert {"outcome", "node", "model", "attempts", "input_tokens", "output_tokens", "operation"} <= common
    assert {name: line[name] for name in common} == {name: account[name] for name in common}
    assert line["client"] == account["client_address"]


def hostile() -> list[bytes]:
    """Requests that try to write into the log, each with the secret in every place that may hold one."""
    headers = [
        ("Authorization", f"Bearer {SECRET}"),
        ("X-Api-Key", SECRET),
        ("Cookie", f"key={SECRET}"),
        ("X-Forwarded-For", f"{SECRET}\x9b31m"),
        ("X-Request-Id", f"{SECRET}\x9b31m"),
        ("User-Agent", f"{SECRET}\x9b31m"),
    ]
    bodies = [json.dumps({**CHAT, "model": name, "user": SECRET, "x": SECRET}).encode() for name in HOSTILE_NAMES]
    prompts = [json.dumps({**CHAT, "messages": [{"role": "user", "content": SECRET}]}).encode(), f"{SECRET}{{".encode()]
    return [
        *(request("POST", f"/api/chat?key={SECRET}", body, headers=headers) for body in (*bodies, *prompts)),
        *(request("GET", f"{target}?key={SECRET}", headers=headers) for target in HOSTILE_TARGETS),
        request("GET", f"http://{SECRET}@x/?{SECRET}", headers=headers),
        request("G\x1bT", "/", headers=headers),
        request("GET", "/", headers=[*headers, ("X-Escape", "\x1b[2J")]),
        request("GET", "/", headers=headers, host=f"a b{SECRET}"),
    ]


@pytest.mark.parametrize("format_", ["text", "json"])
def test_nobody_writes_into_the_log_and_no_secret_does(servers: Servers, format_: str) -> None:
    """Whatever a client sends, a line a request and nothing else: no control character, no secret, no traceback."""
    server: Process = getattr(servers, format_)
    lines_before = server.text().count("\n")
    identifiers = [asked(server.url, data).header("x-request-id") for data in hostile()]
    for identifier in identifiers:
        line_of(server, identifier)
    text = server.log.read_bytes().decode("utf-8")
    assert text.count("\n") == lines_before + len(identifiers)
    assert all(line.isprintable() for line in text.split("\n"))
    assert SECRET not in text
    assert r"\x1b[2j" in text  # of the name of a model, as it is normalised
    if format_ == "json":
        for told in objects(server):
            assert all(value.isprintable() for value in told.values() if isinstance(value, str))


def test_a_client_that_left_is_told_as_499(servers: Servers) -> None:
    """In the middle of its stream, with the outcome of the account."""
    with Caller(servers.json.url) as client:
        client.send(request("POST", "/api/chat", json.dumps({**CHAT, "options": {"num_predict": 100_000}}).encode()))
        wait_for(client.answered)
    wait_for(lambda: [told for told in objects(servers.json) if told.get("status") == 499])
    (told,) = [told for told in objects(servers.json) if told.get("status") == 499]
    assert (told["path"], told["outcome"], told["node"]) == ("/api/chat", "client_disconnected", "desk")


@observes("log.access", "log.level")
def test_a_quiet_server_says_nothing(servers: Servers) -> None:
    """Neither of requests nor of its start; the other two told of both."""
    url = f"unix:{servers.quiet.directory / 'quiet.sock'}"
    wait_for((servers.quiet.directory / "quiet.sock").exists)
    assert call(url, "GET", "/health").status == 200
    assert servers.quiet.text() == ""
    assert "listening on" in servers.text.text()
