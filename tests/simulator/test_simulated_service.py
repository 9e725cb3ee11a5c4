"""The service over real sockets: where it listens, that it stops, slow readers, clients that leave."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import cast

import pytest
import pytest_twisted
from fidelity import MemoryConnection, exchanged, request_bytes
from simulator.world import World
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from ollamamax.simulator.accounts import Account, Accounts
from ollamamax.simulator.service import SimulatorService
from ollamamax.simulator.settings import SimulatorSettings, parsed_model

FAST = SimulatorSettings(load_seconds=0.0, prompt_seconds=0.0, tokens_per_second=0.0, overhead_seconds=0.0)
Decorator = Callable[[Callable[[], Coroutine[object, object, None]]], Callable[[], None]]
asynchronous: Decorator = pytest_twisted.ensureDeferred


class Client(Protocol):
    """Sends a request and counts what comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = 0
        self.tail = b""
        self.first: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    @property
    def wire(self) -> Connection:
        """Its end of the connection."""
        return cast("Connection", self.transport)

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if not self.received:
            self.first.callback(None)
        self.received += len(data)
        self.tail = (self.tail + data)[-500:]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback(None)


async def connected(service: SimulatorService, request: bytes) -> Client:
    """A client that has sent its request."""
    client = Client(request)
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", int(service.url.rpartition(":")[2])), client)
    return client


def long_request(limit: int, size: int) -> bytes:
    """A request for so many tokens of so many bytes."""
    document = {"model": "tiny", "prompt": f"LIMIT {limit} SIZE {size}", "options": {"num_predict": -1}}
    return request_bytes("POST", "/api/generate", document)


async def closed(service: SimulatorService) -> Account:
    """The next account that is closed."""
    waiting: Deferred[Account] = Deferred()
    service.accounts.closed.append(waiting.callback)
    try:
        return await waiting
    finally:
        service.accounts.closed.remove(waiting.callback)


@asynchronous
async def test_it_listens_and_stops() -> None:
    """The URL is there once it listens, and with it are all connections gone when it has stopped."""
    service = SimulatorService(reactor, settings=FAST)
    waiting = service.when_listening()
    with pytest.raises(RuntimeError):
        service.url  # noqa: B018 - reading it is the deed
    service.startService()
    assert await waiting == service.url == await service.when_listening()
    answer = await exchanged(reactor, "127.0.0.1", int(service.url.rpartition(":")[2]), request_bytes("GET", "/"))
    assert answer.body == b"Ollama is running"
    idle = await connected(service, request_bytes("GET", "/", close=False))
    await idle.first
    await service.stopService()
    await idle.lost
    with pytest.raises(RuntimeError):
        service.url  # noqa: B018 - reading it is the deed


@asynchronous
async def test_a_busy_port_is_told() -> None:
    """To who asked before and to who asks later."""
    first = SimulatorService(reactor, settings=FAST)
    first.startService()
    port = first.url.rpartition(":")[2]
    second = SimulatorService(reactor, f"tcp:{port}:interface=127.0.0.1", FAST)
    before = second.when_listening()
    second.startService()
    for each in (before, second.when_listening()):
        with pytest.raises(CannotListenError):
            await each
    assert second.failure is not None
    await second.stopService()
    await first.stopService()


@asynchronous
async def test_a_client_that_leaves_is_noticed_at_once() -> None:
    """The account says how many tokens were sent and when it left; the generation is over."""
    service = SimulatorService(reactor, settings=FAST)
    service.startService()
    client = await connected(service, long_request(100_000_000, 10))
    await client.first
    ending = closed(service)
    client.wire.abortConnection()
    account = await ending
    assert (account.outcome, account.status) == ("client_left", 200)
    assert account.client_left_at is not None
    assert 0 < account.tokens < 100_000_000
    assert service.simulation.runners.idle
    await service.stopService()


@asynchronous
async def test_a_slow_reader_slows_the_generation_down() -> None:
    """While nobody reads, only what fits the sockets' buffers is made; then all of it arrives."""
    service = SimulatorService(reactor, settings=FAST)
    service.startService()
    client = await connected(service, long_request(300, 100_000))
    await client.first
    client.wire.pauseProducing()
    made = -1
    while made != (made := next(iter(service.accounts)).tokens):
        await deferLater(reactor, 0.05)
    assert client.received < 30_000_000
    client.wire.resumeProducing()
    await client.lost
    assert client.received > 30_000_000
    assert re.search(rb'"eval_count":300\b', client.tail)
    assert client.tail.endswith(b"0\r\n\r\n")
    await service.stopService()


def producer(connection: MemoryConnection) -> IPushProducer:
    """What the answer comes from."""
    return cast("IPushProducer", connection.transport.producer)


def test_a_paced_generation_waits_for_its_reader_and_goes_on_at_its_pace() -> None:
    """The pause is no debt: after it tokens come one by one again, and the durations tell of the pause."""
    world = World()
    world.warmed()
    asked = world.generate("LIMIT 40")
    world.pass_until(10.5)
    before = asked.data.count(b"response")
    producer(asked).pauseProducing()
    world.pass_until(12.0)
    assert asked.data.count(b"response") == before
    producer(asked).resumeProducing()
    world.pass_until(12.1)
    assert 0 < asked.data.count(b"response") - before < 7
    world.pass_until(20.0)
    assert world.accounts()[-1].tokens == 40
    output = world.accounts()[-1].output_seconds
    assert output is not None
    assert output > 2.4


def test_a_pause_shorter_than_a_token_changes_nothing() -> None:
    """Nor does a second word of the same."""
    world = World()
    world.warmed()
    asked = world.generate("LIMIT 8")
    world.pass_until(10.1)
    for _ in range(2):
        producer(asked).pauseProducing()
        producer(asked).resumeProducing()
    world.pass_until(20.0)
    assert world.accounts()[-1].output_seconds == pytest.approx(0.2)


def test_embedding_models_have_one_slot() -> None:
    """Whatever `parallel` says."""
    world = World((parsed_model("e,capabilities=embedding"),), parallel=4, prompt_seconds=1.0)
    first, second = (world.ask("/api/embed", {"model": "e", "input": "x"}) for _ in range(2))
    world.pass_until(20.0)
    assert world.first_byte[second] - world.first_byte[first] == pytest.approx(1.0)


def test_prompts_take_time_by_their_length_where_asked() -> None:
    """At so many tokens a second."""
    world = World(prompt_tokens_per_second=10.0)
    asked = world.generate("one two three LIMIT 1")
    world.pass_until(20.0)
    assert isinstance(asked, MemoryConnection)
    assert world.accounts()[0].prompt_seconds == pytest.approx(0.005 + 0.6)


def test_accounts_are_bounded() -> None:
    """The oldest is forgotten."""
    accounts = Accounts(2)
    for number in range(3):
        accounts.opened(Account("GET", f"/{number}", 0.0))
    assert ([account.path for account in accounts], len(accounts)) == (["/1", "/2"], 2)
