"""Hosts, origins, methods and paths: what is refused before any route answers."""

from __future__ import annotations

import pytest
from fidelity import Exchange, MemoryConnection, request_bytes
from simulator.world import World

from ollamamax.simulator.guard import allowed_host, allowed_origin


def sent(method: str, path: str, *headers: tuple[str, str]) -> Exchange:
    """One request to a fresh server."""
    return MemoryConnection(World().site, request_bytes(method, path, headers=headers)).exchange()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("", True),
        ("localhost", True),
        ("LOCALHOST:11434", True),
        ("127.0.0.1:1", True),
        ("[::1]:11434", True),
        ("192.168.1.7", True),
        ("0.0.0.0", True),
        ("box.local", True),
        ("a.internal:80", True),
        ("a.localhost", True),
        ("evil.example", False),
        ("8.8.8.8", False),
        ("localhost.evil.example", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    """Loopback, private addresses and local names are answered to."""
    assert allowed_host(host) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://0.0.0.0:8", True),
        ("tauri://localhost", True),
        ("vscode-file://x", True),
        ("http://localhost.evil.example", False),
        ("http://evil.example", False),
        ("null", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    """Pages of this machine and applications may call."""
    assert allowed_origin(origin) is allowed


def test_an_allowed_page_is_told_so() -> None:
    """The answer names its origin; the page of the server itself needs no such thing."""
    answer = sent("GET", "/api/version", ("Origin", "http://localhost:3000"))
    assert (answer.header("access-control-allow-origin"), answer.header("vary")) == ("http://localhost:3000", "Origin")
    own = sent("GET", "/api/version", ("Origin", "http://127.0.0.1:11434"))
    assert own.header("access-control-allow-origin") == ""


def test_a_preflight_of_an_unknown_path_names_no_methods() -> None:
    """204 all the same."""
    asked = (("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "POST"))
    unknown, known = sent("OPTIONS", "/api/nowhere", *asked), sent("OPTIONS", "/api/tags", *asked)
    assert (unknown.status, unknown.header("allow")) == (204, "")
    assert (known.status, known.header("allow")) == (204, "GET, HEAD")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/generate", 405, "POST"),
        ("POST", "/api/tags", 405, "GET, HEAD"),
        ("HEAD", "/api/ps", 405, "GET"),
        ("HEAD", "/api/status", 405, "GET"),
        ("GET", "/api/blobs/sha256:00", 405, "HEAD, POST"),
        ("OPTIONS", "/api/chat", 405, "POST"),
        ("GET", "/nowhere", 404, ""),
        ("GET", "/api/tags/", 404, ""),
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("OPTIONS", "/v1/messages", 405, "POST"),
        ("HEAD", "/v1/models", 405, "GET"),
        ("POST", "/v1/models/tiny", 405, "GET"),
        ("GET", "/v1/models/a/b", 404, ""),
        ("POST", "/v1/unknown", 404, ""),
    ],
)
def test_wrong_methods_and_paths(method: str, path: str, status: int, allow: str) -> None:
    """405 with Allow, 404 without, in plain text."""
    answer = sent(method, path)
    assert (answer.status, answer.header("allow"), answer.header("content-type")) == (status, allow, "text/plain")


def test_unreadable_paths_are_unknown_paths() -> None:
    """Bytes that are no UTF-8 lead to no failure."""
    assert sent("GET", "/%ff").status == 404


def test_whole_answers_above_two_kilobytes_are_chunked() -> None:
    """As Go does when nobody set a length; HEAD has neither then."""
    world = World()
    for number in range(12):
        copied = {"source": "first", "destination": f"copy{number}"}
        world.ask("/api/copy", copied)
    got, head = (world.ask("/api/tags", method=method).exchange() for method in ("GET", "HEAD"))
    assert (got.framing, len(got.parts), head.framing, head.body) == ("chunked", 1, "none", b"")


def test_connections_are_kept_open() -> None:
    """Two requests on one connection get two answers."""
    world = World()
    request = request_bytes("GET", "/api/version", close=False)
    connection = MemoryConnection(world.site, request + request)
    assert connection.data.count(b'{"version":"0.33.0"}') == 2
    assert not connection.finished
    connection.leave()
