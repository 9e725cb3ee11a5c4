"""Faults on purpose, in every API, streamed and whole: what a client sees, what the account says, and who is spared."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import pytest_twisted
from fidelity import Exchange, MemoryConnection, parsed, received, request_bytes
from simulator.spoken import APIS, Api, spoken
from simulator.world import World
from twisted.internet import reactor

from ollamamax.simulator.accounts import Account
from ollamamax.simulator.dialects import Dialect
from ollamamax.simulator.faults import Fault, Share
from ollamamax.simulator.service import SimulatorService
from ollamamax.simulator.settings import SimulatorSettings
from ollamamax.simulator.speaking import GARBAGE

BOTH = pytest.mark.parametrize("stream", [True, False])
EMBEDDINGS = ("/api/embed", "/api/embeddings", "/v1/embeddings")
LOST = "an error was encountered while running the model: unexpected EOF"
BUSY = "server busy, please try again.  maximum pending requests exceeded"


def dialect(path: str) -> Dialect:
    """The API that a path belongs to."""
    return "anthropic" if path == "/v1/messages" else "openai" if path.startswith("/v1/") else "native"


def message(document: Any, path: str) -> str:
    """What an error says; where it lies is part of what is held."""
    found = document["error"] if dialect(path) == "native" else document["error"]["message"]
    assert isinstance(found, str)
    return found


def asked(world: World, api: Api, prompt: str, stream: bool) -> MemoryConnection:
    """Ask for a text of twelve tokens, and let a minute pass."""
    connection = world.ask(api.path, {**api.body("first", f"{prompt} LIMIT 12", 48), "stream": stream})
    world.pass_until(world.clock.seconds() + 60.0)
    return connection


def told(world: World) -> Account:
    """The account of the latest request for inference."""
    return world.accounts()[-1]


def half_sent(connection: MemoryConnection) -> Exchange:
    """What has come so far on a connection that is still open or was broken."""
    return parsed(connection.data, "broken")


@BOTH
def test_nothing_goes_wrong_without_being_asked_for(stream: bool) -> None:
    """Twelve tokens, in order, and an account that says so."""
    for api in APIS.values():
        world = World()
        said = spoken(api, asked(world, api, "go on", stream).exchange())
        assert (len(said.text.split()), said.output_tokens) == (12, 12)
        assert (told(world).injected, told(world).outcome, told(world).tokens) == ("", "finished", 12)


@BOTH
@pytest.mark.parametrize(("word", "status", "words"), [("HTTP500", 500, "engine says no"), ("BUSY", 503, BUSY)])
def test_refusals(stream: bool, word: str, status: int, words: str) -> None:
    """The API's own error, whole; a full queue takes no time and loads nothing."""
    for api in APIS.values():
        world = World()
        exchange = asked(world, api, word, stream).exchange()
        assert (exchange.status, exchange.end) == (status, "fin")
        assert words in message(exchange.documents[0], api.path)
        if dialect(api.path) == "anthropic":
            kind = exchange.documents[0]["error"]["type"]  # type: ignore[index]
            assert kind == ("overloaded_error" if word == "BUSY" else "api_error")
        assert (told(world).injected, told(world).outcome, told(world).tokens) == (word.lower(), "failed", 0)
        assert (told(world).cold, bool(world.ps())) == (word != "BUSY", word != "BUSY")


@BOTH
@pytest.mark.parametrize("word", ["HANG", "STALL 0"])
def test_no_answer_at_all(stream: bool, word: str) -> None:
    """Not a byte for an hour, the slot held; it is free when the client leaves."""
    for api in APIS.values():
        world = World()
        connection = asked(world, api, word, stream)
        behind = world.ask(api.path, {**api.body("first", "LIMIT 2", 48), "stream": stream})
        world.pass_until(3600.0)
        assert (connection.data, behind.data, connection.finished) == (b"", b"", False)
        connection.leave()
        world.pass_until(3700.0)
        account = world.accounts()[0]
        assert (account.injected, account.outcome, account.tokens) == (
            word.removesuffix(" 0").lower(),
            "client_left",
            0,
        )
        assert spoken(api, behind.exchange()).text.split()


@pytest.mark.parametrize(("number", "count"), [(3, 3), (40, 12)])
def test_a_stream_stalls(number: int, count: int) -> None:
    """After so many tokens, or after the last one, nothing more comes, and the connection stays."""
    for api in APIS.values():
        world = World()
        connection = asked(world, api, f"STALL {number}", stream=True)
        said = spoken(api, half_sent(connection))
        assert (len(said.pieces), said.ended, connection.finished) == (count, False, False)
        connection.leave()
        assert (told(world).injected, told(world).outcome, told(world).tokens) == ("stall", "client_left", count)
        assert spoken(api, asked(world, api, "go on", stream=True).exchange()).ended


def test_a_stalled_stream_stays_stalled_when_the_reader_catches_up() -> None:
    """A reader that pauses and resumes does not wake it."""
    world, api = World(), APIS["chat"]
    connection = asked(world, api, "STALL 3", stream=True)
    before = connection.data
    producer = connection.transport.producer
    assert producer is not None
    producer.pauseProducing()
    producer.resumeProducing()
    world.pass_until(world.clock.seconds() + 60.0)
    assert connection.data == before


@BOTH
@pytest.mark.parametrize(("word", "aborted"), [("RESET", True), ("TRUNCATE", False)])
def test_a_connection_breaks_in_the_middle(stream: bool, word: str, aborted: bool) -> None:
    """The tokens before it have come, what would end the body has not; a whole answer is there to its half."""
    for api in APIS.values():
        world = World()
        connection = asked(world, api, f"{word} 3", stream)
        exchange = half_sent(connection)
        assert (exchange.status, exchange.end, connection.finished) == (200, "broken", True)
        assert connection.transport.disconnected is aborted
        if stream:
            said = spoken(api, exchange)
            assert (len(said.pieces), said.ended) == (3, False)
        else:
            promised = int(exchange.header("content-length"))
            assert promised // 2 == len(exchange.body)
        account = told(world)
        assert (account.injected, account.outcome, account.tokens) == (word.lower(), "failed", 3)
        assert spoken(api, asked(world, api, "go on", stream).exchange()).output_tokens == 12


@BOTH
@pytest.mark.parametrize("word", ["RESET", "TRUNCATE"])
def test_a_connection_breaks_before_the_head(stream: bool, word: str) -> None:
    """With no token to wait for there is nothing but the end."""
    for api in APIS.values():
        world = World()
        connection = asked(world, api, f"{word} 0", stream)
        assert (connection.data, connection.finished) == (b"", True)
        assert (told(world).injected, told(world).outcome, told(world).status) == (word.lower(), "failed", None)


def test_a_stream_ends_as_if_it_were_complete() -> None:
    """The framing is whole, the final event is missing; with no token there is but a head."""
    for api in APIS.values():
        world = World()
        exchange = asked(world, api, "NOEND 3", stream=True).exchange()
        assert (exchange.status, exchange.framing, exchange.end) == (200, "chunked", "fin")
        said = spoken(api, exchange)
        assert (len(said.pieces), said.ended, said.reason) == (3, False, "")
        assert (told(world).injected, told(world).outcome) == ("noend", "failed")
        empty = asked(world, api, "NOEND 0", stream=True).exchange()
        assert (empty.status, empty.body, empty.end) == (200, b"", "fin")


def test_a_whole_answer_ends_as_if_it_were_complete() -> None:
    """Its length is that of the half which was sent, and it is no JSON."""
    for api in APIS.values():
        world = World()
        exchange = asked(world, api, "NOEND", stream=False).exchange()
        assert (exchange.status, exchange.framing, exchange.end) == (200, "length", "fin")
        with pytest.raises(json.JSONDecodeError):
            json.loads(exchange.body)
        assert (told(world).injected, told(world).outcome) == ("noend", "failed")


def test_garbage_in_a_stream() -> None:
    """A chunk that means nothing, and the rest as if nothing were."""
    for api in APIS.values():
        world = World()
        exchange = asked(world, api, "GARBAGE 3", stream=True).exchange()
        place = exchange.parts.index(GARBAGE)
        clean = attrs.evolve(exchange, parts=(*exchange.parts[:place], *exchange.parts[place + 1 :]))
        said = spoken(api, clean)
        assert (len(said.pieces), said.output_tokens, said.ended) == (12, 12, True)
        assert len(spoken(api, attrs.evolve(exchange, parts=exchange.parts[:place])).pieces) == 3
        assert (told(world).injected, told(world).outcome, told(world).tokens) == ("garbage", "failed", 12)


def test_garbage_in_a_whole_answer() -> None:
    """In its middle; without it the answer is what it would have been."""
    for api in APIS.values():
        world = World()
        exchange = asked(world, api, "GARBAGE", stream=False).exchange()
        assert exchange.body.count(GARBAGE) == 1
        clean = attrs.evolve(exchange, parts=(exchange.body.replace(GARBAGE, b""),))
        assert spoken(api, clean).output_tokens == 12
        assert (told(world).injected, told(world).outcome) == ("garbage", "failed")


@pytest.mark.parametrize("number", [0, 3])
def test_an_error_within_a_stream(number: int) -> None:
    """In the API's own form, as the last thing, and a clean end."""
    for name, api in APIS.items():
        world = World()
        exchange = asked(world, api, f"INBAND {number}", stream=True).exchange()
        assert (exchange.status, exchange.end) == (200, "fin")
        native = dialect(api.path) == "native"
        last: Any = exchange.documents[-1] if native else exchange.events[-1].document
        event = "" if native else exchange.events[-1].name
        if name == "responses":
            assert (event, last["response"]["status"], last["sequence_number"]) == (
                "response.failed",
                "failed",
                0 if not number else number + 4,
            )
            assert last["response"]["error"]["message"] == LOST
        else:
            assert (event, message(last, api.path)) == ("error" if name == "messages" else "", LOST)
        assert len(spoken(api, exchange).pieces) == number
        assert (told(world).injected, told(world).outcome) == ("inband", "failed")


def test_an_error_instead_of_a_whole_answer() -> None:
    """There is nothing that it could stand in: a 500."""
    for api in APIS.values():
        world = World()
        exchange = asked(world, api, "INBAND 3", stream=False).exchange()
        assert (exchange.status, message(exchange.documents[0], api.path)) == (500, LOST)
        assert (told(world).injected, told(world).tokens) == ("inband", 3)


@BOTH
def test_slow(stream: bool) -> None:
    """So many milliseconds for each token, the end included, and nothing else amiss."""
    for api in APIS.values():
        world = World()
        world.warmed()
        begun = world.clock.seconds()
        said = spoken(api, asked(world, api, "SLOW 2000", stream).exchange())
        assert said.output_tokens == 12
        account = told(world)
        assert (account.injected, account.outcome) == ("slow", "finished")
        assert account.finished_at is not None
        assert account.finished_at - begun == pytest.approx(24.0, abs=0.1)


@BOTH
@pytest.mark.parametrize("word", ["CUT", "DIE"])
def test_the_engine_goes_away(stream: bool, word: str) -> None:
    """A stream ends cleanly without its last event, after six tokens; a whole answer is a 500.

    Who was there before is spared, and the next one pays for a load.
    """
    for api in APIS.values():
        world = World()
        world.warmed()
        other = world.ask("/api/generate", {"model": "first", "prompt": "LIMIT 9"})
        connection = world.ask(api.path, {**api.body("first", f"{word} LIMIT 12", 48), "stream": stream})
        world.pass_until(world.clock.seconds() + 60.0)
        exchange = connection.exchange()
        account = next(each for each in world.accounts() if each.injected)
        assert (account.injected, account.outcome, account.tokens) == (word.lower(), "failed", 6)
        if stream:
            said = spoken(api, exchange)
            assert (exchange.status, exchange.end, len(said.pieces), said.ended) == (200, "fin", 6, False)
        else:
            assert (exchange.status, message(exchange.documents[0], api.path)) == (500, LOST)
        assert spoken(APIS["generate"], other.exchange()).output_tokens == 9
        asked(world, api, "go on", stream)
        assert told(world).cold


@pytest.mark.parametrize("path", EMBEDDINGS)
@pytest.mark.parametrize(
    ("word", "status", "injected"),
    [("HTTP500", 500, "http500"), ("CUT", 500, "http500"), ("DIE", 500, "http500"), ("BUSY", 503, "busy")],
)
def test_embeddings_are_refused(path: str, word: str, status: int, injected: str) -> None:
    """In the words of their API; an engine that breaks off has said nothing yet."""
    world = World()
    exchange = embedded(world, path, word).exchange()
    assert (exchange.status, bool(message(exchange.documents[0], path))) == (status, True)
    assert (told(world).injected, told(world).outcome) == (injected, "failed")


@pytest.mark.parametrize("path", EMBEDDINGS)
@pytest.mark.parametrize("word", ["RESET", "TRUNCATE", "STALL"])
def test_embeddings_break_off(path: str, word: str) -> None:
    """Before the head, or in the middle of the body."""
    world = World()
    silent = embedded(world, path, f"{word} 0")
    assert silent.data == b""
    silent.leave()
    connection = embedded(world, path, word)
    assert (half_sent(connection).status, half_sent(connection).end) == (200, "broken")
    assert connection.finished == (word != "STALL")
    connection.leave()
    assert [account.injected for account in world.accounts()] == [word.lower()] * 2


@pytest.mark.parametrize("path", EMBEDDINGS)
def test_embeddings_hang(path: str) -> None:
    """Not a byte, until the client leaves."""
    world = World()
    connection = embedded(world, path, "HANG")
    assert (connection.data, connection.finished) == (b"", False)
    connection.leave()
    assert (told(world).injected, told(world).outcome) == ("hang", "client_left")


@pytest.mark.parametrize("path", EMBEDDINGS)
def test_embeddings_with_faults_that_are_not_theirs(path: str) -> None:
    """An error in a stream is a 500, an end without an end half a body, and nothing is slow."""
    world = World()
    assert embedded(world, path, "INBAND").exchange().status == 500
    ended = embedded(world, path, "NOEND").exchange()
    assert (ended.status, ended.end) == (200, "fin")
    assert GARBAGE in embedded(world, path, "GARBAGE").exchange().body
    assert embedded(world, path, "SLOW 9000").exchange().status == 200
    told_of = [(account.injected, account.outcome) for account in world.accounts()]
    assert told_of == [("inband", "failed"), ("noend", "failed"), ("garbage", "failed"), ("", "finished")]


def embedded(world: World, path: str, text: str) -> MemoryConnection:
    """Ask for an embedding, and let a minute pass."""
    name = "prompt" if path == "/api/embeddings" else "input"
    connection = world.ask(path, {"model": "first", name: text})
    world.pass_until(world.clock.seconds() + 60.0)
    return connection


def test_faults_are_drawn_by_share_and_seed() -> None:
    """The same requests have them again; prompts that ask for one get that one, and requests that only load none."""
    shares = (Share(Fault("http500"), 0.3), Share(Fault("noend", 2), 0.2))

    def injected(seed: int) -> list[str]:
        world = World(faults=shares, seed=seed, load_seconds=0.0, tokens_per_second=0.0)
        world.warmed()
        for number in range(60):
            asked(world, list(APIS.values())[number % len(APIS)], "go on", stream=number % 2 == 0)
        return [account.injected for account in world.accounts()]

    first = injected(1)
    assert first == injected(1) != injected(2)
    assert first[0] == ""
    assert 8 < first.count("http500") < 28
    assert 4 < first.count("noend") < 22
    assert first.count("http500") + first.count("noend") + first.count("") == 61
    world = World(faults=(Share(Fault("http500"), 1.0),))
    asked(world, APIS["chat"], "SLOW 1", stream=True)
    embedded(world, "/api/embed", "x")
    assert [account.injected for account in world.accounts()] == ["slow", "http500"]


def test_shares_of_more_than_all_are_refused() -> None:
    """By the settings too."""
    with pytest.raises(ValueError, match="more than all requests"):
        SimulatorSettings(faults=(Share(Fault("cut"), 0.8), Share(Fault("hang"), 0.3)))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_faults_on_real_sockets() -> None:
    """A reset is a reset and a truncation an orderly end, with all that was sent before them, and the rest is alike."""
    settings = SimulatorSettings(load_seconds=0.0, tokens_per_second=0.0, prompt_seconds=0.0)
    service = SimulatorService(reactor, settings=settings)
    service.startService()
    try:
        port = int(service.url.rpartition(":")[2])
        for stream in (True, False):
            for word, end in (("RESET", "rst"), ("TRUNCATE", "fin"), ("NOEND", "fin")):
                for api in APIS.values():
                    request = request_bytes("POST", api.path, {**api.body("tiny", f"{word} 3", 48), "stream": stream})
                    data, found = await received(reactor, "127.0.0.1", port, request)
                    assert found == end
                    if stream:
                        assert len(spoken(api, parsed(data, found)).pieces) == 3
                    else:
                        assert parsed(data, found).end == ("fin" if word == "NOEND" else "broken")
        for word, end in (("RESET 0", "rst"), ("TRUNCATE 0", "fin")):
            request = request_bytes("POST", "/v1/embeddings", {"model": "tiny", "input": word})
            assert await received(reactor, "127.0.0.1", port, request) == (b"", end)
    finally:
        await service.stopService()
    assert [account.outcome for account in service.accounts] == ["failed"] * 38
