"""The access log: a line for each request, at its real end."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from log_events import LogEvents, logged_by
from web.house import House

from ollamamax.logs.access import AccessEntry
from ollamamax.logs.observer import ACCESS
from ollamamax.settings import Log

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "secret"}]}
PIECE = b'{"message":{"content":"a"},"done":false}'
LAST = {
    "message": {"content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000_000,
    "prompt_eval_count": 7,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 9,
    "eval_duration": 2_000_000_000,
}


@pytest.fixture
def logged() -> Iterator[LogEvents]:
    """What the access log tells."""
    with logged_by(ACCESS) as events:
        yield events


def entries(logged: LogEvents) -> list[AccessEntry]:
    """The requests that were told of."""
    return [event["access"] for event in logged.events]


def test_a_line_per_request(logged: LogEvents) -> None:
    """Method, path, status, seconds, id and size; never a query or a header."""
    with House() as house:
        found = house.answer("GET", "/api/v1/models?limit=1&key=secret", headers=("Authorization: Bearer secret",))
        house.answer("POST", "/nowhere?secret", b"secret")
    first, second = logged.lines
    identifier = found.header("X-Request-Id")
    assert first == f"GET /api/v1/models 200 0.000s {identifier} bytes_out={len(found.body)} client=192.0.2.7"
    assert second.startswith("POST /nowhere 404 0.000s ")
    assert "secret" not in "".join(logged.lines)


def test_an_inference_request_is_told_with_its_account(logged: LogEvents) -> None:
    """What the ledger's final row says, though the row is made after the answer has ended."""
    with House() as house:
        client = house.ask("POST", "/api/chat", CHAT)
        house.pass_time(2.0)
        house.node.exchange.begin(PIECE)
        house.pass_time(1.0)
        house.node.exchange.lines(json.dumps(LAST).encode())
        house.node.exchange.finish()
        house.reactor.settle()
        (entry,) = entries(logged)
        (answer,) = client.answers()
    assert entry.fields == {
        "method": "POST",
        "path": "/api/chat",
        "status": 200,
        "seconds": 3.0,
        "request_id": house.row.id,
        "bytes_out": len(answer.body),
        "client": "192.0.2.7",
        "operation": "chat",
        "outcome": "success",
        "error_code": None,
        "node": "ollama",
        "model": "tiny:latest",
        "attempts": 1,
        "input_tokens": 7,
        "output_tokens": 9,
        "cached_tokens": house.row.cached_tokens,
        "first_token_seconds": 2.0,
        "queue_seconds": None,
        "slot_wait_seconds": 1.5,
        "load_seconds": 1.0,
        "prompt_seconds": 0.5,
        "output_seconds": 2.0,
    }


@pytest.mark.parametrize(
    ("begun", "left", "status", "outcome"),
    [
        (False, True, 499, "client_disconnected"),
        (True, True, 499, "client_disconnected"),
        (True, False, 200, "incomplete"),
        (False, False, 502, "node_error"),
    ],
)
def test_how_a_request_ended(logged: LogEvents, begun: bool, left: bool, status: int, outcome: str) -> None:
    """A client that left is a 499; a response that broke keeps the status that went out; each has its outcome."""
    with House() as house:
        client = house.ask("POST", "/api/chat", CHAT)
        if begun:
            house.node.exchange.begin(PIECE)
        house.pass_time(2.5)
        if left:
            house.leave(client)
        else:
            house.node.exchange.close()
        house.reactor.settle()
        (entry,) = entries(logged)
        assert (entry.status, entry.seconds) == (status, 2.5)
        assert (entry.inference["outcome"], house.row.outcome) == (outcome, outcome)


def test_a_client_that_leaves_within_its_body(logged: LogEvents) -> None:
    """It has made a request that was never answered: 499."""
    with House() as house:
        client = house.connect()
        client.send(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        house.leave(client)
        house.reactor.settle()
        assert [entry.status for entry in entries(logged)] == [499]


@pytest.mark.parametrize(("keep", "told"), [("full", "203.0.113.9"), ("prefix", "203.0.113.0/24"), ("off", None)])
def test_as_much_of_the_client_is_told_as_is_wanted(logged: LogEvents, keep: str, told: str | None) -> None:
    """By the settings that the ledger heeds, for requests without an account too."""
    with House(client_address=keep, trusted_networks=("192.0.2.0/24",)) as house:
        house.answer("GET", "/", headers=("X-Forwarded-For: 203.0.113.9",))
        house.answer("POST", "/api/chat", b"{}", headers=("X-Forwarded-For: 203.0.113.9",))
    assert [entry.client for entry in entries(logged)] == [told, told]


def test_a_request_that_could_not_be_read(logged: LogEvents) -> None:
    """It has a line, without what was wrong with it."""
    with House() as house:
        client = house.connect()
        client.send(b"GET http://user:secret@x/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        house.reactor.settle()
    (entry,) = entries(logged)
    assert (entry.method, entry.path, entry.status) == ("GET", "/_malformed", 400)


def test_no_line_where_none_is_wanted(logged: LogEvents) -> None:
    """With `log.access` off."""
    with House(log=Log(access=False)) as house:
        house.answer("GET", "/")
    assert logged.events == []
