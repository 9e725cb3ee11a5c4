"""Ollama's management routes, carried to one node; what they change shows before they end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from web.house import NODE_PORT, House

from ollamamax.settings import Probe
from ollamamax.simulator.settings import EMBEDDER, TINY, SimulatorSettings

OpenHouse = Callable[..., House]


@pytest.mark.parametrize(
    ("method", "path", "body", "changes"),
    [
        ("GET", "/api/status", None, False),
        ("POST", "/api/show?verbose=1", {"model": "tiny"}, False),
        ("POST", "/api/show", {"name": "tiny"}, False),
        ("POST", "/api/push", {"model": "tiny"}, False),
        ("POST", "/api/push", {"model": "tiny", "stream": False}, False),
        ("POST", "/api/pull", {"model": "new", "stream": False}, True),
        ("POST", "/api/create", {"model": "new", "from": "tiny", "stream": False}, True),
        ("POST", "/api/create", {"model": "new", "files": {}, "stream": False}, True),
        ("POST", "/api/copy", {"source": "tiny", "destination": "new"}, True),
        ("DELETE", "/api/delete", {"name": "tiny"}, True),
        ("POST", "/api/blobs/sha256:0", b"abc", False),
        ("POST", "/api/blobs/sha256:0", b"", False),
        ("HEAD", "/api/blobs/sha256:0", None, False),
    ],
)
def test_is_carried_as_it_came(house: House, method: str, path: str, body: object, changes: bool) -> None:
    """Method, target and body go to the node, its answer to the client; there is no row, and one observation."""
    client = house.ask(method, path, body)
    exchange = house.node.exchange
    assert exchange.line == f"{method} {path}"
    assert exchange.body == (body if isinstance(body, bytes) else json.dumps(body).encode() if body else b"")
    house.node.models.append("changed")
    if method == "HEAD":
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    else:
        exchange.answer(b"{}")
    (answer,) = client.answers(method)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.body == (b"" if method == "HEAD" else b"{}")
    assert (b"changed" in house.answer("GET", "/api/tags").body) is changes
    assert house.store.ledger.ended == []
    pattern = path.partition("?")[0].replace("sha256:0", ":digest")
    assert house.observed[method, pattern, "200"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/show", b"", 400),
        ("POST", "/api/show", b"{", 400),
        ("POST", "/api/show", b'{"model":"a","MODEL":"b"}', 400),
        ("POST", "/api/copy", b'{"destination":"x"}', 400),
        ("POST", "/api/create", b'{"model":"x","from":1}', 400),
        ("POST", "/api/pull", b'{"model":"x","stream":"yes"}', 400),
        ("DELETE", "/api/delete", b"{}", 400),
    ],
)
def test_what_cannot_be_carried_is_answered_here(
    house: House, method: str, path: str, body: bytes, status: int
) -> None:
    """A bad body reaches no node."""
    answer = house.answer(method, path, body)
    assert answer.status == status
    assert set(json.loads(answer.body)) == {"error"}
    assert house.node.exchanges == []


def test_a_change_that_fails_is_told_at_once(house: House) -> None:
    """Where nothing was changed, nothing has to be learnt first."""
    client = house.ask("POST", "/api/copy", {"source": "absent", "destination": "x"})
    house.node.hangs = True
    house.node.exchange.answer(b'{"error":"model not found"}', "404 Not Found")
    assert client.answers()[0].status == 404


def test_progress_passes_event_by_event(open_house: OpenHouse) -> None:
    """A pull's events come as they are sent; only its last one waits until the lists have the model."""
    house = open_house(models=())
    client = house.ask("POST", "/api/pull", {"model": "new"})
    for seen in (1, 2):
        (house.node.exchange.begin if seen == 1 else house.node.exchange.lines)(b'{"status":"pulling"}')
        assert len(client.answers()[0].pieces) == seen
    house.node.models.append("new")
    house.node.exchange.lines(b'{"status":"success"}')
    assert len(client.answers()[0].pieces) == 2
    house.node.exchange.finish()
    (answer,) = client.answers()
    assert (len(answer.pieces), answer.complete) == (3, True)
    assert b'"new"' in house.answer("GET", "/api/tags").body


def test_an_error_in_the_progress_is_an_ordinary_end(house: House) -> None:
    """Ollama reports a failed pull in its stream, and ends it well."""
    client = house.ask("POST", "/api/pull", {"model": "new"})
    house.node.exchange.begin(b'{"error":"pull model manifest: file does not exist"}')
    house.node.exchange.finish()
    assert client.answers()[0].complete


@pytest.mark.parametrize("path", ["/api/pull", "/api/push", "/api/create"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_node_that_dies_in_its_progress(house: House, path: str, reset: bool) -> None:
    """The stream ends with an error and without its end."""
    client = house.ask("POST", path, {"model": "new"})
    house.node.exchange.begin(b'{"status":"pulling"}')
    (house.node.exchange.reset if reset else house.node.exchange.close)()
    (answer,) = client.answers()
    assert not answer.complete
    assert set(json.loads(answer.body.splitlines()[-1])) == {"error"}
    assert house.observed == {("POST", path, "200"): 1}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/api/show", {"model": "tiny"}), ("POST", "/api/blobs/sha256:0", b"abc"), ("GET", "/api/status", None)],
)
def test_a_node_that_refuses(house: House, method: str, path: str, body: object) -> None:
    """It is a 502, which is not to be tried again, then a 503 once the node is known to be down."""
    house.reactor.ports[NODE_PORT].stopListening()
    house.pass_time(2.0)
    assert [house.ask(method, path, body).answers()[0].status for _ in range(2)] == [502, 503]


@pytest.mark.parametrize(
    ("method", "path", "body", "limited"),
    [
        ("POST", "/api/show", {"model": "tiny"}, True),
        ("POST", "/api/copy", {"source": "tiny", "destination": "x"}, True),
        ("DELETE", "/api/delete", {"model": "tiny"}, True),
        ("POST", "/api/pull", {"model": "tiny"}, False),
        ("POST", "/api/pull", {"model": "tiny", "stream": False}, False),
        ("POST", "/api/blobs/sha256:0", b"abc", False),
    ],
)
def test_only_what_is_quick_has_a_limit(
    open_house: OpenHouse, method: str, path: str, body: object, limited: bool
) -> None:
    """A registry or a disk may be silent for hours; a description that takes half an hour never comes."""
    house = open_house(probe=Probe(interval_seconds=10_000.0))
    client = house.ask(method, path, body)
    house.pass_time(1801.0)
    assert [answer.status for answer in client.answers()] == ([504] if limited else [])


@pytest.mark.parametrize(("status", "slow"), [(200, False), (408, True)])
def test_an_upload_that_does_not_arrive(house: House, status: int, slow: bool) -> None:
    """A node that answers early is passed on, a client that is too slow is told; no connection is used again."""
    client = house.connect()
    client.send(b"POST /api/blobs/sha256:0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nabc")
    house.reactor.settle()
    if slow:
        house.pass_time(130.0)
    else:
        house.node.exchange.answer(b"")
    (answer,) = client.answers()
    assert (answer.status, answer.header("Connection")) == (status, "close")
    assert house.node.exchange.dropped
    assert house.observed == {("POST", "/api/blobs/:digest", str(status)): 1}
    house.pass_time(70.0)
    assert client.closed


def test_goes_to_the_node_that_has_the_model(open_house: OpenHouse) -> None:
    """A model that only the other node has is described there; one that none has, by the first node."""
    house = open_house(models=("other",), simulate=1)
    assert house.ask("POST", "/api/show", {"model": "tiny"}).answers()[0].status == 200
    assert house.node.exchanges == []
    house.ask("POST", "/api/show", {"model": "absent"})
    assert len(house.node.exchanges) == 1


def test_the_models_of_a_simulated_node(open_house: OpenHouse) -> None:
    """Show, copy, list, pull, delete and upload through the whole server, each seen in the lists at once."""
    house = open_house(simulated=SimulatorSettings(models=(TINY,), registry=(EMBEDDER,)))

    def names() -> list[str]:
        return sorted(entry["name"] for entry in json.loads(house.answer("GET", "/api/tags").body)["models"])

    def asked(method: str, path: str, body: object) -> tuple[int, bytes, bool]:
        client = house.ask(method, path, body)
        house.pass_time(4.0)
        (answer,) = client.answers(method)
        return answer.status, answer.body, answer.complete

    assert "modelfile" in json.loads(asked("POST", "/api/show", {"model": "tiny"})[1])
    assert asked("POST", "/api/copy", {"source": "tiny", "destination": "copied"})[0] == 200
    assert names() == ["copied:latest", "tiny:latest"]
    assert asked("DELETE", "/api/delete", {"model": "copied"})[0] == 200
    assert names() == ["tiny:latest"]
    status, progress, complete = asked("POST", "/api/pull", {"model": "minilm"})
    assert (status, complete, json.loads(progress.splitlines()[-1])) == (200, True, {"status": "success"})
    assert names() == ["minilm:latest", "tiny:latest"]
    blob = b"x" * 300_000
    digest = hashlib.sha256(blob).hexdigest()
    assert asked("HEAD", f"/api/blobs/sha256:{digest}", None)[0] == 404
    assert asked("POST", f"/api/blobs/sha256:{digest}", blob)[0] == 201
    assert asked("HEAD", f"/api/blobs/sha256:{digest}", None)[0] == 200
    assert asked("POST", f"/api/blobs/sha256:{digest}", b"other")[0] in (200, 400)
