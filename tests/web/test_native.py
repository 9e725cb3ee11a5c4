"""Ollama's routes that the gateway answers by itself: the process, the lists, what is never carried."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from web.house import House

OpenHouse = Callable[..., House]


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/api/version", "/api/tags", "/api/ps"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_from_memory(house: House, method: str, path: str) -> None:
    """GET and HEAD give the same head, and no node is asked."""
    house.node.hangs = True
    answer = house.answer(method, path)
    kind = "text/plain" if path == "/" else "application/json"
    assert (answer.status, answer.header("Content-Type")) == (200, f"{kind}; charset=utf-8")
    length = int(answer.header("Content-Length") or 0)
    assert length > 0
    assert len(answer.body) == (0 if method == "HEAD" else length)
    assert house.node.exchanges == []
    assert house.observed == {(method, path, "200"): 1}


def test_says_that_it_runs(house: House) -> None:
    """In the words that clients look for."""
    assert house.answer("GET", "/").body == b"Ollama is running"


def test_the_lists_hold_what_the_nodes_have(house: House) -> None:
    """Tags and what is resident are the nodes', the version is the lowest of theirs."""
    assert [model["name"] for model in json.loads(house.answer("GET", "/api/tags").body)["models"]] == ["tiny:latest"]
    assert [model["name"] for model in json.loads(house.answer("GET", "/api/ps").body)["models"]] == ["tiny:latest"]
    assert json.loads(house.answer("GET", "/api/version").body) == {"version": "0.33.0"}


def test_the_lists_wait_for_no_node(house: House) -> None:
    """With every node down the models are told as before, nothing is resident, and the last version stands."""
    house.node.hangs = True
    house.pass_time(20.0)
    assert [model["name"] for model in json.loads(house.answer("GET", "/api/tags").body)["models"]] == ["tiny:latest"]
    assert json.loads(house.answer("GET", "/api/ps").body) == {"models": []}
    assert house.answer("GET", "/api/version").status == 200


def test_before_any_node_has_answered(open_house: OpenHouse) -> None:
    """Nothing is known yet: an empty list, and no version that could be told."""
    house = open_house(start=False)
    house.node.hangs = True
    house.start()
    assert json.loads(house.answer("GET", "/api/tags").body) == {"models": []}
    assert house.answer("GET", "/api/version").status == 503
    assert house.answer("GET", "/ready").status == 503
    house.pass_time(2.5)
    assert house.answer("GET", "/ready").status == 200
    assert json.loads(house.answer("GET", "/ready").body)["nodes"] == {"up": 0, "total": 1}


@pytest.mark.parametrize(
    ("method", "path", "pattern"),
    [
        ("POST", "/api/me", "/api/me"),
        ("POST", "/api/signout", "/api/signout"),
        ("POST", "/api/experimental/web_search", "/api/experimental/web_search"),
        ("POST", "/api/experimental/web_fetch", "/api/experimental/web_fetch"),
        ("DELETE", "/api/user/keys/a/b", "/api/user/keys/:id"),
    ],
)
def test_a_nodes_account_is_its_owners(house: House, method: str, path: str, pattern: str) -> None:
    """What concerns it is never carried."""
    answer = house.answer(method, path, b"{}")
    assert (answer.status, json.loads(answer.body)) == (
        403,
        {"error": "this route is not available through the gateway"},
    )
    assert house.node.exchanges == []
    assert house.observed == {(method, pattern, "403"): 1}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/chat", "POST"),
        ("POST", "/api/tags", "GET, HEAD"),
        ("PUT", "/api/blobs/sha256:0", "HEAD, POST"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("OPTIONS", "/api/chat", "POST"),
    ],
)
def test_a_wrong_method(house: House, method: str, path: str, allow: str) -> None:
    """It is a 405 with the right ones, counted under the route."""
    answer = house.answer(method, path)
    assert (answer.status, answer.header("Allow")) == (405, allow)
    assert set(json.loads(answer.body)) == {"error"}
    assert house.observed == {(method, path.replace("sha256:0", ":digest"), "405"): 1}
