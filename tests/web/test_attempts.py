"""A request on one node after the other, through the whole server in memory with several nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from web.house import House
from web.memory_site import MemoryConnection
from web.scripted_node import NodeExchange

from ollamamax.errors import GatewayError, NodeBusy, NodeClosedEarly, NodeConnectFailed, NodeTimedOut, Unavailable
from ollamamax.fleet.dispatch import Lease, SimpleDispatcher
from ollamamax.fleet.retries import AttemptCounts
from ollamamax.fleet.routing import Wanted
from ollamamax.metrics.inference import InferenceMetrics
from ollamamax.metrics.models import ModelLabels
from ollamamax.relay.carriage import RelayReport
from ollamamax.settings import ModelSettings, Probe, Retries, Settings
from ollamamax.web.accounts import Account
from ollamamax.web.attempts import Attempts
from ollamamax.web.preparing import Prepared

PIECE = b'{"message":{"content":"a"},"done":false}'
LAST = b'{"message":{"content":""},"done":true,"done_reason":"stop","eval_count":1}'
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
WHOLE = CHAT | {"stream": False}
TINY = ("tiny:latest",)
BUSY = b'{"error":"server busy, please try again.  maximum pending requests exceeded"}'

OpenHouse = Callable[..., House]
Failing = Callable[[House], object]


@pytest.fixture
def pair(open_house: OpenHouse) -> Callable[..., House]:
    """Servers in front of two nodes that have the same model, `ollama` before `second`."""
    return lambda **arguments: open_house(
        others={"second": TINY}, **{"probe": Probe(interval_seconds=10_000.0)} | arguments
    )


def serve(house: House, name: str) -> None:
    """A node streams an answer."""
    house.nodes[name].exchange.begin(PIECE, LAST)
    house.nodes[name].exchange.finish()


def asks_refused(house: House) -> MemoryConnection:
    house.refuse("ollama")
    return house.ask("POST", "/api/chat", CHAT)


def asks_silent(house: House) -> MemoryConnection:
    house.reactor.silent.add(house.port_of("ollama"))
    client = house.ask("POST", "/api/chat", CHAT)
    house.pass_time(2.0)
    return client


def asks_busy(house: House) -> MemoryConnection:
    client = house.ask("POST", "/api/chat", CHAT)
    house.nodes["ollama"].exchange.answer(BUSY, "503 Service Unavailable")
    return client


def asks_closed(house: House) -> MemoryConnection:
    client = house.ask("POST", "/api/chat", CHAT)
    house.nodes["ollama"].exchange.close()
    return client


def asks_reset(house: House) -> MemoryConnection:
    client = house.ask("POST", "/api/chat", CHAT)
    house.nodes["ollama"].exchange.reset()
    return client


FAILURES = [
    # how the first node fails, why the second one is asked, what the first attempt counts as
    pytest.param(asks_refused, "connect_failed", "node_error", id="refused"),
    pytest.param(asks_silent, "connect_timeout", "timeout", id="silent"),
    pytest.param(asks_busy, "busy", "unavailable", id="busy"),
    pytest.param(asks_closed, "unanswered", "node_error", id="closed"),
    pytest.param(asks_reset, "unanswered", "node_error", id="reset"),
]


@pytest.mark.parametrize(("failing", "reason", "outcome"), FAILURES)
def test_another_node_serves(
    pair: OpenHouse, failing: Callable[[House], MemoryConnection], reason: str, outcome: str
) -> None:
    """The same bytes go to the second node, when the first one's place is free; one row, one request, two attempts."""
    house = pair()
    client = failing(house)
    assert client.answers() == []
    assert not house.rooms.fleet.nodes["ollama"].in_flight
    assert len(house.rooms.fleet.nodes["second"].in_flight) == 1
    assert house.nodes["second"].exchange.body == json.dumps(CHAT).encode()
    serve(house, "second")
    (answer,) = client.answers()
    assert (answer.status, answer.body.splitlines(), answer.complete) == (200, [PIECE, LAST], True)
    row = house.row
    assert (row.outcome, row.status, row.node, row.attempts) == ("success", 200, "second", 2)
    assert len(house.store.ledger.begun) == 1
    assert house.observed == {("POST", "/api/chat", "200"): 1}
    assert house.attempts == {("ollama", outcome): 1, ("second", "success"): 1}
    assert house.retries == {reason: 1}


@pytest.mark.parametrize(("failing", "reason", "outcome"), FAILURES)
def test_without_another_node_the_failure_is_the_answer(
    open_house: OpenHouse, failing: Callable[[House], MemoryConnection], reason: str, outcome: str
) -> None:
    """One that has another model, or is down, is none."""
    house = open_house(
        others={"other-model": ("big:latest",), "down": TINY}, start=False, probe=Probe(interval_seconds=10_000.0)
    )
    house.refuse("down")
    house.start()
    (answer,) = failing(house).answers()
    status = {"connect_timeout": 504, "busy": 503}.get(reason, 502)
    assert answer.status == status
    if reason == "busy":
        assert answer.body == BUSY
    else:
        assert answer.header("X-Should-Retry") == "false"
        assert answer.header("Retry-After") is None
    assert (house.row.outcome, house.row.status, house.row.node, house.row.attempts) == (outcome, status, "ollama", 1)
    assert house.attempts == {("ollama", outcome): 1}
    assert house.retries == {}


def test_every_node_is_tried_once_and_the_last_failure_is_the_answer(open_house: OpenHouse) -> None:
    """Refused, busy, dead: then nobody is left, and the row names who failed last."""
    house = open_house(others={"second": TINY, "third": TINY})
    client = asks_refused(house)
    house.nodes["second"].exchange.answer(BUSY, "503 Service Unavailable")
    assert client.answers() == []
    house.nodes["third"].exchange.close()
    (answer,) = client.answers()
    assert (answer.status, answer.header("X-Should-Retry")) == (502, "false")
    row = house.row
    assert (row.outcome, row.error_code, row.node, row.attempts) == ("node_error", "node_closed_early", "third", 3)
    assert house.attempts == {("ollama", "node_error"): 1, ("second", "unavailable"): 1, ("third", "node_error"): 1}
    assert house.retries == {"connect_failed": 1, "busy": 1}


def test_busy_everywhere(pair: OpenHouse) -> None:
    """The last node's own 503 passes as it is."""
    house = pair()
    client = asks_busy(house)
    house.nodes["second"].exchange.answer(BUSY, "503 Service Unavailable")
    (answer,) = client.answers()
    assert (answer.status, answer.body) == (503, BUSY)
    row = house.row
    assert (row.outcome, row.error_code, row.node, row.attempts) == ("unavailable", "node_status_503", "second", 2)
    assert house.attempts == {("ollama", "unavailable"): 1, ("second", "unavailable"): 1}


def test_a_request_that_its_node_had_stays_there_if_told_so(pair: OpenHouse) -> None:
    """`unstarted` off: a node that dies with the request is the answer; one that takes no connection is not."""
    house = pair(retries=Retries(unstarted=False))
    (answer,) = asks_closed(house).answers()
    assert (answer.status, house.row.attempts, house.retries) == (502, 1, {})
    house.refuse("second")
    client = house.ask("POST", "/api/chat", CHAT)
    serve(house, "ollama")
    assert client.answers()[0].status == 200


@pytest.mark.parametrize(
    ("fail", "body", "status"),
    [
        pytest.param(lambda e: (e.send(b"H"), e.close()), CHAT, 502, id="a-byte"),
        pytest.param(lambda e: (e.send(b"HTTP/1.1 200 OK\r\n\r\n"), e.reset()), CHAT, 502, id="a-head"),
        pytest.param(lambda e: e.send(b"SSH-2.0\r\n"), CHAT, 502, id="no-http"),
        pytest.param(lambda e: e.answer(b"{}", "500 Oops"), CHAT, 500, id="500"),
        pytest.param(lambda e: e.answer(b"{}", "404 Not Found"), CHAT, 404, id="404"),
        pytest.param(lambda e: e.reactor.pass_time(301.0), CHAT, 504, id="first-byte"),
        pytest.param(lambda e: e.reactor.pass_time(1801.0), WHOLE, 504, id="whole-response"),
        pytest.param(lambda e: (e.begin(PIECE), e.reset()), CHAT, 200, id="mid-stream"),
        pytest.param(lambda e: (e.begin(PIECE), e.reactor.pass_time(121.0)), CHAT, 200, id="idle"),
    ],
)
def test_what_is_never_tried_again(
    pair: OpenHouse, fail: Callable[[NodeExchange], object], body: object, status: int
) -> None:
    """A node that has answered, if only a byte, or that is slow: the request may be at work there."""
    house = pair()
    client = house.ask("POST", "/api/chat", body)
    fail(house.nodes["ollama"].exchange)
    (answer,) = client.answers()
    assert answer.status == status
    assert answer.header("X-Should-Retry") == ("false" if status in (502, 504) else None)
    assert house.nodes["second"].exchanges == []
    assert (house.row.node, house.row.attempts, house.retries) == ("ollama", 1, {})


@pytest.mark.parametrize("path", ["/api/show", "/api/pull", "/api/blobs/sha256:0"])
def test_management_is_never_tried_again(pair: OpenHouse, path: str) -> None:
    """It goes to one node, whose failure is the answer, and speaks against nobody."""
    house = pair()
    house.refuse("ollama")
    assert house.answer("POST", path, {"model": "tiny"}).status == 502
    assert (house.nodes["second"].exchanges, house.attempts, house.retries) == ([], {}, {})


# --- the budget ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failing", "status"),
    [(asks_refused, 502), (asks_busy, 503), (asks_closed, 502)],
    ids=["refused", "busy", "closed"],
)
def test_without_a_budget_the_failure_is_the_answer(
    pair: OpenHouse, failing: Callable[[House], MemoryConnection], status: int
) -> None:
    """It is counted that there would have been a retry."""
    house = pair(retries=Retries(budget_ratio=0.0, budget_minimum=0))
    assert failing(house).answers()[0].status == status
    assert (house.row.attempts, house.retries) == (1, {"over_budget": 1})
    assert house.nodes["second"].exchanges == []


def test_a_retry_under_way_takes_the_budget_until_it_is_over(pair: OpenHouse) -> None:
    """While it runs there is room for no other, afterwards there is."""
    house = pair(retries=Retries(budget_ratio=0.0, budget_minimum=1))
    first = house.ask("POST", "/api/chat", CHAT)
    second = house.ask("POST", "/api/chat", CHAT)
    third = house.ask("POST", "/api/chat", CHAT)
    one, other = house.nodes["ollama"].exchanges
    one.close()
    assert (first.answers(), house.rooms.budget.retrying) == ([], 1)
    other.close()
    assert third.answers()[0].status == 502
    assert house.retries == {"unanswered": 1, "over_budget": 1}
    for exchange in house.nodes["second"].exchanges:
        exchange.begin(LAST)
        exchange.finish()
    assert [client.answers()[0].status for client in (first, second)] == [200, 200]
    assert house.rooms.budget.retrying == 0
    fourth = house.ask("POST", "/api/chat", CHAT)
    # Its connection had been used before, so that its node is asked again on a fresh one, which is no attempt more.
    house.nodes["second"].exchange.close()
    house.nodes["second"].exchange.close()
    serve(house, "ollama")
    assert fourth.answers()[0].status == 200
    assert house.store.ledger.ended[-1].attempts == 2


# --- clients and servers that go -------------------------------------------------------------------------------------


def test_a_client_that_leaves_during_the_second_connect(pair: OpenHouse) -> None:
    """In the same turn the connect is given up, the lease released and the row written."""
    house = pair()
    house.reactor.silent.add(house.port_of("second"))
    client = asks_refused(house)
    assert len(house.rooms.fleet.nodes["second"].in_flight) == 1
    house.leave(client)
    assert house.reactor.connecting == set()
    assert [len(node.in_flight) for node in house.rooms.fleet.nodes.values()] == [0, 0]
    row = house.row
    assert (row.outcome, row.status, row.node, row.attempts) == ("client_disconnected", None, "second", 2)
    assert house.disconnects == {("/api/chat", "before_response"): 1}
    assert house.attempts == {("ollama", "node_error"): 1, ("second", "client_disconnected"): 1}
    assert house.rooms.fleet.nodes["second"].failures.consecutive == 0
    assert (house.rooms.budget.active, house.rooms.budget.retrying) == (0, 0)


class Waiting:
    """A dispatcher that gives the first place at once, and lets whoever wants another one wait."""

    def __init__(self, house: House) -> None:
        self.first = SimpleDispatcher(house.rooms.fleet)
        self.wanted: list[Wanted] = []
        self.waiting: Deferred[Lease] = Deferred()

    def acquire(self, wanted: Wanted) -> Deferred[Lease]:
        self.wanted.append(wanted)
        return self.waiting if wanted.avoid else self.first.acquire(wanted)

    def has_place(self, wanted: Wanted) -> bool:
        return self.first.has_place(wanted)


class Body:
    """A body that streams in."""

    length = None
    deliver_to = pause = resume = abandon = None


@attrs.define
class Trial:
    """Attempts of one request that end as a test says, without a node.

    Attributes:
        ends: how the attempts end, in order.
        begun: the nodes that were asked.
    """

    house: House
    ends: list[GatewayError | RelayReport]
    body: object = b"{}"
    begun: list[str] = attrs.field(factory=list)
    client: str = "c"
    attempts: Attempts = attrs.field(init=False)
    dispatcher: Waiting = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.dispatcher = Waiting(self.house)
        parts: Any = SimpleNamespace(
            dispatcher=self.dispatcher,
            lease=self.dispatcher.acquire,
            settings=Settings(),
            budget=self.house.rooms.budget,
            counts=AttemptCounts(),
            metrics=InferenceMetrics(ModelLabels(lambda _: True), cold_start_seconds=0.1),
            now=lambda: 1.0,
        )
        prepared = Prepared("tiny:latest", "tiny", cast("bytes", self.body), streaming=True)
        self.attempts = Attempts(parts, prepared, cast("Account", self))

    def begin(self, node: str, *, resident: bool) -> None:
        self.begun.append(node)

    def failed(self) -> None:
        pass

    async def attempt(self, lease: Lease) -> RelayReport:
        end = self.ends.pop(0)
        if isinstance(end, RelayReport):
            return end
        raise end

    def run(self) -> tuple[Deferred[RelayReport], list[object]]:
        """The attempts, and what comes of them."""
        results: list[object] = []
        running = Deferred.fromCoroutine(self.attempts.until_answered(self.attempt))
        running.addCallbacks(results.append, lambda failure: results.append(failure.value))
        return running, results


def test_a_client_that_leaves_between_two_attempts(pair: OpenHouse) -> None:
    """It waits for no further place, and holds none."""
    house = pair()
    trial = Trial(house, [NodeBusy()])
    running, results = trial.run()
    assert (results, trial.begun, house.rooms.budget.retrying) == ([], ["ollama"], 1)
    assert trial.dispatcher.wanted[-1] == Wanted("tiny:latest", "inference", frozenset({"ollama"}))
    running.cancel()
    assert trial.dispatcher.waiting.called
    assert [type(result) for result in results] == [CancelledError]
    assert not house.rooms.fleet.nodes["ollama"].in_flight


def test_a_place_that_comes_to_nothing(pair: OpenHouse) -> None:
    """What the client hears of is its node's failure, not that there was no other one in the end; no retry counts."""
    trial = Trial(pair(), [failure := NodeConnectFailed()])
    _, results = trial.run()
    trial.dispatcher.waiting.errback(Unavailable())
    assert results == [failure]
    assert trial.attempts._carrier.counts.retries["connect_failed"] == 0


@pytest.mark.parametrize(
    ("failure", "moves"),
    [
        (NodeConnectFailed(), True),
        (NodeTimedOut("connect", 2.0), True),
        (NodeClosedEarly(unanswered=True), False),
        (NodeBusy(), False),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_a_body_that_streams_in_is_sent_once(pair: OpenHouse, failure: GatewayError, moves: bool) -> None:
    """It moves only while no node has had a part of it, and a busy node's answer is the answer."""
    house = pair()
    trial = Trial(house, [failure], body=Body())
    assert trial.attempts.may_move(house.rooms.fleet.nodes["ollama"]) is False
    running, results = trial.run()
    assert (results == []) is moves
    running.cancel()


def test_a_defect_leaves_nothing_behind(pair: OpenHouse) -> None:
    """What is no failure of the gateway's passes, and the place and the budget are given back."""
    house = pair()
    trial = Trial(house, [])
    _, results = trial.run()
    assert [type(result) for result in results] == [IndexError]
    assert not house.rooms.fleet.nodes["ollama"].in_flight
    assert house.rooms.budget.active == 0


def test_a_retry_within_the_grace_of_a_drain(pair: OpenHouse) -> None:
    """A server that is told to stop lets it begin, and end."""
    house = pair()
    client = house.ask("POST", "/api/chat", CHAT)
    stopped = house.stop()
    house.nodes["ollama"].exchange.close()
    assert (client.answers(), stopped) == ([], [])
    serve(house, "second")
    assert client.answers()[0].complete
    assert (house.row.outcome, house.row.attempts, stopped) == ("success", 2, [None])


def test_a_drain_ends_a_retry_and_begins_none(open_house: OpenHouse) -> None:
    """When the grace is over the request is told so, and goes nowhere else."""
    house = open_house(others={"second": TINY, "third": TINY}, drain_seconds=3.0)
    client = asks_refused(house)
    house.stop()
    house.pass_time(3.1)
    (answer,) = client.answers()
    assert (answer.status, answer.header("X-Should-Retry")) == (503, "true")
    row = house.row
    assert (row.outcome, row.error_code, row.node, row.attempts) == ("unavailable", "shutting_down", "second", 2)
    assert house.nodes["third"].exchanges == []
    assert house.nodes["second"].exchange.dropped


# --- each attempt has its own time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "resident", "seconds"),
    [(CHAT, TINY, 7.0), (CHAT, (), 7.0 + 11.0), (WHOLE, TINY, 13.0)],
    ids=["stream", "cold", "whole"],
)
def test_an_attempts_time_begins_with_its_place(
    open_house: OpenHouse, body: object, resident: tuple[str, ...], seconds: float
) -> None:
    """What the first node took is not the second one's; the time for a load is added where that node has to load."""
    own = {"tiny:latest": ModelSettings(first_byte_seconds=7.0, load_seconds=11.0, whole_response_seconds=13.0)}
    house = open_house(
        others={"second": TINY}, start=False, models_settings=own, probe=Probe(interval_seconds=10_000.0)
    )
    house.nodes["second"].resident = list(resident)
    house.start()
    house.reactor.silent.add(house.port_of("ollama"))
    client = house.ask("POST", "/api/chat", body)
    house.pass_time(2.0)
    assert len(house.nodes["second"].exchanges) == 1
    house.pass_time(seconds - 0.1)
    assert client.answers() == []
    house.pass_time(0.2)
    (answer,) = client.answers()
    assert (answer.status, answer.header("X-Should-Retry"), house.row.attempts) == (504, "false", 2)


# --- what speaks against nodes ---------------------------------------------------------------------------------------


def leaves_while_connecting(house: House) -> None:
    house.reactor.silent.add(house.port_of("ollama"))
    house.leave(house.ask("POST", "/api/chat", CHAT))


def leaves_before_the_head(house: House) -> None:
    house.leave(house.ask("POST", "/api/chat", CHAT))


def leaves_in_the_stream(house: House) -> None:
    client = house.ask("POST", "/api/chat", CHAT)
    house.node.exchange.begin(PIECE)
    house.leave(client)


def ends(*deeds: Callable[[House], object], body: object = CHAT) -> Failing:
    def play(house: House) -> None:
        house.ask("POST", "/api/chat", body)
        for deed in deeds:
            deed(house)

    return play


def begin(house: House) -> None:
    house.node.exchange.begin(PIECE)


def finish(house: House) -> None:
    house.node.exchange.finish()


def reset(house: House) -> None:
    house.node.exchange.reset()


def send(data: bytes) -> Failing:
    return lambda house: house.node.exchange.send(data)


def status(line: str) -> Failing:
    return lambda house: house.node.exchange.answer(b'{"error":"no"}', line)


def waits(seconds: float) -> Failing:
    return lambda house: house.pass_time(seconds)


@pytest.mark.parametrize(
    ("failing", "kind", "of_the_model"),
    [
        pytest.param(asks_refused, "connect_failed", None, id="refused"),
        pytest.param(asks_silent, "connect_timeout", None, id="silent"),
        pytest.param(asks_closed, "closed_early", None, id="closed"),
        pytest.param(ends(send(b"SSH-2.0\r\n")), "protocol_error", None, id="no-http"),
        pytest.param(ends(begin, send(b"zz\r\n")), "protocol_error", None, id="bad-chunk"),
        pytest.param(ends(begin, reset), "truncated", None, id="reset-in-the-stream"),
        pytest.param(ends(begin, finish), None, "no_terminal", id="no-terminal"),
        pytest.param(ends(send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), reset), "truncated", None, id="head"),
        pytest.param(ends(status("500 Oops")), None, "error_status", id="500"),
        pytest.param(ends(begin, send(b'10\r\n{"error":"oops"}\r\n'), finish), None, "stream_error", id="in-band"),
        pytest.param(ends(waits(300.1)), None, "first_byte_timeout", id="first-byte"),
        pytest.param(ends(begin, waits(120.1)), None, None, id="idle"),
        pytest.param(ends(waits(1800.1), body=WHOLE), None, None, id="whole-response"),
        pytest.param(ends(status("404 Not Found")), None, None, id="404"),
        pytest.param(ends(status("400 Bad Request")), None, None, id="400"),
        pytest.param(asks_busy, None, None, id="busy"),
        pytest.param(leaves_while_connecting, None, None, id="left-connecting"),
        pytest.param(leaves_before_the_head, None, None, id="left-before-the-head"),
        pytest.param(leaves_in_the_stream, None, None, id="left-in-the-stream"),
    ],
)
def test_what_an_end_counts_as(
    open_house: OpenHouse, failing: Failing, kind: str | None, of_the_model: str | None
) -> None:
    """The node's failures are the node's, Ollama's errors the model's, and a client that leaves is nobody's."""
    house = open_house(probe=Probe(interval_seconds=10_000.0))
    failing(house)
    assert len(house.store.ledger.ended) == 1
    found = house.rooms.fleet.nodes["ollama"].failures
    assert (found.consecutive, None if found.last is None else found.last.kind) == (int(kind is not None), kind)
    models = {name: (streak.count, streak.last.kind) for name, streak in found.models.items()}
    assert models == ({} if of_the_model is None else {"tiny:latest": (1, of_the_model)})


def test_a_hundred_500s_of_one_client_are_its_own(pair: OpenHouse) -> None:
    """The node stays in service for everybody else, and its health tells of one client, until the model succeeds."""
    house = pair()
    house.refuse("second")
    poison = CHAT | {"options": {"num_ctx": "many"}}
    for _ in range(100):
        client = house.ask("POST", "/api/chat", poison)
        house.node.exchange.answer(b'{"error":"option \\"num_ctx\\" must be of type integer"}', "500 Oops")
        assert client.answers()[0].status == 500
        house.leave(client)
    other = house.ask("POST", "/api/chat", CHAT)
    health = json.loads(house.answer("GET", "/api/v1/nodes/ollama/health").body)
    assert (health["status"], health["consecutive_failures"], health["last_failure"]) == ("up", 0, None)
    (model,) = health["models"]
    last = model.pop("last_failure")
    assert model == {"model": "tiny:latest", "consecutive_failures": 100, "clients": 1}
    assert (last["kind"], last["at"][-1]) == ("error_status", "Z")
    serve(house, "ollama")
    assert other.answers()[0].complete
    assert json.loads(house.answer("GET", "/api/v1/nodes/ollama/health").body)["models"] == []
    assert house.attempts["ollama", "node_error"] == 100


def test_a_node_that_refuses_is_asked_last_until_a_probe_reaches_it(pair: OpenHouse) -> None:
    """Having nothing in flight it would else be everybody's first choice; its health says what it did."""
    house = pair()
    asks_refused(house)
    for _ in range(3):
        house.ask("POST", "/api/chat", CHAT)
    assert house.retries == {"connect_failed": 1}
    assert len(house.nodes["second"].exchanges) == 4
    health = json.loads(house.answer("GET", "/api/v1/nodes/ollama/health").body)
    assert (health["consecutive_failures"], health["last_failure"]["kind"]) == (1, "connect_failed")
    house.reactor.listenTCP(house.port_of("ollama"), house.nodes["ollama"])
    house.rooms.prober.probe_now("ollama")
    house.reactor.settle()
    house.ask("POST", "/api/chat", CHAT)
    assert len(house.nodes["ollama"].exchanges) == 1
    assert json.loads(house.answer("GET", "/api/v1/nodes/ollama/health").body)["consecutive_failures"] == 0
