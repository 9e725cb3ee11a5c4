"""What the server tells of itself: the same figures everywhere, lists in pages, times as RFC 3339, ids that agree."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fidelity import Exchange
from jsonschema import Draft202012Validator
from real.processes import Process, Processes
from real.samples import samples, scraped, value
from real.wire import asked, request

ATTEMPTS = 50
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "metrics.schema.json"
MODELS = ["example.org/where/tiny:7b", "some/tiny:latest", "thinker:latest", "tiny:latest"]
LISTS = ["models", "nodes", "models/tiny/replicas", "inference/requests"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


def ask(gateway: Process, method: str, target: str, document: object = None, **headers: str) -> Exchange:
    """One request; headers by their names with `_` for `-`."""
    body = None if document is None else json.dumps(document).encode()
    fields = [(name.replace("_", "-"), text) for name, text in headers.items()]
    return asked(gateway.url, request(method, target, body, headers=fields))


def got(gateway: Process, target: str) -> Any:
    """The document of a GET that succeeds."""
    found = ask(gateway, "GET", target)
    assert (found.status, found.header("content-type")) == (200, "application/json; charset=utf-8"), target
    return json.loads(found.body)


def is_recent(text: object) -> bool:
    """Whether a text is RFC 3339 in UTC, of the last minutes."""
    assert isinstance(text, str)
    assert TIMESTAMP.fullmatch(text), text
    age = datetime.now(UTC) - datetime.fromisoformat(text)
    return timedelta(seconds=-2) < age < timedelta(minutes=5)


@pytest.fixture(scope="module")
def three(shared_processes: Processes) -> list[str]:
    """Two nodes of the same models, and a third that is down."""
    first, second = (shared_processes.simulator("--load-seconds=0", "--tokens-per-second=0") for _ in range(2))
    return [f"--node=first={first.url}", f"--node=second={second.url}", "--node=away=http://127.0.0.1:9"]


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, three: list[str], database: list[str]) -> Process:
    """A server on either database with three nodes, and a few requests behind it."""
    started = shared_processes.gateway(*three, *database)
    for name in MODELS[:2]:
        assert ask(started, "POST", "/api/copy", {"source": "tiny", "destination": name}).status == 200
    for number in range(7):
        assert ask(started, "POST", "/api/generate", {"model": "tiny", "prompt": f"LIMIT {number + 1}"}).status == 200
    assert ask(started, "POST", "/api/chat", {"model": "absent"}).status == 404
    return started


# The database.


def test_both_metrics_paths_tell_the_same_of_the_database(gateway: Process, store_kind: str) -> None:
    """Every member of `/metrics.json` is a sample of `/metrics`, at a moment at which nothing moves."""
    for _ in range(ATTEMPTS):
        before = got(gateway, "/metrics.json")
        found = samples(scraped(gateway.url))
        after = got(gateway, "/metrics.json")
        if before["database"] == after["database"]:
            break
    else:
        pytest.fail("the database was never at rest")
    database = before["database"]
    queries = {series: number for series, number in found.items() if series[0] == "db_queries_total"}
    shown = {
        "connections": value(found, "db_connections_open"),
        "queries_total": sum(queries.values()),
        "max_open": value(found, "db_connections_max_open"),
        "open": value(found, "db_connections_open"),
        "in_use": value(found, "db_connections_in_use"),
        "idle": value(found, "db_connections_idle"),
        "wait_count": value(found, "db_connections_wait_total"),
        "wait_duration_seconds": pytest.approx(value(found, "db_connections_wait_duration_seconds_total")),
        # The server's end closes connections, too, where no scrape sees it.
        "closed": {"error": value(found, "db_connections_closed_total", reason="error"), "shutdown": 0},
        "errors_total": sum(number for series, number in queries.items() if dict(series[1])["status"] == "error"),
        "dialect": store_kind,
    }
    assert database == shown
    assert isinstance(database["connections"], int)
    assert isinstance(database["queries_total"], int)
    assert database["queries_total"] > 0
    assert database["open"] == database["in_use"] + database["idle"] <= database["max_open"]
    assert {name for name, _ in found if name.startswith("db_connections")} == {
        "db_connections_max_open", "db_connections_open", "db_connections_in_use", "db_connections_idle",
        "db_connections_wait_total", "db_connections_wait_duration_seconds_total", "db_connections_closed_total",
    }  # fmt: skip
    assert {dict(labels)["table"] for _, labels in queries} <= {"requests", "nodes", "models_seen", "instances", "none"}
    assert is_recent(before["timestamp"])


def test_both_metrics_paths_tell_the_same_of_the_nodes(gateway: Process) -> None:
    """Which are there and up, with what: the first has the models that it was asked for in its memory."""
    fleet, found = got(gateway, "/metrics.json")["fleet"], samples(scraped(gateway.url))
    assert [node["name"] for node in fleet["nodes"]] == ["first", "second", "away"]
    assert (fleet["nodes_up"], fleet["nodes_total"]) == (2, 3)
    for node in fleet["nodes"]:
        assert node["up"] == value(found, "ollamamax_node_up", node=node["name"])
        assert node["in_flight"] == value(found, "ollamamax_node_in_flight", node=node["name"]) == 0
        version, simulated = node["version"] or "", "true" if node["simulated"] else "false"
        labels = {"node": node["name"], "version": version, "simulated": simulated}
        assert value(found, "ollamamax_node_info", **labels) == 1
    assert {name for node in fleet["nodes"] for name in node["resident_models"]} == {"tiny:latest"}


def test_both_metrics_paths_tell_the_same_of_inference(gateway: Process) -> None:
    """How requests ended and what they took: the seven that were answered, and one for a model that is not there."""
    for _ in range(ATTEMPTS):
        told, found = got(gateway, "/metrics.json")["inference"], samples(scraped(gateway.url))
        if told == got(gateway, "/metrics.json")["inference"]:
            break
    else:
        pytest.fail("there was always a request")

    def by(name: str, label: str) -> Counter[str]:
        summed: Counter[str] = Counter()
        for (sample, pairs), number in found.items():
            if sample == name:
                summed[dict(pairs)[label]] += int(number)
        return summed

    assert is_recent(told["since"])
    assert told["requests_by_outcome"] == by("ollamamax_inference_requests_total", "outcome")
    assert told["requests_total"] == sum(told["requests_by_outcome"].values()) >= 8
    assert told["requests_by_outcome"]["client_error"] >= 1
    tokens = {"input": told["input_tokens_total"], "output": told["output_tokens_total"]}
    assert tokens == by("ollamamax_tokens_total", "type")
    assert tokens["output"] >= sum(range(1, 8))
    assert told["in_flight"] == sum(by("ollamamax_inference_in_flight", "model").values()) == 0


def test_the_document_is_as_its_schema_says(gateway: Process) -> None:
    """The schema is one, knows every member, and would see one that is missing or of another kind."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    document = got(gateway, "/metrics.json")
    assert [error.message for error in validator.iter_errors(document)] == []
    assert set(document) <= set(schema["properties"])
    for name in document:
        assert set(document[name] if isinstance(document[name], dict) else ()) <= set(
            schema["properties"][name].get("properties", ())
        )
        assert not validator.is_valid({other: document[other] for other in document if other != name})
        assert not validator.is_valid({**document, name: 1})


def test_timed_queries_are_the_counted_ones(gateway: Process) -> None:
    """The histogram's counts by operation and table are the counter's, over the statuses."""

    def by_table(text: str, name: str) -> Counter[tuple[str, str]]:
        counted: Counter[tuple[str, str]] = Counter()
        for (_, pairs), number in samples(text, name).items():
            labels = dict(pairs)
            counted[labels["operation"], labels["table"]] += int(number)
        return counted

    texts = (scraped(gateway.url) for _ in range(ATTEMPTS))
    assert any(
        by_table(text, "db_queries_total") == by_table(text, "db_query_duration_seconds_count") for text in texts
    )


def test_what_is_asked_for_is_counted_as_queries(gateway: Process) -> None:
    """Looking a request up is a query of its table; scraping is none (a heartbeat may come in between)."""

    def counted() -> int:
        return int(got(gateway, "/metrics.json")["database"]["queries_total"])

    def after_five_scrapes() -> int:
        for _ in range(5):
            scraped(gateway.url)
        return counted()

    got(gateway, "/api/v1/inference/requests")  # waits for what the ledger has still to write
    assert any(counted() == after_five_scrapes() for _ in range(3))
    before = counted()
    assert ask(gateway, "GET", "/api/v1/inference/requests/absent").status == 404
    assert counted() > before


def test_callers_of_the_earlier_endpoint_keep_working(gateway: Process) -> None:
    """The two members and the form of the timestamp that it always had."""
    document = got(gateway, "/metrics.json")
    assert list(document)[:2] == ["database", "timestamp"]
    assert list(document["database"])[:2] == ["connections", "queries_total"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["timestamp"])


# The process.


def test_health_and_readiness(gateway: Process) -> None:
    """Of the process and of its parts; a node that is down makes nobody unready."""
    for target in ("/health", "/api/v1/health"):
        document = got(gateway, target)
        assert document == {"status": "ok", "version": document["version"]}
    assert got(gateway, "/ready") == {
        "status": "ready",
        "listening": True,
        "store": "open",
        "first_probe_round": "done",
        "draining": False,
        "nodes": {"up": 2, "total": 3},
    }


def test_the_figures_of_the_system(gateway: Process) -> None:
    """What runs now, by the same sources as the metrics; the request that asks is in flight itself."""
    stats = got(gateway, "/api/v1/system/stats")
    assert is_recent(stats.pop("started_at"))
    assert stats.pop("uptime_seconds") > 0
    assert stats.pop("database").keys() == got(gateway, "/metrics.json")["database"].keys()
    assert stats == {
        "version": got(gateway, "/health")["version"],
        "http": {"requests_in_flight": 1},
        "nodes": {"up": 2, "total": 3},
        "models": len(MODELS),
        "inference": {"in_flight": 0},
        "ledger": {"pending": 0, "dropped": 0},
    }


def test_the_settings_in_force(gateway: Process) -> None:
    """Every setting once, with where it comes from."""
    rows = got(gateway, "/api/v1/system/config")["settings"]
    assert all(set(row) == {"name", "value", "source", "default"} for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert len(by_name) == len(rows)
    assert [node["name"] for node in by_name["nodes"]["value"]] == ["first", "second", "away"]
    assert by_name["nodes"]["source"] == "--node"
    assert by_name["drain_seconds"] == {"name": "drain_seconds", "value": 30.0, "source": "default", "default": 30.0}


# Models and nodes.


def test_models(gateway: Process) -> None:
    """Each once, whichever nodes have it; one of them by any spelling of its name, with `/` and `:` as they are."""
    models = {model["id"]: model for model in got(gateway, "/api/v1/models")["models"]}
    assert sorted(models) == MODELS
    assert models["tiny:latest"]["nodes"] == ["first", "second"]
    for model in models.values():
        assert {"id", "name", "digest", "size_bytes", "available", "nodes", "resident_on"} <= set(model)
        assert datetime.fromisoformat(model["modified_at"]).tzinfo is not None
    for spelling in ("tiny", "TINY:latest", "library/tiny", "registry.ollama.ai%2Flibrary%2Ftiny"):
        assert got(gateway, f"/api/v1/models/{spelling}") == models["tiny:latest"]
    for spelling in ("some/tiny", "some%2Ftiny%3Alatest", "Some/tiny:latest"):
        assert got(gateway, f"/api/v1/models/{spelling}") == models["some/tiny:latest"]
    assert got(gateway, "/api/v1/models/example.org/where/tiny:7b")["id"] == MODELS[0]


def test_replicas(gateway: Process) -> None:
    """The nodes that have a model, and what each has of it."""
    document = got(gateway, "/api/v1/models/tiny/replicas")
    assert document["pagination"] == {"limit": 100, "offset": 0, "count": 2, "total": 2}
    assert [replica["node"] for replica in document["replicas"]] == ["first", "second"]
    for replica in document["replicas"]:
        assert replica["up"] is True
        assert len(replica["digest"]) == 64
        assert replica["size_bytes"] > 0
    assert any(replica["resident"] for replica in document["replicas"])
    nested = got(gateway, "/api/v1/models/example.org/where/tiny:7b/replicas")
    assert len(nested["replicas"]) == 1


def test_nodes(gateway: Process) -> None:
    """Each with its state, by itself and in the list; the health is what the last probe found."""
    nodes = {node["id"]: node for node in got(gateway, "/api/v1/nodes")["nodes"]}
    assert list(nodes) == ["first", "second", "away"]
    assert [node["status"] for node in nodes.values()] == ["up", "up", "down"]
    for name, node in nodes.items():
        one = got(gateway, f"/api/v1/nodes/{name}")
        assert is_recent(one["checked_at"])
        assert one | {"checked_at": None} == node | {"checked_at": None}
        health = got(gateway, f"/api/v1/nodes/{name}/health")
        assert is_recent(health.pop("checked_at"))
        failures, last = health.pop("consecutive_failures"), health.pop("last_failure")
        assert health == {"node": name, "status": node["status"], "error": node["error"], "models": []}
        if node["status"] == "up":
            assert (failures, last) == (0, None)
        else:
            assert failures >= 1
            assert last["kind"] == "probe_failed"
            assert is_recent(last["at"])
    assert nodes["first"]["error"] is None
    assert nodes["first"]["version"] == "0.33.0"
    assert nodes["away"]["error"] == "unreachable"
    assert set(nodes["first"]["models"]) | set(nodes["second"]["models"]) == set(MODELS)


def test_a_path_may_be_spelt_with_escapes(gateway: Process) -> None:
    """It is the same route, with the same answer and in the same dialect."""
    assert got(gateway, "/%61pi/v1/models") == got(gateway, "/api%2Fv1/models") == got(gateway, "/api/v1/models")
    unknown = ask(gateway, "GET", "/%61pi/v1/nope")
    assert json.loads(unknown.body)["error"]["code"] == "route_not_found"
    assert got(gateway, "/%6detrics.json").keys() >= {"database", "timestamp"}


# Pages.


def numbered(page: Mapping[str, Any]) -> Mapping[str, object]:
    """The pagination of a page by numbers; requests have `next` beside them, for those who go by it."""
    return {name: number for name, number in page["pagination"].items() if name != "next"}


@pytest.mark.parametrize("name", LISTS)
def test_pages_make_up_the_list(gateway: Process, name: str) -> None:
    """Taken two at a time, in the same order, every item once; beyond the end there is nothing."""
    member = name.rpartition("/")[2]
    whole = got(gateway, f"/api/v1/{name}")
    items = whole[member]
    assert set(whole) == {member, "pagination"}
    assert numbered(whole) == {"limit": 100, "offset": 0, "count": len(items), "total": len(items)}
    assert len(items) >= 2
    paged: list[Mapping[str, object]] = []
    for offset in range(0, len(items) + 2, 2):
        page = got(gateway, f"/api/v1/{name}?limit=2&offset={offset}")
        count = len(page[member])
        assert numbered(page) == {"limit": 2, "offset": offset, "count": count, "total": len(items)}
        paged += page[member]
    ids = [item.get("id", item.get("node")) for item in items]
    assert [item.get("id", item.get("node")) for item in paged] == ids
    assert got(gateway, f"/api/v1/{name}?offset=9007199254740992")[member] == []
    assert len(got(gateway, f"/api/v1/{name}?limit=1000")[member]) == len(items)


IMPOSSIBLE = [
    "limit=0", "limit=-1", "limit=1001", "limit=ten", "limit=", "limit=1.5", "limit=+1", "limit=%D9%A1", "limit=%ff",
    "limit=99999999999999999999", "offset=-1", "offset=x", "offset=1e3", "offset=9007199254740993", "offset=",
    "limit=5&limit=0", "limit=5&offset=-1",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_page_that_cannot_be_is_400(gateway: Process, name: str) -> None:
    """The text names the one that is wrong, and does not repeat it."""
    for query in IMPOSSIBLE:
        found = ask(gateway, "GET", f"/api/v1/{name}?{query}")
        assert found.status == 400, query
        wrong = "offset" if "offset" in query else "limit"
        bounds = {"limit": "from 1 to 1000", "offset": f"from 0 to {2**53}"}[wrong]
        assert json.loads(found.body)["error"] == {
            "code": "bad_request",
            "message": f"{wrong}: expected an integer {bounds}",
            "request_id": found.header("x-request-id"),
        }


# Requests.


def test_requests_are_told_newest_first(gateway: Process) -> None:
    """With what each asked for, how it ended and when; what is not known is null."""
    found = ask(gateway, "POST", "/api/v1/inference/chat", {"model": "Tiny", "messages": [{"content": "LIMIT 3"}]})
    assert found.status == 200
    rows = got(gateway, "/api/v1/inference/requests")["requests"]
    assert rows[0]["id"] == found.header("x-request-id")
    times = [row["started_at"] for row in rows]
    assert times == sorted(times, reverse=True)
    for row in rows:
        assert is_recent(row["started_at"])
        assert is_recent(row["finished_at"])
        assert row["started_at"] <= row["finished_at"]
        assert got(gateway, f"/api/v1/inference/requests/{row['id']}") == row
    known = {
        "operation": "chat",
        "endpoint": "/api/v1/inference/chat",
        "outcome": "success",
        "status": 200,
        "error_code": None,
        "model": "tiny:latest",
        "requested_model": "Tiny",
        "output_tokens": 3,
        "attempts": 1,
        "client_address": "127.0.0.1",
        "client_request_id": None,
        "key_id": None,
        "owner": None,
        "end_user": None,
        "queue_seconds": None,
    }
    assert {name: rows[0][name] for name in known} == known
    assert rows[0]["node"] in ("first", "second")
    assert rows[0]["input_tokens"] > 0
    seconds = [rows[0][f"{phase}_seconds"] for phase in ("load", "prompt", "output", "slot_wait", "first_token")]
    assert all(0 <= phase <= rows[0]["duration_seconds"] for phase in seconds)


INFERENCES = [
    ("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 2"}]}, 200),
    ("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "HTTP500"}]}, 500),
    ("/api/generate", {"model": "tiny", "prompt": "LIMIT 2", "stream": False}, 200),
    ("/api/generate", {"model": "tiny"}, 200),
    ("/api/embed", {"model": "tiny", "input": "x"}, 200),
    ("/api/embeddings", {"model": "tiny", "prompt": "x"}, 200),
    ("/api/v1/inference/generate", {"model": "absent"}, 404),
    ("/api/chat", {}, 400),
]


@pytest.mark.parametrize(("target", "document", "status"), INFERENCES)
def test_the_id_of_an_answer_is_its_row(gateway: Process, target: str, document: object, status: int) -> None:
    """A UUID of the gateway's own, whatever the client sends; without trust the client's is not kept."""
    found = ask(gateway, "POST", target, document, X_Request_Id="mine-1")
    assert found.status == status
    request_id = found.header("x-request-id")
    assert str(UUID(request_id)) == request_id
    row = got(gateway, f"/api/v1/inference/requests/{request_id}")
    assert (row["id"], row["status"], row["endpoint"]) == (request_id, status, target)
    assert row["client_request_id"] is None


@pytest.mark.parametrize("text", [b"\xff", b"\xe4" * 200], ids=["short", "long"])
def test_a_prompt_that_is_no_utf_8_is_the_nodes_business(gateway: Process, text: bytes) -> None:
    """Ollama reads it as it can; only what the gateway has to read itself is refused."""
    found = asked(gateway.url, request("POST", "/api/generate", b'{"model": "tiny", "prompt": "%b LIMIT 1"}' % text))
    assert (found.status, found.end) == (200, "fin")
    row = got(gateway, f"/api/v1/inference/requests/{found.header('x-request-id')}")
    assert (row["operation"], row["output_tokens"]) == ("generate", 1)


def test_every_answer_has_an_id_of_its_own(gateway: Process) -> None:
    """Carried or not, good or bad, one each."""
    native = ["/", "/api/tags", "/api/status", "/nope", "/%ff"]
    targets = [*native, "/metrics", "/metrics.json", "/health", "/api/v1/nodes", "/api/v1/nope"]
    found = [ask(gateway, method, target) for target in targets for method in ("GET", "HEAD", "POST")]
    ids = {str(UUID(each.header("x-request-id"))) for each in found}
    assert len(ids) == len(found)
    assert all([name for name, _ in each.headers].count("x-request-id") == 1 for each in found)


def test_a_trusted_peers_id_is_kept_beside(processes: Processes) -> None:
    """If it is a plain one; the answer and the row have the gateway's own all the same."""
    gateway = processes.gateway("--node=away=http://127.0.0.1:9", environ={"OLLAMAMAX_TRUSTED_NETWORKS": "127.0.0.0/8"})
    kept = {}
    for claimed in ("trace_1-A", "x" * 64, "x" * 65, "a b", "a;b", "ä", ""):
        found = ask(gateway, "POST", "/api/chat", {"model": "absent"}, X_Request_Id=claimed)
        row = got(gateway, f"/api/v1/inference/requests/{found.header('x-request-id')}")
        kept[claimed] = row["client_request_id"]
    assert kept == {"trace_1-A": "trace_1-A", "x" * 64: "x" * 64} | dict.fromkeys(("x" * 65, "a b", "a;b", "ä", ""))
