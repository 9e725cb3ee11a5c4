# mypy: allow-untyped-calls
"""`/metrics.json`, `/health` and `/ready`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from ollamamax.web.status import Readiness, health_resource, readiness_resource, statistics_resource, timestamp

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers
    from twisted.web.resource import IResource

DATABASE = {"connections": 1, "queries_total": 12, "closed": {"error": 0}, "dialect": "sqlite"}
READY = Readiness(listening=True, store_open=True, probed=True, draining=False, nodes_up=1, nodes_total=2)


@attrs.frozen
class Answer:
    """What a client got."""

    code: int
    headers: Headers
    body: bytes


def ask(resource: IResource, method: str = "GET", below: str = "") -> Answer:
    """Asks a resource at `/it`, over a whole HTTP stack in memory."""
    root = Resource()
    root.putChild(b"it", resource)
    answers: list[Answer] = []
    client = HTTPClient(RequestTraversalAgent(root))

    def responded(response: object) -> None:
        response.content().addCallback(  # type: ignore[attr-defined]
            lambda body: answers.append(Answer(response.code, response.headers, body))  # type: ignore[attr-defined]
        )

    client.request(method, f"http://127.0.0.1/it{below}").addCallback(responded)
    (answer,) = answers
    return answer


def test_statistics() -> None:
    """`/metrics.json` is the database's statistics and the time, in UTC to the second."""
    answer = ask(statistics_resource(lambda: DATABASE, {}, lambda: 1761561000.9))
    assert answer.code == 200
    assert answer.headers.getRawHeaders("Content-Type") == ["application/json; charset=utf-8"]
    assert json.loads(answer.body) == {"database": DATABASE, "timestamp": "2025-10-27T10:30:00Z"}


def test_what_stands_beside_the_statistics() -> None:
    """It comes after the two members that were always there, each read anew."""
    counts = iter([{"nodes_up": 1}, {"nodes_up": 2}])
    resource = statistics_resource(lambda: DATABASE, {"fleet": lambda: next(counts)}, lambda: 0.0)
    first, second = json.loads(ask(resource).body), json.loads(ask(resource).body)
    assert list(first) == ["database", "timestamp", "fleet"]
    assert (first["fleet"], second["fleet"]) == ({"nodes_up": 1}, {"nodes_up": 2})


def test_statistics_are_read_for_each_request() -> None:
    """Nothing is kept from one request to the next, here or in caches."""
    database: dict[str, object] = {"queries_total": 1}
    resource = statistics_resource(lambda: database, {}, lambda: 0.0)
    ask(resource)
    database["queries_total"] = 2
    answer = ask(resource)
    assert json.loads(answer.body) == {"database": {"queries_total": 2}, "timestamp": "1970-01-01T00:00:00Z"}
    assert answer.headers.getRawHeaders("Cache-Control") == ["no-store"]


def test_timestamps_are_rfc_3339() -> None:
    """A timestamp has the form of the documented example."""
    assert timestamp(1761561000) == "2025-10-27T10:30:00Z"


def test_health() -> None:
    """The process answers, with its version."""
    answer = ask(health_resource("1.2.3"))
    assert answer.code == 200
    assert json.loads(answer.body) == {"status": "ok", "version": "1.2.3"}


@pytest.mark.parametrize(
    ("readiness", "code", "status"),
    [
        (READY, 200, "ready"),
        (attrs.evolve(READY, nodes_up=0), 200, "ready"),
        (attrs.evolve(READY, listening=False), 503, "starting"),
        (attrs.evolve(READY, store_open=False), 503, "starting"),
        (attrs.evolve(READY, probed=False), 503, "starting"),
        (attrs.evolve(READY, draining=True), 503, "draining"),
        (attrs.evolve(READY, draining=True, listening=False), 503, "draining"),
    ],
)
def test_readiness(readiness: Readiness, code: int, status: str) -> None:
    """Ready is who listens, has a store, has probed once and does not drain; nodes that are down do not matter."""
    answer = ask(readiness_resource(lambda: readiness))
    assert answer.code == code
    assert json.loads(answer.body) == {
        "status": status,
        "listening": readiness.listening,
        "store": "open" if readiness.store_open else "closed",
        "first_probe_round": "done" if readiness.probed else "pending",
        "draining": readiness.draining,
        "nodes": {"up": readiness.nodes_up, "total": 2},
    }


def test_head_is_get_without_a_body() -> None:
    """HEAD has the status and the length of GET."""
    got = ask(health_resource("1"))
    headed = ask(health_resource("1"), "HEAD")
    assert (headed.code, headed.body) == (200, b"")
    assert headed.headers.getRawHeaders("Content-Length") == [str(len(got.body))]
    assert ask(readiness_resource(lambda: attrs.evolve(READY, probed=False)), "HEAD").code == 503


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "FOO"])
def test_other_methods_are_refused(method: str) -> None:
    """Any other method is a 405 that names the two, in the words of `/api/v1`."""
    answer = ask(health_resource("1"), method)
    assert answer.code == 405
    assert answer.headers.getRawHeaders("Allow") == ["GET, HEAD"]
    assert json.loads(answer.body)["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("below", ["/", "/x", "/x/y"])
def test_paths_below_are_unknown(below: str) -> None:
    """The resource is for its own path only."""
    answer = ask(health_resource("1"), below=below)
    assert answer.code == 404
    assert json.loads(answer.body)["error"]["code"] == "route_not_found"


def test_there_are_no_children() -> None:
    """Nothing can be put below, not even below what is missing."""
    resource = health_resource("1")
    missing = resource.getChildWithDefault(b"x", Request(DummyChannel(), False))
    assert missing.getChildWithDefault(b"y", object()) is missing
    for parent in (resource, missing):
        with pytest.raises(TypeError):
            parent.putChild(b"x", Resource())
