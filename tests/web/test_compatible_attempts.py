"""Attempts and their times on the routes of the compatible APIs: the rules are those of Ollama's own."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from web.house import House
from web.memory_site import MemoryConnection
from web.scripted_node import NodeExchange

from ollamamax.settings import ModelSettings, Probe

OpenHouse = Callable[..., House]

MESSAGES = [{"role": "user", "content": "x"}]
CHAT = {"model": "tiny", "messages": MESSAGES}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\naudio\r\n--b--\r\n'
)
FORM_HEADERS = ("Content-Type: multipart/form-data; boundary=b",)
TRANSCRIPTIONS = "/v1/audio/transcriptions"
STREAM = {"stream": True}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
OWN = {
    "tiny:latest": ModelSettings(
        first_byte_seconds=7.0, load_seconds=11.0, idle_seconds=5.0, whole_response_seconds=13.0
    )
}


def ask(house: House, path: str, body: object) -> MemoryConnection:
    """Sends a request, a form where it is bytes."""
    return house.ask("POST", path, body, headers=FORM_HEADERS if isinstance(body, bytes) else ())


def send_events(exchange: NodeExchange, *events: bytes) -> None:
    """A node begins a stream of events, each in a chunk."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for event in events:
        exchange.send(b"%x\r\n%s\r\n" % (len(event), event))


@pytest.mark.parametrize(
    ("path", "body", "resident", "seconds"),
    [
        ("/v1/chat/completions", CHAT | STREAM, True, 7.0),
        ("/v1/chat/completions", CHAT | STREAM, False, 18.0),
        ("/v1/completions", {"model": "tiny", "prompt": "x", "stream": True}, True, 7.0),
        ("/v1/responses", {"model": "tiny", "input": "x", "stream": True}, True, 7.0),
        ("/v1/messages", CHAT | {"max_tokens": 9} | STREAM, True, 7.0),
        ("/v1/chat/completions", CHAT, True, 13.0),
        ("/v1/chat/completions", CHAT, False, 13.0),
        ("/v1/completions", {"model": "tiny", "prompt": "x"}, True, 13.0),
        ("/v1/responses", {"model": "tiny", "input": "x"}, True, 13.0),
        ("/v1/messages", CHAT | {"max_tokens": 9}, True, 13.0),
        ("/v1/embeddings", {"model": "tiny", "input": "x"}, True, 13.0),
        ("/api/embed", {"model": "tiny", "input": "x"}, True, 13.0),
        ("/api/embeddings", {"model": "tiny", "prompt": "x"}, True, 13.0),
        ("/api/generate", {"model": "tiny", "prompt": "x", "stream": False}, True, 13.0),
        (TRANSCRIPTIONS, FORM, True, 13.0),
    ],
)
def test_which_limit_an_answer_has(
    open_house: OpenHouse, path: str, body: object, resident: bool, seconds: float
) -> None:
    """A stream has to begin, of a cold model after its load; what comes whole has its end alone; per model."""
    house = open_house(
        resident=("tiny:latest",) if resident else (), models_settings=OWN, probe=Probe(interval_seconds=10_000.0)
    )
    client = ask(house, path, body)
    assert len(house.node.exchanges) == 1
    house.pass_time(seconds - 0.1)
    assert client.answers() == []
    house.pass_time(0.2)
    (answer,) = client.answers()
    assert (answer.status, answer.header("X-Should-Retry"), answer.header("Retry-After")) == (504, "false", None)
    phase = "whole_response" if seconds == 13.0 else "first_byte"
    assert f"({phase}: {seconds:g} s)".encode() in answer.body
    assert (house.row.outcome, house.row.error_code) == ("timeout", "node_timeout")


def test_a_gap_in_a_stream(open_house: OpenHouse) -> None:
    """It is limited as in Ollama's own, and the stream ends with an error and without its end."""
    house = open_house(models_settings=OWN, probe=Probe(interval_seconds=10_000.0))
    client = ask(house, "/v1/chat/completions", CHAT | STREAM)
    send_events(house.node.exchange, EVENT)
    house.pass_time(5.1)
    (answer,) = client.answers()
    assert (answer.status, answer.complete, b"(idle: 5 s)" in answer.body) == (200, False, True)
    assert house.row.outcome == "timeout"


def test_a_busy_nodes_request_moves_with_what_was_added_to_it(open_house: OpenHouse) -> None:
    """The second node is asked for usage as the first was, and the client does not see it."""
    house = open_house(others={"second": ("tiny:latest",)})
    client = ask(house, "/v1/chat/completions", CHAT | STREAM)
    house.node.exchange.answer(b'{"error":{"message":"server busy"}}', "503 Service Unavailable")
    second = house.nodes["second"].exchange
    assert json.loads(second.body) == CHAT | STREAM | {"stream_options": {"include_usage": True}}
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n'
    last = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    send_events(second, EVENT, last, usage, b"data: [DONE]\n\n")
    second.finish()
    (answer,) = client.answers()
    assert (answer.complete, answer.body) == (True, EVENT + last + b"data: [DONE]\n\n")
    row = house.row
    assert (row.outcome, row.node, row.attempts, row.output_tokens) == ("success", "second", 2, 5)


def test_a_form_that_no_node_had_moves(open_house: OpenHouse) -> None:
    """After a refused connect the second node gets all of it."""
    house = open_house(others={"second": ("tiny:latest",)})
    house.refuse("ollama")
    client = ask(house, TRANSCRIPTIONS, FORM)
    exchange = house.nodes["second"].exchange
    assert b'name="model"\r\n\r\ntiny\r\n' in exchange.body
    assert exchange.body.endswith(b"audio\r\n--b--\r\n")
    exchange.answer(b'{"text":"a"}')
    assert client.answers()[0].body == b'{"text":"a"}'
    assert (house.row.attempts, house.retries) == (2, {"connect_failed": 1})


def test_a_form_that_a_node_had_stays(open_house: OpenHouse) -> None:
    """It is not kept, so that the death or the 503 of that node is the answer."""
    house = open_house(others={"second": ("tiny:latest",)})
    dead, busy = ask(house, TRANSCRIPTIONS, FORM), ask(house, TRANSCRIPTIONS, FORM)
    house.nodes["ollama"].exchange.close()
    house.nodes["second"].exchange.answer(b'{"error":{"message":"server busy"}}', "503 Service Unavailable")
    assert [client.answers()[0].status for client in (dead, busy)] == [502, 503]
    assert ([row.attempts for row in house.store.ledger.ended], house.retries) == ([1, 1], {})
