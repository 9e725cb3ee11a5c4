"""Which app or resource a path belongs to."""

from __future__ import annotations

import json

import pytest
from web.house import House, error_of


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/nowhere", "there is no such route"),
        ("/api/tags/", "there is no such route"),
        ("/api/v1", "route_not_found"),
        ("/api/v1/nowhere", "route_not_found"),
        ("/api/v1/%FF", "route_not_found"),
        ("/v1", "there is no such route"),
        ("/v1/nowhere", "there is no such route"),
        ("/v1/models/", "there is no such route"),
        ("/v1/messages/count_tokens", "there is no such route"),
        ("/v1/%FF", "there is no such route"),
        ("/metrics/", "there is no such route"),
        ("/metrics.json/x", "there is no such route"),
        ("/%FF", "there is no such route"),
        ("/api/blobs/%FF", "there is no such route"),
    ],
)
def test_a_path_of_no_route(house: House, method: str, path: str, error: str) -> None:
    """It is a 404 in the dialect of the path, counted under one endpoint."""
    answer = house.answer(method, path)
    assert answer.status == 404
    assert answer.header("Content-Type") == "application/json" + ("" if path.startswith("/v1") else "; charset=utf-8")
    if method == "HEAD":
        assert answer.body == b""
    elif path.startswith("/v1"):
        assert json.loads(answer.body)["error"]["message"] == error
    else:
        assert error_of(answer.body) == error
    assert house.observed == {("_OTHER" if method == "PROPFIND" else method, "unmatched", "404"): 1}
    assert house.node.exchanges == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "//api/tags"),
        ("GET", "/%2Fapi/tags"),
        ("POST", "//api/blobs/x"),
        ("GET", "//api/v1/models"),
        ("GET", "//"),
    ],
)
def test_a_second_slash_makes_another_path(house: House, method: str, path: str) -> None:
    """Ollama knows no such path either; nothing is redirected, and nothing taken for the route that it resembles."""
    answer = house.answer(method, path, b"x")
    assert (answer.status, error_of(answer.body)) == (404, "there is no such route")
    assert house.node.exchanges == []
    assert house.observed == {(method, "unmatched", "404"): 1}


@pytest.mark.parametrize("path", ["/metrics.json", "/metrics%2Ejson"])
def test_the_statistics(house: House, path: str) -> None:
    """The figures of the database, unmeasured; encoded or not, it is the same path."""
    document = json.loads(house.answer("GET", path).body)
    assert document["database"]["dialect"] == "sqlite"
    assert house.observed == {}


@pytest.mark.parametrize("path", ["/metrics", "/metrics.json"])
def test_the_methods_of_the_metrics(house: House, path: str) -> None:
    """They are read, and nothing else."""
    answer = house.answer("POST", path)
    assert (answer.status, answer.header("Allow"), error_of(answer.body)) == (405, "GET, HEAD", "method_not_allowed")


@pytest.mark.parametrize("path", ["/api%2Ftags", "/%61pi/tags", "/api/v1%2Fmodels", "/v1%2Fmodels/tiny"])
def test_an_encoded_path_is_the_same_path(house: House, path: str) -> None:
    """What is percent-encoded finds its route."""
    assert house.answer("GET", path).status == 200
    assert "unmatched" not in {endpoint for _, endpoint, _ in house.observed}
