"""What the metrics tell of inference requests, through the whole server in memory; `House.close` compares the sums."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from web.house import House
from web.memory_site import MemoryConnection

from ollamamax.settings import MetricsSettings, ModelSettings, Probe
from ollamamax.store.failures import StoreUnavailable

OpenHouse = Callable[..., House]
Play = Callable[[House], object]

MODEL = "tiny:latest"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
V1_STREAM = CHAT | {"stream": True}
PIECE = b'{"message":{"content":"a"},"done":false}'
FIGURES = {
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000_000,
    "prompt_eval_count": 7,
    "prompt_eval_cached_count": 3,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 8,
    "eval_duration": 2_000_000_000,
}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"

REQUESTS = "ollamamax_inference_requests_total"
DURATION = "ollamamax_inference_duration_seconds"
FIRST = "ollamamax_inference_time_to_first_token_seconds"
PACE = "ollamamax_inference_time_per_output_token_seconds"
COLD = "ollamamax_inference_cold_starts_total"
IN_FLIGHT = "ollamamax_inference_in_flight"
TOKENS = "ollamamax_tokens_total"
MISSING = "ollamamax_usage_missing_total"
OVERHEAD = "ollamamax_gateway_overhead_seconds"
NODE_TOKENS = "ollamamax_node_tokens_total"
NODE_FIRST = "ollamamax_node_time_to_first_token_seconds"
NODE_PACE = "ollamamax_node_time_per_output_token_seconds"
NODE_START = "ollamamax_node_response_start_duration_seconds"


def last_line(**figures: object) -> bytes:
    """The end of a stream of Ollama's own API."""
    line = {"message": {"content": ""}, "done": True, "done_reason": "stop", **figures}
    return json.dumps(line, separators=(",", ":")).encode()


def native_stream(house: House) -> MemoryConnection:
    """Its head and first token after two seconds, its end a second later."""
    client = house.ask("POST", "/api/chat", CHAT)
    house.pass_time(2.0)
    house.node.exchange.begin(PIECE)
    house.pass_time(1.0)
    house.node.exchange.lines(last_line(**FIGURES))
    house.node.exchange.finish()
    return client


def events(house: House, *pieces: bytes) -> None:
    """Sends whole events."""
    for piece in pieces:
        house.node.exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))


def v1_stream(house: House, *last: bytes) -> MemoryConnection:
    """Its first event after two seconds, then three more at intervals of one second, then what is last."""
    client = house.ask("POST", "/v1/chat/completions", V1_STREAM)
    house.pass_time(2.0)
    house.node.exchange.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for _ in range(3):
        events(house, EVENT)
        house.pass_time(1.0)
    events(house, EVENT)
    house.pass_time(5.0)
    events(house, *last)
    return client


def test_a_stream_of_ollamas_own_api(house: House) -> None:
    """Everything that its row has, and what its node did, is there once, under the names of model and node."""
    native_stream(house)
    assert house.series(REQUESTS) == {f"{MODEL} chat success": 1}
    expected = {
        f"{DURATION}_sum": {f"{MODEL} chat": 3.0},
        f"{FIRST}_sum": {MODEL: 2.0},
        f"{PACE}_sum": {MODEL: 0.25},
        "ollamamax_inference_prompt_duration_seconds_sum": {MODEL: 0.5},
        "ollamamax_inference_slot_wait_duration_seconds_sum": {MODEL: 1.5},
        "ollamamax_inference_load_duration_seconds_sum": {MODEL: 1.0},
        "ollamamax_inference_input_tokens_sum": {MODEL: 7},
        "ollamamax_inference_output_tokens_sum": {MODEL: 8},
        "ollamamax_input_tokens_cached_total": {MODEL: 3},
        COLD: {MODEL: 1},
        TOKENS: {f"{MODEL} input": 7, f"{MODEL} output": 8},
        MISSING: {},
        f"{OVERHEAD}_count": {"chat": 1},
        NODE_TOKENS: {f"{MODEL} ollama input": 7, f"{MODEL} ollama output": 8},
        f"{NODE_FIRST}_sum": {f"{MODEL} ollama": 2.0},
        f"{NODE_PACE}_sum": {f"{MODEL} ollama": 0.25},
        f"{NODE_START}_sum": {"ollama": 2.0},
    }
    assert {name: house.series(name) for name in expected} == expected


def test_a_stream_of_v1(open_house: OpenHouse) -> None:
    """It tells no phases; its pace is that of its events after the first, by the gateway's clock."""
    house = open_house()
    v1_stream(house, STOP, USAGE, DONE)
    house.node.exchange.finish()
    assert house.series(f"{PACE}_sum") == {MODEL: 1.0}
    assert house.series(f"{NODE_PACE}_sum") == {f"{MODEL} ollama": 1.0}
    assert house.series(f"{FIRST}_sum") == {MODEL: 2.0}
    assert house.series(TOKENS) == {f"{MODEL} input": 3, f"{MODEL} output": 4}
    for phase in ("prompt", "slot_wait", "load"):
        assert house.series(f"ollamamax_inference_{phase}_duration_seconds_count") == {}
    assert house.series(COLD) == {}


@pytest.mark.parametrize(("status", "cold"), [(200, {MODEL: 1}), (404, {})])
def test_a_cold_start_of_v1(open_house: OpenHouse, status: int, cold: dict[str, float]) -> None:
    """It is one where the node had not the model in its memory, and answered."""
    house = open_house(resident=())
    house.ask("POST", "/v1/chat/completions", CHAT)
    house.node.exchange.answer(b'{"choices":[{"finish_reason":"stop"}]}', f"{status} Whatever")
    assert house.series(COLD) == cold


def test_the_threshold_of_a_cold_start_is_a_setting(open_house: OpenHouse) -> None:
    """A load that is shorter is none, and is not timed."""
    house = open_house(metrics=MetricsSettings(cold_start_seconds=1.5))
    native_stream(house)
    assert house.series(COLD) == {}
    assert house.series("ollamamax_inference_load_duration_seconds_count") == {}


def test_a_whole_answer_has_no_first_token(house: House) -> None:
    """But the pace that the node tells; and no node is timed by it but for that."""
    house.ask("POST", "/api/chat", CHAT | {"stream": False})
    house.pass_time(2.0)
    house.node.exchange.answer(last_line(**FIGURES))
    assert house.series(f"{PACE}_sum") == {MODEL: 0.25}
    assert house.series(f"{DURATION}_sum") == {f"{MODEL} chat": 2.0}
    for name in (FIRST, NODE_FIRST, NODE_START):
        assert house.series(f"{name}_count") == {}


def test_one_token_has_no_pace(house: House) -> None:
    """What one token took is the prompt's time."""
    house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.begin(last_line(**FIGURES | {"eval_count": 1}))
    house.node.exchange.finish()
    assert house.series(f"{PACE}_count") == {}
    assert house.series("ollamamax_inference_output_tokens_sum") == {MODEL: 1}


def test_a_load_is_no_inference_but_for_its_end(house: House) -> None:
    """It has the operation `load`, and no tokens, whatever its answer says."""
    house.ask("POST", "/api/chat", {"model": "tiny"})
    house.node.exchange.answer(last_line(**FIGURES | {"done_reason": "load"}))
    assert house.series(REQUESTS) == {f"{MODEL} load success": 1}
    assert house.series(f"{DURATION}_count") == {f"{MODEL} load": 1}
    for name in (TOKENS, NODE_TOKENS, COLD, MISSING, f"{PACE}_count", f"{NODE_PACE}_count"):
        assert house.series(name) == {}


def asked(*deeds: Play, body: object = CHAT, path: str = "/api/chat") -> Play:
    """A request, and what happens to it."""

    def play(house: House) -> None:
        house.ask("POST", path, body)
        for deed in deeds:
            deed(house)

    return play


def answers(body: bytes, status: str = "200 OK") -> Play:
    return lambda house: house.node.exchange.answer(body, status)


def begins(*lines: bytes) -> Play:
    return lambda house: house.node.exchange.begin(*lines)


def finishes(house: House) -> None:
    house.node.exchange.finish()


def resets(house: House) -> None:
    house.node.exchange.reset()


def leaves(house: House) -> None:
    house.leave(house.clients[-1])
    house.reactor.settle()


WHOLE = CHAT | {"stream": False}


@pytest.mark.parametrize(
    ("play", "outcome", "missing"),
    [
        pytest.param(asked(begins(PIECE), leaves), "client_disconnected", "aborted", id="left"),
        pytest.param(asked(leaves), "client_disconnected", "aborted", id="left-before-the-head"),
        pytest.param(asked(begins(PIECE), resets), "incomplete", "aborted", id="reset"),
        pytest.param(asked(begins(PIECE), finishes), "incomplete", "aborted", id="no-end"),
        pytest.param(asked(begins(PIECE, b'{"error":"x"}'), finishes), "stream_error", "aborted", id="in-band"),
        pytest.param(asked(answers(b'{"error":"x"}', "500 Oops")), "node_error", "node_error", id="500"),
        pytest.param(asked(resets), "node_error", "node_error", id="dead-before-the-head"),
        pytest.param(asked(answers(b'{"error":"x"}', "400 No")), "client_error", None, id="refused-by-the-node"),
        pytest.param(asked(answers(b'{"error":"x"}', "503 Busy")), "unavailable", None, id="busy"),
        pytest.param(asked(body=CHAT | {"model": "alien"}), "client_error", None, id="unknown-model"),
        pytest.param(asked(body=b"{"), "client_error", None, id="no-json"),
        pytest.param(asked(begins(last_line()), finishes), "success", "not_reported", id="silent"),
        pytest.param(
            asked(begins(last_line(**FIGURES | {"eval_count": -1})), finishes), "success", "not_reported", id="negative"
        ),
        pytest.param(
            asked(begins(last_line(**FIGURES | {"prompt_eval_count": 10**40})), finishes),
            *("success", "not_reported"),
            id="absurd",
        ),
        pytest.param(
            asked(begins(last_line(**FIGURES | {"eval_count": "many"})), finishes),
            *("success", "not_reported"),
            id="no-number",
        ),
        pytest.param(asked(begins(last_line(total_duration=1)), finishes), "success", None, id="zeros-left-out"),
        pytest.param(
            asked(answers(b'{"embedding":[1]}'), body={"model": "tiny", "prompt": "x"}, path="/api/embeddings"),
            *("success", "not_reported"),
            id="embeddings",
        ),
        pytest.param(
            asked(answers(b'{"embeddings":[[1]],"prompt_eval_count":2}'), body={"model": "tiny"}, path="/api/embed"),
            *("success", None),
            id="embed",
        ),
    ],
)
def test_why_usage_is_missing(house: House, play: Play, outcome: str, missing: str | None) -> None:
    """A node that worked and told no usable numbers is counted, with the reason; nothing raises."""
    play(house)
    assert house.row.outcome == outcome
    assert house.series(MISSING) == ({} if missing is None else {missing: 1})
    (counted,) = house.series(REQUESTS)
    assert counted.endswith(outcome)


def test_numbers_that_are_usable_count_beside_others(house: House) -> None:
    """Of a last line with one absurd number the others are tokens."""
    asked(begins(last_line(**FIGURES | {"eval_count": -1})), finishes)(house)
    assert house.series(TOKENS) == {f"{MODEL} input": 7}
    assert house.series(f"{PACE}_count") == {}


def test_tokens_that_were_told_before_a_stream_broke_count(house: House) -> None:
    """Its usage came, its end did not: the tokens are counted, neither its first nor its duration."""
    v1_stream(house, STOP, USAGE)
    house.node.exchange.reset()
    assert house.row.outcome == "incomplete"
    assert house.series(TOKENS) == {f"{MODEL} input": 3, f"{MODEL} output": 4}
    assert house.series(NODE_TOKENS) == {f"{MODEL} ollama input": 3, f"{MODEL} ollama output": 4}
    assert house.series(MISSING) == {}
    for name in (DURATION, FIRST, NODE_FIRST):
        assert house.series(f"{name}_count") == {}


def test_two_attempts_are_one_request(open_house: OpenHouse) -> None:
    """The request is observed once, with the time of both; what the second node did is its own."""
    house = open_house(others={"second": ("tiny:latest",)}, probe=Probe(interval_seconds=10_000.0))
    house.ask("POST", "/api/chat", CHAT)
    house.pass_time(4.0)
    house.nodes["ollama"].exchange.answer(b"{}", "503 Busy")
    house.pass_time(1.0)
    house.nodes["second"].exchange.begin(PIECE, last_line(**FIGURES))
    house.nodes["second"].exchange.finish()
    assert house.series(REQUESTS) == {f"{MODEL} chat success": 1}
    assert house.series(f"{FIRST}_sum") == {MODEL: 5.0}
    assert house.series(f"{NODE_FIRST}_sum") == {f"{MODEL} second": 1.0}
    assert house.series(NODE_TOKENS) == {f"{MODEL} second input": 7, f"{MODEL} second output": 8}
    assert house.value(NODE_TOKENS, node="ollama", model=MODEL, type="input") == 0
    assert house.series(f"{OVERHEAD}_count") == {"chat": 1}
    assert house.series(f"{OVERHEAD}_sum") == {}


def test_in_flight_while_a_node_works(house: House) -> None:
    """From the dispatch to the end; the model is shown with 0 before and after."""
    assert house.value(IN_FLIGHT, model=MODEL) == 0
    house.ask("POST", "/api/chat", CHAT)
    assert house.value(IN_FLIGHT, model=MODEL) == 1
    house.node.exchange.begin(last_line(**FIGURES))
    house.node.exchange.finish()
    assert house.value(IN_FLIGHT, model=MODEL) == 0


def test_a_request_that_the_end_of_the_server_cuts_off(open_house: OpenHouse) -> None:
    """It is counted as what its row says, and is in flight no more."""
    house = open_house(drain_seconds=1.0)
    house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.begin(PIECE)
    house.stop()
    house.pass_time(2.0)
    assert house.row.outcome == "unavailable"
    assert house.series(REQUESTS) == {f"{MODEL} chat unavailable": 1}
    assert house.series(MISSING) == {"aborted": 1}
    assert house.value(IN_FLIGHT, model=MODEL) == 0


def test_waits_for_others_are_not_the_gateways_own_time(open_house: OpenHouse) -> None:
    """A slow body, a slow node, and what is asked of the node before the end."""
    house = open_house(resident=(), probe=Probe(interval_seconds=10_000.0, timeout_seconds=5_000.0))
    client = house.connect()
    body = json.dumps(CHAT).encode()
    client.send(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
    house.pass_time(1.0)
    client.send(body[9:])
    house.pass_time(1.0)
    house.node.hangs = True
    house.node.exchange.begin(PIECE)
    house.pass_time(1.0)
    house.node.exchange.lines(last_line(**FIGURES))
    house.node.exchange.finish()
    assert not client.answers()[0].complete
    house.pass_time(1.0)
    assert client.answers()[0].complete
    assert house.row.duration_seconds == 4.0
    assert (house.series(f"{OVERHEAD}_count"), house.series(f"{OVERHEAD}_sum")) == ({"chat": 1}, {})


@pytest.mark.parametrize(
    "play",
    [asked(body=b"{"), asked(resets), asked(begins(PIECE), leaves)],
    ids=["refused", "unanswered", "left"],
)
def test_what_was_not_answered_has_no_overhead(house: House, play: Play) -> None:
    """There is no end of a node's answer from which it could be counted."""
    play(house)
    assert house.series(f"{OVERHEAD}_count") == {}


def test_alien_models_are_one(house: House) -> None:
    """A request for a model of no node, and one without any, are told as `other`; their names make no series."""
    asked(body=CHAT | {"model": "first"})(house)
    asked(body={})(house)
    before = {line.partition(" ")[0] for line in house.gateway.metrics.text().decode().splitlines()}
    for number in range(30):
        asked(body=CHAT | {"model": f"alien-{number}"})(house)
    after = {line.partition(" ")[0] for line in house.gateway.metrics.text().decode().splitlines()}
    assert after - before == set()
    assert house.series(REQUESTS) == {"other chat client_error": 32}


def test_former_models_and_those_in_the_settings_keep_their_names(open_house: OpenHouse) -> None:
    """What some node had within the week, by the store, and what the settings name; later it is one of the others."""
    house = open_house(models_settings={"named:7b": ModelSettings(idle_seconds=9.0)}, start=False)
    house.store.inventory.remembered.add("former:latest")
    house.start()
    for model in ("former", "named:7b", "alien"):
        asked(body=CHAT | {"model": model})(house)
    assert set(house.series(REQUESTS)) == {
        f"{model} chat client_error" for model in ("former:latest", "named:7b", "other")
    }
    house.store.inventory.fault = StoreUnavailable(detail="away")
    house.pass_time(600.0)
    assert len(house.series(REQUESTS)) == 3
    house.store.inventory.fault = None
    house.store.inventory.remembered.clear()
    house.pass_time(600.0)
    assert set(house.series(REQUESTS)) == {f"{model} chat client_error" for model in ("named:7b", "other")}


def test_a_model_that_leaves_its_node_keeps_its_name(open_house: OpenHouse) -> None:
    """As soon as it is gone, and while the store does not know of it yet."""
    house = open_house(models=("tiny:latest", "going:latest"), resident=())
    house.node.models.remove("going:latest")
    house.pass_time(10.0)
    asked(body=CHAT | {"model": "going"})(house)
    assert house.series(REQUESTS) == {"going:latest chat client_error": 1}


def test_exemplars_name_the_request(house: House) -> None:
    """In OpenMetrics the buckets of durations and first tokens tell which request was last in them."""
    native_stream(house)
    text = generate_openmetrics(house.gateway.metrics.registry).decode()
    exemplified = [line for line in text.splitlines() if " # {" in line]
    assert len(exemplified) == 2
    assert all(f'# {{request_id="{house.row.id}"}} ' in line for line in exemplified)
    assert exemplified[0].startswith(f'{DURATION}_bucket{{le="5.0"')
    assert exemplified[1].startswith(f'{FIRST}_bucket{{le="2.5"')
    assert house.row.id not in house.gateway.metrics.text().decode()
