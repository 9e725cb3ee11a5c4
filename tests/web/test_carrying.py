"""What can happen to a request on its way: its client leaves, its node dies or hangs, at every point."""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs
import pytest
from web.house import NODE_PORT, House
from web.memory_site import MemoryConnection

from ollamamax.settings import ModelSettings, Probe, Timeouts

PIECE = b'{"message":{"content":"a"},"done":false}'
LAST = b'{"message":{"content":""},"done":true,"done_reason":"stop"}'
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
WHOLE = CHAT | {"stream": False}
PULL = {"model": "tiny"}

OpenHouse = Callable[..., House]


# --- the client leaves -----------------------------------------------------------------------------------------------


@attrs.frozen
class Asked:
    """A request under way."""

    house: House
    client: MemoryConnection


def connecting(house: House, path: str, body: object) -> Asked:
    """The node's machine says nothing to a connect."""
    house.reactor.silent.add(NODE_PORT)
    return Asked(house, house.ask("POST", path, body))


def before_the_head(house: House, path: str, body: object) -> Asked:
    """The node has the request."""
    return Asked(house, house.ask("POST", path, body))


def mid_stream(house: House, path: str, body: object) -> Asked:
    """The client has a part of the answer."""
    asked = before_the_head(house, path, body)
    house.node.exchange.begin(PIECE)
    return asked


def in_the_refresh(house: House, path: str, body: object) -> Asked:
    """The node is done, and the last event waits for a probe that hangs."""
    asked = mid_stream(house, path, body)
    house.node.hangs = True
    house.node.exchange.lines(b'{"status":"success"}' if path == "/api/pull" else LAST)
    house.node.exchange.finish()
    return asked


@pytest.mark.parametrize(("path", "body"), [("/api/chat", CHAT), ("/api/pull", PULL)])
@pytest.mark.parametrize(
    ("stage", "phase"),
    [
        (connecting, "before_response"),
        (before_the_head, "before_response"),
        (mid_stream, "mid_stream"),
        (in_the_refresh, "mid_stream"),
    ],
)
def test_a_client_that_leaves_takes_its_request_along(
    open_house: OpenHouse, stage: Callable[[House, str, object], Asked], phase: str, path: str, body: object
) -> None:
    """In the same turn the node's connection is closed, the lease given back, the row written, a 499 counted."""
    house = open_house(resident=())
    asked = stage(house, path, body)
    node = house.rooms.fleet.nodes["ollama"]
    assert len(node.in_flight) == 1
    house.leave(asked.client)
    assert not node.in_flight
    assert house.reactor.connecting == set()
    if house.node.exchanges and stage is not in_the_refresh:
        assert house.node.exchange.dropped
    assert house.observed == {("POST", path, "499"): 1}
    assert house.disconnects == {(path, phase): 1}
    if path == "/api/pull":
        assert house.store.ledger.ended == []
    else:
        assert house.row.outcome == "client_disconnected"
        assert house.row.status == (None if phase == "before_response" else 200)


def test_a_client_that_leaves_its_own_upload(house: House) -> None:
    """A blob whose client goes is cut off at the node too."""
    client = house.connect()
    client.send(b"POST /api/blobs/sha256:0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
    house.reactor.settle()
    exchange = house.node.exchange
    assert (exchange.body, exchange.complete) == (b"abc", False)
    house.leave(client)
    assert exchange.dropped
    assert house.observed == {("POST", "/api/blobs/:digest", "499"): 1}


def test_a_slow_client_slows_its_node(house: House) -> None:
    """A client that does not read is not read for: the gateway stops taking from the node, and waits for its client."""
    client = house.ask("POST", "/api/chat", CHAT)
    client.reading = False
    line = b'{"message":{"content":"' + b"x" * 4000 + b'"},"done":false}'
    house.node.exchange.begin(*[line] * 400)
    assert len(house.node.exchange.wire._unsent) > 1_000_000
    house.pass_time(500.0)
    client.read_on()
    house.reactor.settle()
    house.node.exchange.lines(LAST)
    house.node.exchange.finish()
    (answer,) = client.answers()
    assert answer.complete
    assert answer.body.splitlines() == [*[line] * 400, LAST]
    assert house.row.outcome == "success"


# --- the node hangs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "stage", "seconds", "phase"),
    [
        (CHAT, connecting, 2.0, "connect"),
        (CHAT, before_the_head, 300.0, "first_byte"),
        (CHAT, mid_stream, 120.0, "idle"),
        (WHOLE, before_the_head, 1800.0, "whole_response"),
    ],
)
def test_a_node_that_hangs_is_given_up(
    open_house: OpenHouse, body: object, stage: Callable[[House, str, object], Asked], seconds: float, phase: str
) -> None:
    """Each phase has its limit; then the node's connection is closed, and the client told."""
    house = open_house(probe=Probe(interval_seconds=10_000.0))
    asked = stage(house, "/api/chat", body)
    house.pass_time(seconds - 0.1)
    assert house.store.ledger.ended == []
    house.pass_time(0.2)
    (answer,) = asked.client.answers()
    status = 200 if stage is mid_stream else 504
    assert answer.status == status
    assert answer.complete is (status == 504)
    message = f"the node did not answer in time ({phase}: {seconds:g} s)"
    assert json.loads(answer.body.splitlines()[-1]) == {"error": message}
    assert (house.row.outcome, house.row.status, house.row.error_code) == ("timeout", status, "node_timeout")
    assert all(exchange.dropped for exchange in house.node.exchanges)
    assert not house.rooms.fleet.nodes["ollama"].in_flight
    assert house.observed == {("POST", "/api/chat", str(status)): 1}


@pytest.mark.parametrize(("resident", "seconds"), [(("tiny:latest",), 7.0), ((), 7.0 + 11.0)])
def test_a_model_has_limits_of_its_own(open_house: OpenHouse, resident: tuple[str, ...], seconds: float) -> None:
    """A model's own limits hold for it, and one that is not loaded is given its load time besides."""
    own = {"tiny:latest": ModelSettings(first_byte_seconds=7.0, load_seconds=11.0)}
    house = open_house(resident=resident, models_settings=own, timeouts=Timeouts(first_byte_seconds=1.0))
    client = house.ask("POST", "/api/chat", CHAT)
    house.pass_time(seconds - 0.1)
    assert client.answers() == []
    house.pass_time(0.2)
    assert client.answers()[0].status == 504


def test_a_node_that_does_not_take_connections_is_probed_soon(house: House) -> None:
    """After a connect that took too long it is not a minute before the next request is told that the node is down."""
    house.pass_time(1.0)
    connecting(house, "/api/chat", CHAT)
    house.pass_time(4.1)
    assert house.rooms.fleet.nodes["ollama"].up is False


# --- heads -----------------------------------------------------------------------------------------------------------


def test_a_simulated_answer_says_so(open_house: OpenHouse) -> None:
    """Whatever a simulated node of the server's own answers carries its mark; a node that somebody runs has none."""
    house = open_house(models=("other",), simulate=1)
    made_up = house.ask("POST", "/api/show", {"model": "tiny"}).answers()[0]
    assert (made_up.status, made_up.headers.getRawHeaders("X-OllamaMax-Simulated")) == (200, ["1"])
    client = house.ask("POST", "/api/show", {"model": "other"})
    house.node.exchange.answer(b"{}")
    assert client.answers()[0].header("X-OllamaMax-Simulated") is None


@pytest.mark.parametrize(
    ("encoding", "status"),
    [
        ("gzip", 415),
        ("\xff", 415),
        ("identity, br", 415),
        ("br\r\nContent-Encoding: identity", 415),
        ("identity", 200),
        (" Identity ", 200),
    ],
)
@pytest.mark.parametrize("path", ["/api/chat", "/api/show", "/api/blobs/sha256:0"])
def test_a_compressed_body_is_refused(house: House, path: str, encoding: str, status: int) -> None:
    """Nothing could be checked in it, and nodes do not take it either."""
    client = house.ask("POST", path, WHOLE, headers=(f"Content-Encoding: {encoding}",))
    if status == 200:
        house.node.exchange.answer(LAST)
    assert client.answers()[0].status == status
    assert len(house.node.exchanges) == (status == 200)


def test_what_identifies_a_client_stays_here(house: House) -> None:
    """Credentials, cookies and addresses end at the gateway, the node's Host is its own."""
    house.ask(
        "POST",
        "/api/chat",
        CHAT,
        headers=("Authorization: Bearer s", "Cookie: s", "X-Forwarded-For: 1.2.3.4", "X-A: b"),
    )
    head = house.node.exchange.head.split(b"\r\n")
    assert sorted(head[1:]) == [b"Content-Length: 65", b"Host: 127.0.0.1:11434", b"X-A: b"]
