"""A node that dies under a request: before it is reached, before its answer, in the middle of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from web.house import NODE_PORT, House
from web.memory_site import MemoryConnection

PIECE = b'{"message":{"content":"a"},"done":false}'
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
WHOLE = CHAT | {"stream": False}


def refuse(house: House) -> MemoryConnection:
    house.reactor.ports[NODE_PORT].stopListening()
    return house.ask("POST", "/api/chat", CHAT)


def with_answer(*deeds: Callable[[House], None], body: object = CHAT) -> Callable[[House], MemoryConnection]:
    def play(house: House) -> MemoryConnection:
        client = house.ask("POST", "/api/chat", body)
        for deed in deeds:
            deed(house)
        return client

    return play


def begin(house: House) -> None:
    house.node.exchange.begin(PIECE)


def fin(house: House) -> None:
    house.node.exchange.close()


def rst(house: House) -> None:
    house.node.exchange.reset()


def finish(house: House) -> None:
    house.node.exchange.finish()


def send(data: bytes) -> Callable[[House], None]:
    return lambda house: house.node.exchange.send(data)


@pytest.mark.parametrize(
    ("play", "status", "outcome", "code"),
    [
        pytest.param(refuse, 502, "node_error", "node_unreachable", id="refused"),
        pytest.param(with_answer(fin), 502, "node_error", "node_closed_early", id="closed-before-the-head"),
        pytest.param(with_answer(rst), 502, "node_error", "node_closed_early", id="reset-before-the-head"),
        pytest.param(with_answer(send(b"SSH-2.0\r\n")), 502, "node_error", "node_protocol_error", id="no-http"),
        pytest.param(
            with_answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), fin, body=WHOLE),
            502,
            "incomplete",
            "node_stream_incomplete",
            id="head-without-body",
        ),
    ],
)
def test_a_node_that_dies_before_its_answer(
    house: House, play: Callable[[House], MemoryConnection], status: int, outcome: str, code: str
) -> None:
    """Nothing has reached the client, so that it gets a plain answer: 502, and not to be tried again."""
    (answer,) = play(house).answers()
    assert (answer.status, answer.complete) == (status, True)
    assert set(json.loads(answer.body)) == {"error"}
    assert answer.header("X-Should-Retry") == "false"
    assert (house.row.outcome, house.row.status, house.row.error_code) == (outcome, status, code)
    assert house.row.attempts == 1
    assert house.observed == {("POST", "/api/chat", str(status)): 1}
    assert house.disconnects == {}


@pytest.mark.parametrize(
    ("play", "outcome", "code"),
    [
        pytest.param(with_answer(begin, fin), "incomplete", "node_stream_incomplete", id="closed"),
        pytest.param(with_answer(begin, rst), "incomplete", "node_stream_incomplete", id="reset"),
        pytest.param(with_answer(begin, finish), "incomplete", "node_stream_incomplete", id="clean-end"),
        pytest.param(with_answer(begin, send(b"zz\r\n")), "node_error", "node_protocol_error", id="bad-chunk"),
        pytest.param(
            with_answer(begin, send(b'10\r\n{"error":"oops"}\r\n'), finish),
            "stream_error",
            "node_stream_error",
            id="in-band",
        ),
    ],
)
def test_a_node_that_dies_in_its_stream(
    house: House, play: Callable[[House], MemoryConnection], outcome: str, code: str
) -> None:
    """The client gets an error event and no end: its connection closes without the terminating chunk."""
    client = play(house)
    (answer,) = client.answers()
    assert (answer.status, answer.complete) == (200, False)
    first, *_, last = answer.body.splitlines()
    assert first == PIECE
    assert set(json.loads(last)) == {"error"}
    assert client.ended
    assert not client.aborted
    assert (house.row.outcome, house.row.status, house.row.error_code) == (outcome, 200, code)
    assert house.observed == {("POST", "/api/chat", "200"): 1}
    assert house.disconnects == {}


def test_a_node_that_refuses_is_probed_at_once(house: House) -> None:
    """A refused connect is word that the node has fallen: it is looked after before its next turn."""
    house.reactor.ports[NODE_PORT].stopListening()
    house.pass_time(2.0)
    assert house.ask("POST", "/api/chat", CHAT).answers()[0].status == 502
    assert house.rooms.fleet.nodes["ollama"].up is False
    assert house.ask("POST", "/api/chat", CHAT).answers()[0].status == 503
