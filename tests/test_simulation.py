"""Simulated nodes that the server starts by itself, and how they yield."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from log_events import LogEvents, logged_by
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from web.house import NODE_PORT, House

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
LONG = {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 600"}], "options": {"num_predict": -1}}


@pytest.fixture
def logged() -> Iterator[LogEvents]:
    """What the simulation warns of."""
    with logged_by("ollamamax.simulation.Simulation") as events:
        yield events


def nodes(house: House) -> dict[str, tuple[str, bool]]:
    """Each node's state, and whether it is simulated, as the API tells it."""
    found = json.loads(house.answer("GET", "/api/v1/nodes").body)["nodes"]
    return {node["id"]: (node["status"], node["simulated"]) for node in found}


def without_ollama(**arguments: Any) -> House:
    """A server in a world where no Ollama answers."""
    house = House(start=False, **arguments)
    del house.reactor.ports[NODE_PORT]
    house.start()
    return house


def ollama_comes(house: House) -> None:
    """An Ollama is started, and found by the next probe."""
    house.reactor.listenTCP(NODE_PORT, house.node)
    house.pass_time(6.0)


def test_as_many_as_were_asked_for(logged: LogEvents) -> None:
    """They stand beside the configured nodes, on ports of their own, and are announced as what they are."""
    with House(models=(), simulate=2) as house:
        assert nodes(house) == {"ollama": ("up", False), "simulated-1": ("up", True), "simulated-2": ("up", True)}
        assert len(house.reactor.ports) == 4
        assert [line.split(" at ")[0] for line in logged.lines] == [f"SIMULATED NODE simulated-{n}" for n in (1, 2)]
        assert house.answer("GET", "/api/tags").status == 200
        house.node.models.append("real")
        house.pass_time(10.0)
        assert len(nodes(house)) == 3


@pytest.mark.parametrize("stream", [True, False])
def test_its_answers_are_marked(stream: bool) -> None:
    """Every answer of theirs says in its head and in its text that it is made up."""
    with without_ollama(simulate="auto") as house:
        client = house.ask("POST", "/api/chat", CHAT | {"stream": stream})
        house.pass_time(20.0)
        (answer,) = client.answers()
        text = "".join(json.loads(line)["message"]["content"] for line in answer.body.splitlines())
        assert text.startswith("[simulated]")
        assert answer.headers.getRawHeaders("X-OllamaMax-Simulated") == ["1"]
        assert (house.row.node, house.row.attempts) == ("simulated", 1)


def test_is_ready_when_the_stand_in_was_tried() -> None:
    """Who is told that the server is ready can ask it for a model."""
    with logged_by("ollamamax.service.Gateway") as service, without_ollama(simulate="auto"):
        assert "ready: 1 of 2 nodes up" in service.lines


def test_a_stop_while_the_stand_in_is_tried() -> None:
    """It is never ready then."""
    with House(start=False, simulate="auto") as house, logged_by("ollamamax.service.Gateway") as service:
        house.node.hangs = True
        house.start()
        house.rooms.fleet.changed.append(lambda node, *_: house.reactor.silent.add(node.address.port))
        house.pass_time(2.5)
        assert [node.simulated for node in house.rooms.fleet.nodes.values()] == [False, True]
        assert house.stop() == [None]
        assert not any(line.startswith("ready") for line in service.lines)


def test_auto_stands_in_until_an_ollama_answers(logged: LogEvents) -> None:
    """One is there while no Ollama answers, and gone at the first probe that finds one."""
    with without_ollama(simulate="auto") as house:
        assert nodes(house) == {"ollama": ("down", False), "simulated": ("up", True)}
        ollama_comes(house)
        assert nodes(house) == {"ollama": ("up", False)}
        assert set(house.reactor.ports) == {8080, NODE_PORT}
        assert logged.lines[-1] == "a real node answers: the simulated node simulated is taken away"
        house.node.hangs = True
        house.pass_time(20.0)
        assert nodes(house) == {"ollama": ("down", False)}


def test_what_runs_on_it_when_it_yields_ends_well() -> None:
    """Its stream goes on to the end; then its port is closed."""
    with without_ollama(simulate="auto") as house:
        client = house.ask("POST", "/api/chat", LONG)
        house.pass_time(5.0)
        ollama_comes(house)
        assert len(house.reactor.ports) == 3
        assert not client.answers()[0].complete
        house.pass_time(20.0)
        assert client.answers()[0].complete
        assert house.row.outcome in ("success", "length")
        assert len(house.reactor.ports) == 2


def test_stops_while_it_yields() -> None:
    """A stop does not wait for the simulated node to become idle by itself."""
    with without_ollama(simulate="auto", drain_seconds=1.0) as house:
        house.ask("POST", "/api/chat", LONG)
        house.pass_time(4.0)
        ollama_comes(house)
        stopped = house.stop()
        house.pass_time(1.5)
        assert stopped == [None]
        assert set(house.reactor.ports) == {NODE_PORT}
        assert house.row.outcome == "unavailable"


def test_stops_under_a_request() -> None:
    """One that is being waited for is cut with the server."""
    with House(models=(), simulate=1, drain_seconds=1.0) as house:
        client = house.ask("POST", "/api/chat", LONG | {"stream": False})
        stopped = house.stop()
        house.pass_time(1.5)
        assert client.answers()[0].status == 503
        assert stopped == [None]
        assert set(house.reactor.ports) == {NODE_PORT}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="an Ollama answers"),
        pytest.param({"sources": {"nodes": "--node"}}, id="nodes were configured"),
    ],
)
def test_auto_is_not_needed(arguments: dict[str, Any]) -> None:
    """Where an Ollama answers, or somebody said where they are, nothing is made up."""
    with without_ollama(simulate="auto", **arguments) if arguments else House(simulate="auto") as house:
        assert list(nodes(house)) == ["ollama"]
        house.pass_time(30.0)
        assert list(nodes(house)) == ["ollama"]
        assert house.rooms.fleet.changed


def test_one_that_does_not_stop_is_logged(flush_logged_errors: Any) -> None:
    """The others, and the server, stop all the same."""
    with House(simulate=2) as house:
        simulator, node = house.gateway._simulation._running["simulated-1"]  # type: ignore[union-attr]

        class Stuck:
            def stopService(self) -> Deferred[None]:
                simulator.stopService()
                return fail(Failure(OSError("no")))

        house.gateway._simulation._running["simulated-1"] = (Stuck(), node)  # type: ignore[union-attr, assignment]
        assert house.stop() == [None]
        assert len(flush_logged_errors(OSError)) == 1
        assert set(house.reactor.ports) == {NODE_PORT}
