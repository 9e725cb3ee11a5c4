"""The account of an inference request: its columns, and that it closes exactly once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from twisted.python.failure import Failure
from web.house import House

from ollamamax import errors
from ollamamax.relay.carriage import RelayReport
from ollamamax.relay.verdict import Usage
from ollamamax.settings import Limits
from ollamamax.web.accounts import outcome_of, output_token_seconds

OpenHouse = Callable[..., House]
Flush = Callable[..., list[Failure]]

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
FIGURES = {
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000_000,
    "prompt_eval_count": 7,
    "prompt_eval_cached_count": 3,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 9,
    "eval_duration": 2_000_000_000,
}


def carried(house: House, last: Mapping[str, object]) -> None:
    """A stream of two events, a second apart."""
    house.ask("POST", "/api/chat", CHAT)
    house.pass_time(2.0)
    house.node.exchange.begin(b'{"message":{"content":"a"},"done":false}')
    house.pass_time(1.0)
    house.node.exchange.lines(json.dumps({"message": {"content": ""}, "done": True, **last}).encode())
    house.node.exchange.finish()


@pytest.mark.parametrize(("reason", "outcome"), [("stop", "success"), ("length", "length"), ("load", "success")])
def test_the_figures_of_a_request(house: House, reason: str, outcome: str) -> None:
    """Tokens and phases are the node's, what they leave of the whole is the wait for a slot, the rest is measured."""
    carried(house, FIGURES | {"done_reason": reason})
    row = house.row
    assert (row.outcome, row.operation) == (outcome, "load" if reason == "load" else "chat")
    if reason != "load":
        assert (row.input_tokens, row.output_tokens, row.cached_tokens) == (7, 9, 3)
    assert (row.load_seconds, row.prompt_seconds, row.output_seconds) == (1.0, 0.5, 2.0)
    assert row.slot_wait_seconds == 1.5
    assert (row.first_token_seconds, row.duration_seconds, row.node_seconds) == (2.0, 3.0, 3.0)
    assert row.finished_at is not None
    assert row.queue_seconds is None


def test_what_is_unknown_is_null(house: House) -> None:
    """Without the whole nothing is known of the wait for a slot; a phase that the node does not tell is no zero."""
    carried(house, {name: value for name, value in FIGURES.items() if name != "total_duration"})
    assert (house.row.slot_wait_seconds, house.row.load_seconds, house.row.outcome) == (None, 1.0, "success")


def test_embeddings_have_fewer_figures(house: House) -> None:
    """An embedding has no phase but its load."""
    house.ask("POST", "/api/embed", {"model": "tiny", "input": "x"})
    house.node.exchange.answer(b'{"embeddings":[[1]],"total_duration":2000000000,"load_duration":1000000000}')
    row = house.row
    assert (row.load_seconds, row.prompt_seconds, row.output_seconds, row.slot_wait_seconds) == (1.0, None, None, None)
    assert (row.output_tokens, row.first_token_seconds) == (None, None)


def test_phases_beyond_the_whole_leave_no_wait(house: House) -> None:
    """Clocks of a node that do not quite agree make no negative time."""
    carried(house, FIGURES | {"total_duration": 3_000_000_000})
    assert house.row.slot_wait_seconds == 0.0


def test_begins_with_a_row_of_its_own(house: House) -> None:
    """A request that is sent to a node is in the ledger while it runs."""
    house.ask("POST", "/api/chat", CHAT)
    (row,) = house.store.ledger.begun
    assert (row.node, row.attempts, row.model, row.finished_at, row.outcome) == ("ollama", 1, "tiny:latest", None, None)
    house.node.exchange.answer(b"{}")
    assert house.row.id == row.id
    assert house.row.started_at == row.started_at


def test_the_first_token_counts_from_the_last_byte(house: House) -> None:
    """A client that sends slowly waits for itself; only the whole has that time in it."""
    client = house.connect()
    body = json.dumps(CHAT).encode()
    client.send(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
    house.pass_time(4.0)
    client.send(body[9:])
    house.pass_time(2.0)
    house.node.exchange.begin(b'{"message":{"content":"a"},"done":true}')
    house.node.exchange.finish()
    assert (house.row.first_token_seconds, house.row.duration_seconds) == (2.0, 6.0)


@pytest.mark.parametrize(
    ("settings", "headers", "address", "client_request_id"),
    [
        ({}, ("X-Forwarded-For: 203.0.113.9", "X-Request-Id: abc"), "192.0.2.7", None),
        ({"client_address": "prefix"}, (), "192.0.2.0/24", None),
        ({"client_address": "off"}, (), None, None),
        (
            {"trusted_networks": ("192.0.2.0/24",)},
            ("X-Forwarded-For: 203.0.113.9", "X-Request-Id: abc"),
            "203.0.113.9",
            "abc",
        ),
        (
            {"trusted_networks": ("192.0.2.0/24",)},
            ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 192.0.2.8"),
            "203.0.113.9",
            None,
        ),
        ({"trusted_networks": ("192.0.2.0/24",)}, ("X-Request-Id: no id",), "192.0.2.7", None),
        ({"trusted_networks": ("192.0.2.0/24",)}, ("X-Request-Id: \xff", "X-Forwarded-For: \xff"), "192.0.2.7", None),
        ({}, ("X-Request-Id: \xff", "X-Forwarded-For: \xff"), "192.0.2.7", None),
    ],
)
def test_who_called(
    open_house: OpenHouse,
    settings: dict[str, object],
    headers: tuple[str, ...],
    address: str | None,
    client_request_id: str | None,
) -> None:
    """Only a trusted peer speaks for its client, in one header line or several; the setting says how much is kept."""
    house = open_house(**settings)
    house.answer("POST", "/api/chat", {}, headers=headers)
    assert (house.row.client_address, house.row.client_request_id) == (address, client_request_id)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.InvalidBody(), "client_error"),
        (errors.ModelNotFound("x"), "client_error"),
        (errors.BodyTooLarge(), "client_error"),
        (errors.Unavailable(), "unavailable"),
        (errors.BodyMemoryExhausted(), "unavailable"),
        (errors.ShuttingDown(), "unavailable"),
        (errors.InternalError(), "unavailable"),
        (errors.NodeConnectFailed(), "node_error"),
        (errors.NodeClosedEarly(), "node_error"),
        (errors.NodeProtocolError(), "node_error"),
        (errors.NodeTruncated(), "incomplete"),
        (errors.NodeTimedOut("connect", 2.0), "timeout"),
    ],
)
def test_what_an_error_counts_as(error: errors.GatewayError, outcome: str) -> None:
    """Whose fault it was, in the words of the metrics."""
    assert outcome_of(error) == outcome


def test_a_body_above_the_limit_has_its_row(open_house: OpenHouse) -> None:
    """What the channel refuses is accounted for where it was asked for inference."""
    house = open_house(limits=Limits(max_body_bytes=10))
    assert house.answer("POST", "/api/chat", CHAT).status == 413
    assert (house.row.outcome, house.row.status, house.row.error_code) == ("client_error", 413, "body_too_large")
    assert house.row.model is None
    assert house.answer("POST", "/api/show", CHAT).status == 413
    assert len(house.store.ledger.ended) == 1


def report(usage: Usage, first: float | None = None, last: float | None = None) -> RelayReport:
    """A good answer, whose first and last content came at these times."""
    return RelayReport("success", 200, None, 0.0, 9.0, usage, first_token_at=first, last_content_at=last)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (report(Usage(output_tokens=4, output_seconds=2.0)), 0.5),
        (report(Usage(output_tokens=4, output_seconds=2.0), 1.0, 9.0), 0.5),
        (report(Usage(output_tokens=4), 1.0, 7.0), 2.0),
        (report(Usage(output_tokens=4), 1.0, 1.0), 0.0),
        (report(Usage(output_tokens=4)), None),
        (report(Usage(output_tokens=4), 1.0), None),
        (report(Usage(), 1.0, 7.0), None),
        (report(Usage(output_tokens=1, output_seconds=2.0)), None),
        (report(Usage(output_tokens=1), 1.0, 7.0), None),
        (report(Usage(output_tokens=0, output_seconds=0.0)), None),
    ],
)
def test_how_long_a_token_took(told: RelayReport, seconds: float | None) -> None:
    """By the node's word, else by the events after the first; of one token nothing is known."""
    assert output_token_seconds(told) == seconds


def test_a_defect_of_the_metrics_costs_no_row(house: House, flush_logged_errors: Flush) -> None:
    """The request is answered, and has the one row that it would have."""
    counted = house.rooms.inference
    counted._by_outcome = None
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.answer(b'{"message":{"content":"a"},"done":true}')
    assert client.answers()[0].status == 200
    assert house.row.outcome == "success"
    assert len(flush_logged_errors(TypeError)) == 1
    # What the house compares at its end.
    counted._by_outcome = Counter(["success"])
