"""What is answered before any route is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from log_events import LogEvents, logged_by
from web.house import House, error_of

from ollamamax.settings import Limits

OpenHouse = Callable[..., House]


@pytest.fixture
def warnings() -> Iterator[LogEvents]:
    """What the guard logs."""
    with logged_by("ollamamax.web.guard.GuardResource") as events:
        yield events


@pytest.mark.parametrize("path", ["/", "/api/chat", "/api/v1/models", "/metrics", "/metrics.json", "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        ("Host: rebound.example",),
        ("Host: 127.0.0.1.example:8080",),
        ("Host: localhost", "Origin: https://evil.example"),
        ("Host: localhost", "Origin: null"),
        ("Host: localhost", "Origin: \xff"),
        ("Host: localhost", "Origin: http://localhost", "Origin: https://evil.example"),
    ],
)
def test_a_foreign_page_gets_nothing(house: House, warnings: LogEvents, path: str, headers: tuple[str, ...]) -> None:
    """A rebound Host or the Origin of another site is an empty 403 on every path, as Ollama answers it."""
    answer = house.answer("GET", path, headers=headers)
    assert (answer.status, answer.body, answer.header("Content-Length")) == (403, b"", "0")
    assert answer.header("Content-Type") is None
    assert answer.header("Access-Control-Allow-Origin") is None
    assert answer.header("X-Request-Id")
    assert len(warnings.lines) == 1


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3", "a.local", "b.internal:1", "allowed.example", ""]
)
def test_a_host_of_ones_own(open_house: OpenHouse, host: str) -> None:
    """Literals, local names and those of the setting are served; so is HTTP/1.0 without any."""
    house = open_house(allowed_hosts=("Allowed.Example.",))
    client = house.connect()
    client.send(f"GET / HTTP/1.{1 if host else 0}\r\n{f'Host: {host}' if host else 'X: y'}\r\n\r\n".encode())
    assert client.answers()[0].status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://127.0.0.1",
        "http://[::1]:5000",
        "app://x",
        "https://chat.example",
        "http://a.b:9",
    ],
)
def test_a_page_of_ones_own_is_told_so(open_house: OpenHouse, origin: str) -> None:
    """Pages of allowed origins may read the answer, whatever it is; a server's own pages too."""
    house = open_house(allowed_origins=("https://chat.example", "http://*.b:*"))
    for path, status in (("/api/tags", 200), ("/nowhere", 404)):
        answer = house.answer("GET", path, headers=(f"Origin: {origin}",))
        assert (answer.status, answer.header("Access-Control-Allow-Origin")) == (status, origin)
        assert answer.headers.getRawHeaders("Vary") == ["Origin"]
    assert house.answer("GET", "/", headers=("Host: 10.0.0.1:80", "Origin: http://10.0.0.1:80")).status == 200


@pytest.mark.parametrize(
    ("path", "allow"), [("/api/chat", "POST"), ("/api/tags", "GET"), ("/api/blobs/x", "POST"), ("/nowhere", None)]
)
def test_a_preflight(house: House, path: str, allow: str | None) -> None:
    """It is answered for any path, as recorded, and reaches no route."""
    answer = house.answer("OPTIONS", path, headers=("Origin: http://localhost", "Access-Control-Request-Method: POST"))
    assert (answer.status, answer.body, answer.header("Allow")) == (204, b"", allow)
    assert answer.header("Access-Control-Allow-Methods") == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert answer.header("Access-Control-Max-Age") == "43200"
    assert answer.headers.getRawHeaders("Vary") == [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    ]
    assert house.observed == {("OPTIONS", path.replace("blobs/x", "blobs/:digest") if allow else "unmatched", "204"): 1}


@pytest.mark.parametrize(
    ("request_bytes", "status", "method"),
    [
        (b"nonsense\r\n\r\n", 400, "_OTHER"),
        (b"GET /api/tags HTTP/1.1\r\n\r\n", 400, "GET"),
        (b"GET /api/v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "GET"),
        (b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 20000), 431, "_OTHER"),
        (
            b"POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "_OTHER",
        ),
    ],
)
def test_what_is_no_request(house: House, request_bytes: bytes, status: int, method: str) -> None:
    """It is refused before its Host is looked at, measured once, and its connection closes."""
    client = house.connect()
    client.send(request_bytes)
    house.reactor.settle()
    (answer,) = client.answers()
    assert (answer.status, answer.header("Connection")) == (status, "close")
    assert "error" in json.loads(answer.body)
    assert sum(house.observed.values()) == 1
    assert {(seen, code) for seen, _, code in house.observed} == {(method, str(status))}
    assert house.node.exchanges == []


@pytest.mark.parametrize(
    ("path", "error"), [("/api/show", "the request body is too large"), ("/api/v1/inference/chat", "body_too_large")]
)
def test_a_body_that_is_refused_goes_on_to_its_route(open_house: OpenHouse, path: str, error: str) -> None:
    """The route knows what it means: its dialect, its row."""
    house = open_house(limits=Limits(max_body_bytes=4))
    answer = house.answer("POST", path, b"12345")
    assert (answer.status, error_of(answer.body)) == (413, error)


def test_a_name_is_reported_once_and_not_for_ever(house: House, warnings: LogEvents) -> None:
    """Whoever calls under a hundred names does not fill the log."""
    for number in range(110):
        for _ in range(2):
            house.answer("GET", "/", headers=(f"Host: {number}.example",))
    assert len(warnings.lines) == 100
    assert warnings.lines[0] == "Host '0.example' is not allowed: 403; add it to allowed_hosts if it should be"
