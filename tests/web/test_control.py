"""The gateway's own API: lists and their pages, nodes and models, past requests, the system."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from web.house import House

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.queries import Position, Selection
from ollamamax.store.usage import Sums

OpenHouse = Callable[..., House]


def document(house: House, path: str, status: int = 200) -> Any:
    """The JSON of an answer."""
    answer = house.answer("GET", path)
    assert answer.status == status, answer.body
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("query", "names", "pagination"),
    [
        ("", ["a:latest", "b:latest", "c:latest"], {"limit": 100, "offset": 0, "count": 3, "total": 3}),
        ("?limit=2", ["a:latest", "b:latest"], {"limit": 2, "offset": 0, "count": 2, "total": 3}),
        ("?limit=2&offset=2", ["c:latest"], {"limit": 2, "offset": 2, "count": 1, "total": 3}),
        ("?offset=9", [], {"limit": 100, "offset": 9, "count": 0, "total": 3}),
    ],
)
def test_lists_have_pages(open_house: OpenHouse, query: str, names: list[str], pagination: dict[str, int]) -> None:
    """Each list takes a limit and an offset, and tells the total."""
    house = open_house(models=("c", "a", "b"))
    found = document(house, f"/api/v1/models{query}")
    assert [model["id"] for model in found["models"]] == names
    assert found["pagination"] == pagination


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "offset=-1", "limit=1e3", "limit="])
@pytest.mark.parametrize("path", ["models", "nodes", "models/tiny/replicas", "inference/requests"])
def test_a_page_that_is_none(house: House, path: str, query: str) -> None:
    """What is no number within its bounds is refused by its name, in every list."""
    error = document(house, f"/api/v1/{path}?{query}", 400)["error"]
    assert error["code"] == "bad_request"
    assert error["message"].startswith(f"{query.partition('=')[0]}: expected an integer from")
    assert error["request_id"]


@pytest.mark.parametrize("name", ["tiny", "tiny:latest", "TINY", "%74iny"])
def test_a_model_by_any_of_its_spellings(house: House, name: str) -> None:
    """A model is found by its name as clients spell it."""
    model = document(house, f"/api/v1/models/{name}")
    assert model["id"] == "tiny:latest"
    (replica,) = document(house, f"/api/v1/models/{name}/replicas")["replicas"]
    assert replica["node"] == "ollama"


def test_a_model_whose_name_is_a_path(open_house: OpenHouse) -> None:
    """A name may hold slashes and a colon, as it stands in the path."""
    house = open_house(models=("host.test/space/model:7b",))
    assert document(house, "/api/v1/models/host.test/space/model:7b")["id"] == "host.test/space/model:7b"
    found = document(house, "/api/v1/models/host.test/space/model:7b/replicas")
    assert found["pagination"]["total"] == 1
    assert ("GET", "/api/v1/models/:id/replicas", "200") in house.observed


@pytest.mark.parametrize(
    "path", ["models/absent", "models/absent/replicas", "nodes/absent", "nodes/absent/health", "inference/requests/x"]
)
def test_what_is_not_there(house: House, path: str) -> None:
    """It is a 404 of the control API, with the id of the request."""
    error = document(house, f"/api/v1/{path}", 404)["error"]
    assert (error["code"], sorted(error)) == ("not_found", ["code", "message", "request_id"])


def test_nodes_and_their_health(house: House) -> None:
    """A node is told with what it has, and why it is down."""
    node = document(house, "/api/v1/nodes/ollama")
    checked_at = node.pop("checked_at")
    assert checked_at.endswith("Z")
    assert node == {
        "id": "ollama",
        "url": "http://127.0.0.1:11434",
        "status": "up",
        "error": None,
        "simulated": False,
        "version": "0.33.0",
        "in_flight": 0,
        "memory_bytes": 1,
        "disk_bytes": None,
        "models_size_bytes": 1,
        "models": ["tiny:latest"],
        "resident": ["tiny:latest"],
    }
    assert document(house, "/api/v1/nodes")["nodes"] == [node | {"checked_at": checked_at}]
    house.node.hangs = True
    house.pass_time(20.0)
    health = document(house, "/api/v1/nodes/ollama/health")
    assert (health["node"], health["status"], health["error"]) == ("ollama", "down", "timeout")
    last = health["last_failure"]
    assert (last["kind"], last["at"]) == ("probe_failed", health["checked_at"])
    assert health["consecutive_failures"] >= 2
    assert health["models"] == []


def test_a_node_that_was_not_tried_yet(open_house: OpenHouse) -> None:
    """Its state is unknown, which is not down."""
    house = open_house(start=False)
    house.node.hangs = True
    house.start()
    health = document(house, "/api/v1/nodes/ollama/health")
    assert (health["status"], health["error"], health["checked_at"]) == ("unknown", "not_probed", None)


def test_past_requests(house: House) -> None:
    """A request is found by the id that its answer carried, its times told as text."""
    identifier = house.answer("POST", "/api/v1/inference/chat", {}).header("X-Request-Id") or ""
    house.answer("POST", "/api/chat", {})
    found = document(house, "/api/v1/inference/requests?limit=1&offset=1")
    assert [row["id"] for row in found["requests"]] == [identifier]
    following = found["pagination"].pop("next")
    assert found["pagination"] == {"limit": 1, "offset": 1, "count": 1, "total": 2}
    document(house, f"/api/v1/inference/requests?cursor={following}")
    assert house.store.ledger.selected[-1].after == Position(house.store.ledger.ended[0].started_at, identifier)
    row = document(house, f"/api/v1/inference/requests/{identifier}")
    assert (row["outcome"], row["endpoint"], row["status"]) == ("client_error", "/api/v1/inference/chat", 400)
    assert row["started_at"].endswith("Z")
    assert row["finished_at"].endswith("Z")
    assert row["load_seconds"] is None


def test_past_requests_are_selected(house: House) -> None:
    """Parameters reach the ledger; what is no parameter, or has no such value, is a 400 that names it."""
    document(house, "/api/v1/inference/requests?model=TINY&model=b:7b&status=5xx&since=1970-01-02&order=finished")
    assert house.store.ledger.selected == [
        Selection(among={"model": ("tiny:latest", "b:7b")}, statuses=((500, 599),), since=86400.0, order="finished")
    ]
    for query, message in (
        ("modle=x", 'unknown parameter "modle"; did you mean "model"?; expected any of model, node, '),
        ("since=yesterday", "since: expected a time as 2025-10-27T10:30:00Z or"),
    ):
        error = document(house, f"/api/v1/inference/requests?{query}", 400)["error"]
        assert (error["code"], error["message"].startswith(message)) == ("bad_request", True)


def test_usage(house: House) -> None:
    """Sums by what was asked for, of the last 30 days where nothing else is said; a spreadsheet gets CSV."""
    house.store.ledger.used = {("ada",): Sums(outcomes={"success": 1}, input_tokens=3)}
    found = document(house, "/api/v1/usage?by=owner&node=desk")
    assert found["by"] == ["owner"]
    assert [(row["owner"], row["input_tokens"]) for row in found["usage"]] == [("ada", 3)]
    assert found["until"].endswith("Z")
    (query,) = house.store.ledger.queried
    assert (query.by, query.among, query.until) == (("owner",), {"node": ("desk",)}, None)
    for query_string, headers in (("&format=csv", ()), ("", ("Accept: text/csv",))):
        answer = house.answer("GET", f"/api/v1/usage?by=owner{query_string}", headers=headers)
        assert answer.header("Content-Type") == "text/csv; charset=utf-8; header=present"
        assert answer.header("Content-Disposition") == 'attachment; filename="usage.csv"'
        assert answer.body.startswith(b"owner,requests,")
    assert house.answer("GET", "/api/v1/usage?format=json&by=owner", headers=("Accept: text/csv",)).body[:1] == b"{"
    for query_string in ("by=nothing", "limit=3", "format=xml"):
        error = document(house, f"/api/v1/usage?{query_string}", 400)["error"]
        assert error["message"].startswith(("by: expected any of day,", "unknown parameter", "format: expected one of"))


@pytest.mark.parametrize("path", ["inference/requests", "inference/requests/x", "usage"])
def test_past_requests_while_the_database_is_away(house: House, path: str) -> None:
    """It is a 503 that may be retried, without the database's own words."""
    house.store.ledger.fault = StoreUnavailable(detail="disk I/O error")
    answer = house.answer("GET", f"/api/v1/{path}")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "store_unavailable")
    assert b"disk" not in answer.body


def test_the_system(house: House) -> None:
    """Figures of the process, and every setting with its source."""
    stats = document(house, "/api/v1/system/stats")
    assert stats["nodes"] == {"up": 1, "total": 1}
    assert stats["models"] == 1
    assert stats["http"] == {"requests_in_flight": 1}
    assert stats["inference"] == {"in_flight": 0}
    assert stats["ledger"] == {"pending": 0, "dropped": 0}
    assert stats["database"]["dialect"] == "sqlite"
    rows = {row["name"]: row for row in document(house, "/api/v1/system/config")["settings"]}
    assert rows["listen"]["value"] == "tcp:8080:interface=127.0.0.1"
    assert rows["listen"]["source"] == "default"
    assert document(house, "/api/v1/health")["status"] == "ok"


def test_figures_of_requests_under_way(house: House) -> None:
    """A request that runs is in flight on its node and here."""
    house.ask("POST", "/api/chat", {"model": "tiny"})
    stats = document(house, "/api/v1/system/stats")
    assert (stats["http"]["requests_in_flight"], stats["inference"]["in_flight"]) == (2, 1)
    assert document(house, "/api/v1/nodes/ollama")["in_flight"] == 1


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "nodes/ollama"), ("POST", "models"), ("GET", "inference/chat")]
)
def test_a_wrong_method(house: House, method: str, path: str) -> None:
    """It is a 405 in this API's words."""
    answer = house.answer(method, f"/api/v1/{path}")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (405, "method_not_allowed")
    assert answer.header("Allow")
