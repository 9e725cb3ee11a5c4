"""The house put together: what one part does that another hears of."""

from __future__ import annotations

import json

import pytest
from web.house import House

from ollamamax.assembly import remember_all
from ollamamax.settings import NodeSettings

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
LAST = b'{"message":{"content":""},"done":true,"done_reason":"stop"}'


def recorded(house: House) -> list[tuple[str, str | None]]:
    """The models of each node, as the store was told of them."""
    return [(model.model, model.digest) for model in house.store.inventory.models]


def test_what_is_learnt_of_nodes_is_remembered() -> None:
    """The store hears of a node and its models when they come, and again from time to time while they are there."""
    with House(models=("tiny:latest",)) as house:
        assert recorded(house) == [("tiny:latest", "d")]
        (node,) = house.store.inventory.nodes
        assert (node.name, node.url, node.simulated, node.version) == (
            "ollama",
            "http://127.0.0.1:11434",
            False,
            "0.33.0",
        )
        house.node.models.append("new")
        house.pass_time(10.0)
        assert recorded(house)[1:] == [("tiny:latest", "d"), ("new:latest", "d")]
        house.pass_time(600.0)
        assert len(house.store.inventory.nodes) == 3


def test_a_node_that_is_down_was_not_seen() -> None:
    """Its models are as old as they were when it fell."""
    with House() as house:
        house.node.hangs = True
        house.pass_time(20.0)
        told = len(house.store.inventory.nodes)
        remember_all(house.store, house.rooms.fleet)  # type: ignore[arg-type]
        assert len(house.store.inventory.nodes) == told


def test_a_model_without_a_digest() -> None:
    """What a node does not tell is unknown."""
    with House() as house:
        house.rooms.fleet.nodes["ollama"].models["tiny:latest"].pop("digest")
        remember_all(house.store, house.rooms.fleet)  # type: ignore[arg-type]
        assert recorded(house)[-1] == ("tiny:latest", None)


def test_requests_go_where_fewest_are() -> None:
    """With two nodes that have a model, the second request goes to the other one; the lists are of both."""
    nodes = tuple(
        NodeSettings(name=name, url=f"http://127.0.0.1:{port}") for name, port in (("a", 11434), ("b", 11435))
    )
    with House(start=False, nodes=nodes) as house:
        house.reactor.listenTCP(11435, house.node)
        house.start()
        clients = [house.ask("POST", "/api/chat", CHAT) for _ in range(2)]
        assert [len(node.in_flight) for node in house.rooms.fleet.nodes.values()] == [1, 1]
        for exchange in house.node.exchanges:
            exchange.begin(LAST)
            exchange.finish()
        assert all(client.answers()[0].complete for client in clients)
        assert sorted(row.node or "" for row in house.store.ledger.ended) == ["a", "b"]
        assert len(json.loads(house.answer("GET", "/api/tags").body)["models"]) == 1
        assert json.loads(house.answer("GET", "/api/ps").body)["models"][0]["size"] == 2


def test_a_node_that_is_taken_away_ends_its_requests_well() -> None:
    """A request on a node that goes meanwhile runs to its end, and what it changed concerns nobody any more."""
    with House(resident=()) as house:
        client = house.ask("POST", "/api/chat", CHAT)
        house.rooms.fleet.remove("ollama")
        house.node.exchange.begin(LAST)
        house.node.exchange.finish()
        assert client.answers()[0].complete
        assert house.row.outcome == "success"
        shown = house.gateway.metrics.text().decode()
        for family in ("up", "state", "probes_total", "model_loads_total", "slot_busy_seconds_total"):
            assert f"ollamamax_node_{family}{{" not in shown


@pytest.mark.parametrize(
    "sample",
    [
        'http_requests_total{endpoint="/",method="GET",status="200"} 1.0',
        "http_requests_in_flight 1.0",
        'ollamamax_node_up{node="ollama"} 1.0',
        'ollamamax_node_in_flight{node="ollama"} 1.0',
        'ollamamax_node_state{node="ollama",state="up"} 1.0',
        'ollamamax_node_model_vram_bytes{model="tiny:latest",node="ollama"} 1.0',
        'ollamamax_node_model_loads_total{cause="first",model="tiny:latest",node="ollama"} 0.0',
        'ollamamax_node_slot_busy_seconds_total{model="tiny:latest",node="ollama"} 0.0',
        "db_connections_max_open 4.0",
        "ollamamax_ledger_pending 0.0",
        'ollamamax_reactor_tick_duration_seconds_bucket{le="0.001"} 5.0',
        'ollamamax_threadpool_threads{pool="reactor",state="busy"} 0.0',
        'ollamamax_threadpool_queued{pool="exposition"} 0.0',
        'ollamamax_threadpool_queued{pool="store-writer"} 0.0',
    ],
)
def test_the_metrics_see_every_room(sample: str) -> None:
    """HTTP, nodes, connections, ledger, the loop and its threads are read when the metrics are rendered."""
    with House() as house:
        house.pass_time(0.5)
        house.answer("GET", "/")
        house.ask("POST", "/api/chat", CHAT)
        assert sample in house.gateway.metrics.text().decode().splitlines()
