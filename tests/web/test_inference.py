"""Inference requests from a client's bytes to their row, through the whole server in memory."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.web.server import NOT_DONE_YET
from web.house import House, error_of
from web.memory_site import MemoryConnection, make_site
from web.memory_store import MemoryLedger

from ollamamax.fleet.dispatch import Lease
from ollamamax.fleet.retries import AttemptCounts, RetryBudget
from ollamamax.fleet.routing import Wanted
from ollamamax.metrics.inference import InferenceMetrics
from ollamamax.metrics.models import ModelLabels
from ollamamax.settings import Settings
from ollamamax.simulator.settings import EMBEDDER, TINY, SimulatorSettings
from ollamamax.web.carrying import Carrier
from ollamamax.web.inference import Inference
from ollamamax.web.operations import CHAT as CHAT_OPERATION
from ollamamax.web.peers import PeerPolicy
from ollamamax.web.site import GatewayRequest

PIECE = b'{"model":"tiny","message":{"role":"assistant","content":"a"},"done":false}'
LAST = b'{"model":"tiny","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":1}'
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}

OpenHouse = Callable[..., House]


@pytest.mark.parametrize(
    ("path", "operation", "body", "streaming"),
    [
        ("/api/chat", "chat", CHAT, True),
        ("/api/chat", "chat", CHAT | {"stream": False}, False),
        ("/api/generate", "generate", {"model": "tiny", "prompt": "x", "STREAM": None}, True),
        ("/api/v1/inference/chat", "chat", CHAT, True),
        ("/api/v1/inference/generate", "generate", {"model": "TINY:latest", "prompt": "x"}, True),
        ("/api/embed", "embed", {"model": "tiny", "input": "x", "stream": True}, False),
        ("/api/embeddings", "embed", {"model": "tiny", "prompt": "x"}, False),
        ("/api/chat", "load", {"model": "tiny"}, True),
        ("/api/chat", "load", {"model": "tiny", "messages": [ ], "stream": False}, False),
        ("/api/generate", "load", {"model": "tiny", "prompt": "", "keep_alive": 0}, True),
        ("/api/embed", "embed", {"model": "tiny", "input": ""}, False),
    ],
)  # fmt: skip
def test_is_carried_as_it_came(
    house: House, path: str, operation: str, body: dict[str, object], streaming: bool
) -> None:
    """The node gets the client's very bytes on its own route, and the row says what they meant."""
    client = house.ask("POST", f"{path}?q=1", body)
    exchange = house.node.exchange
    assert exchange.line == f"POST {path.replace('/v1/inference', '')}"
    assert exchange.body == json.dumps(body).encode()
    assert len(house.rooms.fleet.nodes["ollama"].in_flight) == 1
    if streaming:
        exchange.begin(LAST)
        exchange.finish()
    else:
        exchange.answer(LAST)
    (answer,) = client.answers()
    assert (answer.status, answer.body.rstrip(), answer.complete) == (200, LAST, True)
    row = house.row
    assert (row.outcome, row.status, row.error_code, row.operation) == ("success", 200, None, operation)
    assert (row.endpoint, row.node, row.attempts, row.model) == (path, "ollama", 1, "tiny:latest")
    assert row.requested_model == body["model"]
    assert row.id == answer.header("X-Request-Id")
    assert house.observed == {("POST", path, "200"): 1}
    assert not house.rooms.fleet.nodes["ollama"].in_flight


@pytest.mark.parametrize("path", ["/api/chat", "/api/v1/inference/chat"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "missing_body"),
        (b"{", 400, "invalid_body"),
        (b"[]", 400, "invalid_body"),
        (b'{"model":"tiny","Model":"other"}', 400, "invalid_body"),
        (b'{"model":7}', 400, "invalid_body"),
        (b'{"model":"tiny","stream":"no","messages":[1]}', 400, "invalid_body"),
        (b"{}", 400, "model_required"),
        (b'{"model":" "}', 400, "model_required"),
        (b'{"model":"Absent:7b"}', 404, "model_not_found"),
    ],
)
def test_what_cannot_be_carried_is_answered_here(house: House, path: str, body: bytes, status: int, code: str) -> None:
    """A bad body or an absent model is the client's: one row says so, and no node hears of it."""
    answer = house.answer("POST", path, body)
    assert answer.status == status
    assert (error_of(answer.body) == code) is (path != "/api/chat")
    assert house.node.exchanges == []
    row = house.row
    assert (row.outcome, row.status, row.error_code, row.node, row.attempts) == ("client_error", status, code, None, 0)
    assert house.store.ledger.begun == []
    assert house.observed == {("POST", path, str(status)): 1}


def test_an_absent_model_is_named_as_the_client_spelt_it(house: House) -> None:
    """Clients look for Ollama's own words, with their own spelling, to offer a pull."""
    answer = house.answer("POST", "/api/chat", {"model": "Absent"})
    assert json.loads(answer.body) == {"error": "model 'Absent' not found"}
    assert (house.row.model, house.row.requested_model) == ("absent:latest", "Absent")


def test_while_its_nodes_are_down_a_model_is_unavailable(house: House) -> None:
    """A model that a node had before it fell is not gone: 503, which may be retried."""
    house.node.hangs = True
    house.pass_time(20.0)
    answer = house.answer("POST", "/api/chat", CHAT)
    assert (answer.status, answer.header("X-Should-Retry"), answer.header("Retry-After")) == (503, "true", "1")
    assert (house.row.outcome, house.row.error_code) == ("unavailable", "no_node_available")


@pytest.mark.parametrize(
    ("status", "outcome"), [("404 Not Found", "client_error"), ("500 Oops", "node_error"), ("503 Busy", "unavailable")]
)
def test_what_a_node_refuses_is_passed_on(house: House, status: str, outcome: str) -> None:
    """A node's own error goes to the client as it is, and counts as what it says."""
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.answer(b'{"error":"no"}', status)
    (answer,) = client.answers()
    assert (answer.status, answer.body) == (int(status[:3]), b'{"error":"no"}')
    assert (house.row.outcome, house.row.status, house.row.error_code) == (
        outcome,
        int(status[:3]),
        f"node_status_{status[:3]}",
    )


@pytest.mark.parametrize(
    ("body", "before", "after"),
    [
        ({"model": "tiny"}, [], ["tiny:latest"]),
        ({"model": "tiny", "keep_alive": 0}, ["tiny:latest"], []),
        (CHAT, [], ["tiny:latest"]),
    ],
)
def test_what_a_request_loads_or_unloads_shows_before_its_end(
    open_house: OpenHouse, body: object, before: list[str], after: list[str]
) -> None:
    """The client that has the last event finds `/api/ps` changed, without waiting for the next probe."""
    house = open_house(resident=tuple(before))
    client = house.ask("POST", "/api/chat", body)
    house.node.resident = list(after)
    house.node.exchange.begin(LAST)
    house.node.exchange.finish()
    assert client.answers()[0].complete
    shown = json.loads(house.answer("GET", "/api/ps").body)["models"]
    assert [entry["name"] for entry in shown] == after


def test_a_model_in_memory_costs_no_probe(house: House) -> None:
    """A request that changes nothing ends when the node has ended it."""
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.hangs = True
    house.node.exchange.begin(LAST)
    house.node.exchange.finish()
    assert client.answers()[0].complete


def test_a_refresh_that_hangs_holds_the_end_for_a_second(open_house: OpenHouse) -> None:
    """What the probe does not tell in time, the client does not wait for."""
    house = open_house(resident=())
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.hangs = True
    house.node.exchange.begin(PIECE, LAST)
    house.node.exchange.finish()
    assert client.answers()[0].body.splitlines() == [PIECE]
    house.pass_time(0.9)
    assert not client.answers()[0].complete
    house.pass_time(0.2)
    assert client.answers()[0].body.splitlines() == [PIECE, LAST]
    assert client.answers()[0].complete
    assert house.row.outcome == "success"


def test_a_stream_passes_chunk_by_chunk(house: House) -> None:
    """Each event reaches the client when the node has sent it, in a chunk of its own."""
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.begin()
    for count in (1, 2, 3):
        house.node.exchange.lines(PIECE)
        house.pass_time(1.0)
        assert client.answers()[0].pieces == (PIECE + b"\n",) * count
    house.node.exchange.lines(LAST)
    house.node.exchange.finish()
    assert client.answers()[0].complete
    assert house.row.first_token_seconds == 0.0
    assert house.row.duration_seconds == 3.0


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_chat_with_a_simulated_node(open_house: OpenHouse, stream: bool) -> None:
    """Load, prompt and tokens of a simulated Ollama come through, and their figures stand in the row."""
    house = open_house(simulated=SimulatorSettings(models=(TINY,)))
    client = house.ask("POST", "/api/chat", CHAT | {"stream": stream, "options": {"num_predict": 8}})
    house.pass_time(1.0)
    assert client.answers() == []
    house.pass_time(10.0)
    (answer,) = client.answers()
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert answer.complete
    assert (len(events) > 2) is stream
    row = house.row
    assert (row.outcome, row.output_tokens) == (
        events[-1]["done_reason"].replace("stop", "success"),
        events[-1]["eval_count"],
    )
    assert row.input_tokens == events[-1]["prompt_eval_count"]
    assert row.load_seconds == pytest.approx(2.0, abs=0.01)
    assert row.slot_wait_seconds == pytest.approx(0.0, abs=0.01)
    assert (row.first_token_seconds is not None) is stream
    assert [entry["name"] for entry in json.loads(house.answer("GET", "/api/ps").body)["models"]] == ["tiny:latest"]
    unload = house.ask("POST", "/api/generate", {"model": "tiny", "keep_alive": 0})
    house.pass_time(1.0)
    assert json.loads(unload.answers()[0].body)["done_reason"] == "unload"
    assert json.loads(house.answer("GET", "/api/ps").body)["models"] == []


def test_embeddings_of_a_simulated_node(open_house: OpenHouse) -> None:
    """Embeddings come through whole, with their count of tokens in the row."""
    house = open_house(simulated=SimulatorSettings(models=(EMBEDDER,)))
    client = house.ask("POST", "/api/embed", {"model": "minilm", "input": ["one", "two"]})
    house.pass_time(10.0)
    document = json.loads(client.answers()[0].body)
    assert len(document["embeddings"]) == 2
    assert (house.row.operation, house.row.outcome) == ("embed", "success")
    assert house.row.input_tokens == document["prompt_eval_count"]


class Queue:
    """A dispatcher that lets everybody wait."""

    def __init__(self) -> None:
        self.waiting: Deferred[Lease] = Deferred()

    def acquire(self, wanted: Wanted) -> Deferred[Lease]:
        return self.waiting

    def has_place(self, wanted: Wanted) -> bool:
        return True


def test_a_client_that_leaves_the_queue(house: House) -> None:
    """It waits no longer, and its row says that it has gone and that no node heard of it."""
    queue, ledger = Queue(), MemoryLedger()
    gone: list[type[BaseException] | None] = []
    carrier = Carrier(
        dispatcher=queue,
        relay=house.rooms.relay,
        ledger=ledger,
        settings=Settings(),
        budget=RetryBudget(0.2, 3),
        counts=AttemptCounts(),
        metrics=InferenceMetrics(ModelLabels(lambda _: True), cold_start_seconds=0.1),
        peers=PeerPolicy.of((), "full"),
        endpoint_of=lambda _: "/api/chat",
        now=lambda: 7.0,
        clock=house.reactor.seconds,
        suspect=lambda _: None,
        refresh=lambda _: succeed(None),
    )

    def render(request: GatewayRequest) -> int:
        serving = Deferred.fromCoroutine(Inference(carrier).serve(request, CHAT_OPERATION))
        serving.addErrback(lambda failure: gone.append(failure.type))
        request.notifyFinish().addErrback(lambda _: serving.cancel())
        return NOT_DONE_YET

    client = MemoryConnection(make_site(render, house.reactor), house.reactor)
    client.send(b'POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n{"model":"tiny"}')
    house.pass_time(3.0)
    assert ledger.ended == []
    house.leave(client)
    assert queue.waiting.called
    assert gone == [CancelledError]
    (row,) = ledger.ended
    assert (row.outcome, row.status, row.node, row.duration_seconds) == ("client_disconnected", None, None, 3.0)
    assert ledger.begun == []


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_what_the_ledger_has_no_room_for_goes_to_no_node(house: House, path: str) -> None:
    """Its client hears so in the API's words and may come again; nothing speaks against the node, nothing is left."""
    house.store.ledger.is_full = True
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    answer = house.answer("POST", path, body)
    assert (answer.status, answer.header("x-should-retry"), answer.header("retry-after")) == (503, "true", "1")
    assert "the gateway cannot keep the account of this request now" in answer.body.decode()
    assert (house.node.exchanges, house.store.ledger.begun, house.attempts, house.retries) == ([], [], {}, {})
    assert (house.row.outcome, house.row.error_code, house.row.attempts) == ("unavailable", "ledger_full", 0)
    assert house.rooms.fleet.nodes["ollama"].failures.consecutive == 0
