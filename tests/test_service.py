"""The server as a service: what its start refuses, how it drains and stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from log_events import LogEvents, logged_by
from twisted.internet.protocol import Factory
from web.house import House
from web.memory_site import MemoryConnection

from ollamamax.service import Gateway, StartError
from ollamamax.store.failures import StoreError

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
PIECE = b'{"message":{"content":"a"},"done":false}'
LAST = b'{"message":{"content":""},"done":true,"done_reason":"stop"}'


@pytest.fixture
def logged() -> Iterator[LogEvents]:
    """What the service logs."""
    with logged_by("ollamamax.service.Gateway") as events:
        yield events


def streaming(house: House) -> MemoryConnection:
    """A client in the middle of its stream."""
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.begin(PIECE)
    return client


# --- start -----------------------------------------------------------------------------------------------------------


def test_starts_and_is_ready_when_its_nodes_were_tried(logged: LogEvents) -> None:
    """It listens at once and says where; it is ready after the first round of probes, whatever that found."""
    with House(start=False) as house:
        house.node.hangs = True
        house.start()
        assert house.answer("GET", "/ready").status == 503
        house.pass_time(3.0)
        assert house.answer("GET", "/ready").status == 200
    assert logged.lines == [
        "listening on http://127.0.0.1:8080",
        "ready: 0 of 1 nodes up",
        "draining: at most 30 s for running responses",
        "stopped",
    ]


def test_a_privileged_start_comes_first() -> None:
    """The port and the store are there before the rest, and are taken once."""
    with House(start=False) as house:
        house.gateway.privilegedStartService()
        assert 8080 in house.reactor.ports
        assert house.rooms is not None
        assert house.rooms.fleet.nodes["ollama"].probed_at is None
        house.start()
        assert house.answer("GET", "/ready").status == 200


def test_a_busy_port_is_one_line() -> None:
    """It names the setting, the reason and what to do."""
    with House(start=False) as house:
        house.reactor.listenTCP(8080, Factory())
        with pytest.raises(StartError) as raised:
            house.start()
        assert str(raised.value) == (
            'listen: "tcp:8080:interface=127.0.0.1" cannot be used: Address already in use; '
            "choose a free port or another address"
        )
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("listen", ["tcp:many", "smoke:8080", "tcp"])
def test_a_listen_that_is_none_is_one_line(listen: str) -> None:
    """What Twisted cannot read is said to be so."""
    with House(start=False, listen=listen) as house, pytest.raises(StartError, match=f'^listen: "{listen}" cannot be'):
        house.start()


def test_a_store_that_is_taken_gives_the_port_back() -> None:
    """The store's own line is told, and nothing is left listening."""
    with House(start=False, store_fault=StoreError("database: in use by another process")) as house:
        with pytest.raises(StartError, match=r"^database: in use by another process$"):
            house.start()
        assert 8080 not in house.reactor.ports


def test_the_store_is_that_of_the_settings(tmp_path: Path) -> None:
    """What cannot be opened is told in the store's own line."""
    with House(start=False, database="postgresql://u@127.0.0.1:1/x", state_directory=str(tmp_path)) as house:
        gateway = Gateway(house.gateway._loaded, cast("ReactorBase", house.reactor))
        with pytest.raises(StartError, match=r"^database postgresql://u@127.0.0.1:1/x cannot be used: "):
            gateway.startService()


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        ("tcp:9000", "http://127.0.0.1:9000"),
        (r"tcp6:9000:interface=\:\:1", "http://[::1]:9000"),
        ("unix:/run/gateway.sock", "unix:/run/gateway.sock"),
    ],
)
def test_says_where_it_listens(logged: LogEvents, listen: str, where: str) -> None:
    """An address as a client writes it, of whatever kind."""
    with House(listen=listen):
        assert logged.lines[0] == f"listening on {where}"


def test_two_servers_share_no_metrics() -> None:
    """Each has a registry of its own."""
    with House() as one, House() as other:
        one.answer("GET", "/")
        assert one.observed == {("GET", "/", "200"): 1}
        assert other.observed == {}


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_drain_lets_streams_finish(logged: LogEvents) -> None:
    """No new connection, idle ones close, what runs runs to its end; then all is written and closed."""
    with House() as house:
        client, idle = streaming(house), house.connect()
        stopped = house.stop()
        assert 8080 not in house.reactor.ports
        assert idle.closed
        house.pass_time(29.0)
        assert not stopped
        house.node.exchange.lines(LAST)
        house.node.exchange.finish()
        (answer,) = client.answers()
        assert (answer.complete, answer.body.splitlines()) == (True, [PIECE, LAST])
        assert client.closed
        assert stopped == [None]
        assert house.row.outcome == "success"
        assert house.store.closed_after == 1
        assert house.reactor.seconds() < 30.0
    assert logged.lines[-1] == "stopped"


def test_a_drain_ends_what_outlasts_the_grace() -> None:
    """A stream gets an error event and no end, a request without an answer a 503; each has its row."""
    with House(drain_seconds=7.0) as house:
        stream = streaming(house)
        begun = house.node.exchange
        waiting = house.ask("POST", "/api/v1/inference/chat", CHAT | {"stream": False})
        stopped = house.stop()
        house.pass_time(6.9)
        assert not stopped
        assert waiting.answers() == []
        house.pass_time(0.2)
        (broken,), (refused,) = stream.answers(), waiting.answers()
        assert (broken.complete, stream.ended, stream.aborted) == (False, True, False)
        assert json.loads(broken.body.splitlines()[-1]) == {"error": "the gateway is shutting down"}
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "shutting_down")
        assert begun.dropped
        assert stopped == [None]
        rows = {row.endpoint: (row.outcome, row.status, row.error_code) for row in house.store.ledger.ended}
        assert rows == {
            "/api/chat": ("unavailable", 200, "shutting_down"),
            "/api/v1/inference/chat": ("unavailable", 503, "shutting_down"),
        }
        assert house.store.closed_after == 2
        assert sum(house.observed.values()) == 2


def test_a_client_that_does_not_read_is_cut_off_and_accounted_for() -> None:
    """One that takes neither answer nor end holds the stop for some seconds only, and its row is written before."""
    with House(drain_seconds=7.0) as house:
        client = house.ask("POST", "/api/chat", CHAT)
        client.reading = False
        house.node.exchange.begin(*[b'{"message":{"content":"' + b"x" * 4000 + b'"},"done":false}'] * 100)
        stopped = house.stop()
        house.pass_time(30.0)
        assert stopped == [None]
        assert client.aborted
        assert house.row.outcome == "unavailable"
        assert house.store.closed_after == 1


def test_a_client_that_uploads_is_cut_off_too() -> None:
    """A blob that does not end is refused after the grace, and its client given a few seconds to see that."""
    with House(drain_seconds=7.0) as house:
        client = house.connect()
        client.send(b"POST /api/blobs/sha256:0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        house.reactor.settle()
        stopped = house.stop()
        house.pass_time(7.1)
        assert client.answers()[0].status == 503
        assert house.node.exchange.dropped
        house.pass_time(10.0)
        assert stopped == [None]


@pytest.mark.parametrize("reading", [True, False])
def test_a_second_signal_waits_for_nothing(reading: bool) -> None:
    """Forced, the end comes in the same moment, whether or not the client takes what it is sent."""
    with House() as house:
        client = streaming(house)
        client.reading = reading
        house.node.exchange.lines(PIECE)
        stopped = house.stop()
        assert not stopped
        house.gateway.force_stop()
        house.reactor.settle()
        assert stopped == [None]
        assert not client.answers()[0].complete
        assert house.row.outcome == "unavailable"
        assert house.store.closed_after == 1


def test_forced_before_it_drains() -> None:
    """The drain that follows has no grace."""
    with House() as house:
        client = house.ask("POST", "/api/chat", CHAT)
        house.gateway.force_stop()
        stopped = house.stop()
        assert client.closed
        assert stopped == [None]
        assert len(house.store.ledger.ended) == 1


def test_forced_before_its_start() -> None:
    """There is nothing to end."""
    with House(start=False) as house:
        house.gateway.force_stop()


def test_a_drain_asked_again_is_the_same() -> None:
    """Every caller hears of the one end, the later ones too."""
    with House() as house:
        streaming(house)
        stopped = [house.stop() for _ in range(3)]
        assert stopped == [[], [], []]
        house.node.exchange.lines(LAST)
        house.node.exchange.finish()
        assert [*stopped, house.stop()] == [[None]] * 4


def test_a_stop_before_the_first_probes_are_over(logged: LogEvents) -> None:
    """It waits for no node, and is never ready."""
    with House(start=False) as house:
        house.node.hangs = True
        house.start()
        assert house.stop() == [None]
    assert not any(line.startswith("ready") for line in logged.lines)


def test_is_not_ready_while_it_drains() -> None:
    """A connection that was open is still told, and closed after that."""
    with House() as house:
        asking = house.connect()
        asking.send(b"GET /ready HTTP/1.1\r\n")
        stopped = house.stop()
        asking.send(b"Host: localhost\r\n\r\n")
        house.reactor.settle()
        (answer,) = asking.answers()
        assert (answer.status, answer.header("Connection")) == (503, "close")
        assert json.loads(answer.body)["status"] == "draining"
        assert stopped == [None]
