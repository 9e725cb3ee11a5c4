"""The routes under /v1: what they carry, what they answer from memory, and their errors in the dialect called."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import pytest
from fidelity import differences, parsed, recordings
from web.house import House

from ollamamax.settings import Limits
from ollamamax.simulator.settings import EMBEDDER, TINY, SimulatorSettings

OpenHouse = Callable[..., House]

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "generate",
    "/v1/embeddings": "embed",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
}
STREAMING = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]
FORMS = "/v1/audio/transcriptions"
RECORDED = {recorded.name: recorded for recorded in recordings("0.33")}


def error_of(path: str, body: bytes) -> tuple[str, str, object]:
    """Type, message and what a program may look at besides, of an error in the dialect of a path."""
    document = json.loads(body)
    if path.startswith("/v1/messages"):
        assert document.keys() == {"type", "error", "request_id"}
        assert document["type"] == "error"
        assert document["error"].keys() == {"type", "message"}
        return document["error"]["type"], document["error"]["message"], document["request_id"]
    assert document.keys() == {"error"}
    assert list(document["error"]) == ["message", "type", "param", "code"]
    assert document["error"]["param"] is None
    return document["error"]["type"], document["error"]["message"], document["error"]["code"]


# --- carried ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "operation"), OPERATIONS.items())
def test_is_carried_as_it_came(house: House, path: str, operation: str) -> None:
    """The node gets the client's very bytes on the same route, the client the node's, and the row says what it was."""
    data = json.dumps(CHAT | {"stream": False, "n": 1.50}, indent=1).encode()
    client = house.ask("POST", f"{path}?q=1", data, headers=("Content-Type: application/json", "OpenAI-Beta: x"))
    exchange = house.node.exchange
    assert (exchange.line, exchange.body) == (f"POST {path}", data)
    assert b"\r\nopenai-beta: x\r\n" in exchange.head.lower()
    exchange.answer(b'{"id":"x"}\n')
    (answer,) = client.answers()
    assert (answer.status, answer.body, answer.header("Content-Type")) == (200, b'{"id":"x"}\n', "application/json")
    row = house.row
    assert (row.operation, row.endpoint, row.node, row.model) == (operation, path, "ollama", "tiny:latest")
    assert (row.outcome, row.status, row.id) == ("success", 200, answer.header("X-Request-Id"))
    assert house.observed == {("POST", path, "200"): 1}


@pytest.mark.parametrize("path", OPERATIONS)
def test_what_a_node_refuses_is_passed_on(house: House, path: str) -> None:
    """A node's own words, in its own bytes: of an empty list of messages it thinks for itself."""
    client = house.ask("POST", path, {"model": "tiny", "messages": []})
    house.node.exchange.answer(b'{"error":{"message":"[] is too short"}}', "400 Bad Request")
    (answer,) = client.answers()
    assert (answer.status, answer.body) == (400, b'{"error":{"message":"[] is too short"}}')
    assert (house.row.outcome, house.row.error_code, house.row.operation) == (
        "client_error",
        "node_status_400",
        OPERATIONS[path],
    )


def test_no_credential_reaches_a_node(house: House) -> None:
    """Whatever a client's library puts its key in, the key ends here."""
    secrets = ("Authorization: Bearer s3cret", "x-api-key: s3cret", "api-key: s3cret", "Cookie: k=s3cret")
    versions = ("anthropic-version: 2023-06-01", "OpenAI-Organization: org-1")
    house.ask("POST", "/v1/messages", CHAT, headers=(*secrets, *versions))
    assert b"s3cret" not in house.node.exchange.head
    assert b"anthropic-version: 2023-06-01" in house.node.exchange.head.lower()


@pytest.mark.parametrize("path", [*STREAMING, "/v1/embeddings", FORMS])
def test_a_node_that_dies_before_its_head(house: House, path: str) -> None:
    """A 502 in the dialect called, with the gateway's code, which no client's library tries again."""
    form = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--B--\r\n'
    kind = "multipart/form-data; boundary=B" if path == FORMS else "application/json"
    client = house.ask("POST", path, form if path == FORMS else CHAT, headers=(f"Content-Type: {kind}",))
    while not client.answers():
        house.node.exchange.close()
    (answer,) = client.answers()
    assert (answer.status, answer.header("X-Should-Retry"), answer.header("Retry-After")) == (502, "false", None)
    kind, message, code = error_of(path, answer.body)
    assert (kind, message) == ("api_error", "the node closed the connection before it answered")
    assert code == (answer.header("X-Request-Id") if path == "/v1/messages" else "node_closed_early")
    assert house.row.outcome == "node_error"


@pytest.mark.parametrize("path", STREAMING)
def test_while_all_nodes_are_down(house: House, path: str) -> None:
    """A 503 that may be tried again soon."""
    house.node.hangs = True
    house.pass_time(20.0)
    answer = house.answer("POST", path, CHAT)
    assert (answer.status, answer.header("X-Should-Retry"), answer.header("Retry-After")) == (503, "true", "1")
    kind, _, code = error_of(path, answer.body)
    assert kind == ("overloaded_error" if path == "/v1/messages" else "api_error")
    assert code == (answer.header("X-Request-Id") if path == "/v1/messages" else "no_node_available")


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_leaves_takes_its_request_along(house: House, path: str, begun: bool) -> None:
    """In the same turn: the node's connection is closed, the lease given back, the row written."""
    client = house.ask("POST", path, CHAT | {"stream": True})
    if begun:
        house.node.exchange.begin(b'data: {"choices":[{"delta":{"content":"a"}}]}')
    house.leave(client)
    assert house.node.exchange.dropped
    assert not house.rooms.fleet.nodes["ollama"].in_flight
    assert house.row.outcome == "client_disconnected"
    assert house.observed == {("POST", path, "499"): 1}


# --- what cannot be carried ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "missing request body"),
        (b'{"model":', 400, "invalid JSON: "),
        (b"[]", 400, "invalid JSON: "),
        (b'{"model":"tiny","MODEL":"other"}', 400, "invalid JSON: two keys"),
        (b'{"model":7}', 400, "model: "),
        (b"{}", 400, "model is required"),
        (b'{"model":"Absent:7b"}', 404, "model 'Absent:7b' not found"),
        (b'{"model":"tiny"}'.ljust(1001), 413, "the request body is too large"),
    ],
)
def test_what_cannot_be_carried(open_house: OpenHouse, path: str, body: bytes, status: int, words: str) -> None:
    """It is answered in the dialect called, without a code, as Ollama has none; one row says so, and no node hears."""
    house = open_house(limits=Limits(max_body_bytes=1000))
    answer = house.answer("POST", path, body)
    assert answer.status == status
    found, message, code = error_of(path, answer.body)
    kinds = {404: "not_found_error", 413: "request_too_large" if path == "/v1/messages" else "invalid_request_error"}
    assert found == kinds.get(status, "invalid_request_error")
    assert message.startswith(words)
    assert code == (answer.header("X-Request-Id") if path == "/v1/messages" else None)
    assert house.node.exchanges == []
    assert (house.row.outcome, house.row.status, house.row.attempts) == ("client_error", status, 0)
    assert house.observed == {("POST", path, str(status)): 1}


@pytest.mark.parametrize("path", STREAMING)
def test_a_stream_that_is_neither_true_nor_false(house: House, path: str) -> None:
    """It is refused, as Ollama refuses it."""
    answer = house.answer("POST", path, CHAT | {"stream": "yes"})
    assert (answer.status, error_of(path, answer.body)[1][:7]) == (400, "stream:")


@pytest.mark.parametrize(
    ("method", "path", "allow", "pattern"),
    [
        ("GET", "/v1/chat/completions", "POST", "/v1/chat/completions"),
        ("HEAD", "/v1/messages", "POST", "/v1/messages"),
        ("DELETE", "/v1/models/a/b", "GET, HEAD", "/v1/models/:model"),
        ("PUT", FORMS, "POST", FORMS),
        ("POST", "/v1/models", "GET, HEAD", "/v1/models"),
    ],
)
def test_a_wrong_method(house: House, method: str, path: str, allow: str, pattern: str) -> None:
    """It is a 405 with the right ones, counted under the route."""
    answer = house.answer(method, path)
    assert (answer.status, answer.header("Allow")) == (405, allow)
    if method != "HEAD":
        assert error_of(path, answer.body)[:2] == ("invalid_request_error", "method not allowed")
    assert house.observed == {(method, pattern, "405"): 1}


@pytest.mark.parametrize("header", ["Host: evil.example", "Origin: https://evil.example"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models", FORMS])
def test_foreign_hosts_and_origins(house: House, path: str, header: str) -> None:
    """They are refused as on every other route: an empty 403."""
    answer = house.answer("GET" if path == "/v1/models" else "POST", path, b"{}", headers=(header,))
    assert (answer.status, answer.body) == (403, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", "/v1/messages", b"{}", ()),
        ("POST", "/v1/messages", b"{}", ("Host: evil.example",)),
        ("POST", "/v1/messages", b"{}", ("Content-Encoding: br",)),
        ("POST", "/v1/messages", b"x" * 1001, ()),
        ("GET", "/v1/messages", None, ()),
        ("GET", "/v1/messages/batches", None, ()),
        ("GET", "/v1/messages", None, ("X: y",) * 101),
    ],
)
def test_anthropics_request_id(
    open_house: OpenHouse, method: str, path: str, body: bytes | None, headers: tuple[str, ...]
) -> None:
    """Every answer to its clients names it where they look, refused ones too, in the body as in the head."""
    house = open_house(limits=Limits(max_body_bytes=1000))
    answer = house.answer(method, path, body, headers=headers)
    assert answer.status >= 400
    identifier = answer.header("request-id")
    assert identifier == answer.header("x-request-id")
    assert not answer.body or json.loads(answer.body)["request_id"] == identifier


def test_a_carried_answer_names_one_id(house: House) -> None:
    """The gateway's, whatever a node says; OpenAI's clients look for the other header only."""
    for path, expected in (("/v1/messages", 1), ("/v1/responses", 0)):
        client = house.ask("POST", path, CHAT)
        house.node.exchange.send(
            b"HTTP/1.1 200 OK\r\nrequest-id: node\r\nx-request-id: node\r\nContent-Length: 2\r\n\r\n{}"
        )
        (answer,) = client.answers()
        names = answer.headers.getRawHeaders("request-id") or []
        assert names == [answer.header("X-Request-Id")] * expected


# --- as recorded -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["v1-model-absent", "v1-chat-absent", "v1-responses-absent", "v1-messages-absent", "v1-chat-broken-json"]
)
def test_errors_as_recorded(house: House, name: str) -> None:
    """Where a real server answered the same request, the answer is the same but for ids, and words of a parser."""
    recorded = RECORDED[name]
    client = house.connect()
    client.send(recorded.request)
    house.reactor.settle()
    found = parsed(bytes(client.received), recorded.exchange.end)
    wanted = recorded.exchange
    ignored = ("x-request-id", "request-id", "content-length")
    different = differences(wanted, found, ignored_headers=ignored)
    if name == "v1-chat-broken-json":
        different = [line for line in different if "message" not in line]
    assert different == []


# --- models ----------------------------------------------------------------------------------------------------------


def test_the_models(open_house: OpenHouse) -> None:
    """They are those of `/api/tags`, in its order, in OpenAI's shape; no node is asked."""
    house = open_house(simulated=SimulatorSettings(models=(TINY, EMBEDDER)))
    tags = json.loads(house.answer("GET", "/api/tags").body)["models"]
    answer = house.answer("GET", "/v1/models")
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    assert json.loads(answer.body) == {
        "object": "list",
        "data": [
            {
                "id": entry["model"],
                "object": "model",
                "created": int(datetime.fromisoformat(entry["modified_at"][:19] + "Z").timestamp()),
                "owned_by": "library",
            }
            for entry in tags
        ],
    }
    assert len(tags) == 2
    assert answer.body.endswith(b"}\n")


def test_no_models(open_house: OpenHouse) -> None:
    """An empty list is a list."""
    house = open_house(models=())
    assert json.loads(house.answer("GET", "/v1/models").body) == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("path", "name", "owner"),
    [
        ("/v1/models/tiny", "tiny", "library"),
        ("/v1/models/TINY:latest", "TINY:latest", "library"),
        ("/v1/models/hf.co/Org/x:q4", "hf.co/Org/x:q4", "Org"),
        ("/v1/models/hf.co%2Forg%2Fx:Q4", "hf.co/org/x:Q4", "org"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_model(open_house: OpenHouse, method: str, path: str, name: str, owner: str) -> None:
    """It is named as it was asked for; what a node does not tell is a time of nought."""
    house = open_house(models=("tiny:latest", "hf.co/org/x:q4"))
    answer = house.answer(method, path)
    wanted = b'{"id":"%b","object":"model","created":0,"owned_by":"%b"}\n' % (name.encode(), owner.encode())
    assert (answer.status, answer.header("Content-Length")) == (200, str(len(wanted)))
    assert answer.body == (b"" if method == "HEAD" else wanted)
    assert house.observed == {(method, "/v1/models/:model", "200"): 1}


@pytest.mark.parametrize(
    ("path", "name"), [("absent", "absent:latest"), ("some/Where:7b", "some/Where:7b"), ("%D1%82", "т:latest")]
)
def test_an_absent_model(house: House, path: str, name: str) -> None:
    """It is not found, in the words of Ollama 0.33: with its tag."""
    answer = house.answer("GET", f"/v1/models/{path}")
    assert answer.status == 404
    assert error_of("/v1/models", answer.body) == ("not_found_error", f"model '{name}' not found", None)
    assert house.store.ledger.ended == []


def test_models_do_not_wait_for_nodes(house: House) -> None:
    """With every node down they are told as before."""
    house.node.hangs = True
    house.pass_time(20.0)
    assert [model["id"] for model in json.loads(house.answer("GET", "/v1/models").body)["data"]] == ["tiny:latest"]
    assert house.answer("GET", "/v1/models/tiny").status == 200
