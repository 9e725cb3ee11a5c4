"""Whole answers, timestamps and pages."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock
from web.memory_site import Answer, MemoryConnection, make_site

from ollamamax.errors import RequestRejected
from ollamamax.web.answers import listing, page, respond, respond_json, rfc3339
from ollamamax.web.site import GatewayRequest


def answered(render: object, target: str = "/") -> Answer:
    """What a client gets of a function that renders."""
    clock = Clock()
    client = MemoryConnection(make_site(render, clock), clock)  # type: ignore[arg-type]
    client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    (answer,) = client.answers()
    return answer


def test_json_with_its_length() -> None:
    """A value is sent whole, with type and length."""
    answer = answered(lambda request: respond_json(request, {"a": "é"}, status=201))
    assert (answer.status, json.loads(answer.body)) == (201, {"a": "é"})
    assert answer.header("Content-Type") == "application/json; charset=utf-8"
    assert answer.header("Content-Length") == str(len('{"a":"é"}'.encode()))


def test_nothing_has_no_type() -> None:
    """An empty body has a length and no media type."""
    answer = answered(lambda request: respond(request, b"", status=403))
    assert (answer.status, answer.header("Content-Length"), answer.header("Content-Type")) == (403, "0", None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (1761561000.1239, "2025-10-27T10:30:00.123Z")],
)
def test_times_are_rfc_3339(seconds: float | None, text: str | None) -> None:
    """In UTC, to the millisecond; an unknown one stays unknown."""
    assert rfc3339(seconds) == text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", (100, 0)),
        ("limit=1&offset=0", (1, 0)),
        ("limit=1000", (1000, 0)),
        ("limit=5&limit=7&offset=9007199254740992", (7, 2**53)),
        ("limit=007", (7, 0)),
        ("limit=1001", None),
        ("limit=0", None),
        ("offset=-1", None),
        ("offset=9007199254740993", None),
        ("offset=" + "9" * 5000, None),
        ("limit=%D9%A3", None),
    ],
)
def test_a_page(query: str, found: tuple[int, int] | None) -> None:
    """Both are decimal integers within bounds; the last of several counts."""
    seen: list[tuple[int, int] | None] = []

    def render(request: GatewayRequest) -> bytes:
        try:
            seen.append(page(request))
        except RequestRejected:
            seen.append(None)
        return b""

    answered(render, f"/?{query}")
    assert seen == [found]


def test_a_listing() -> None:
    """Every list has the same shape."""
    assert listing("nodes", ["a"], 1, 2, 9) == {
        "nodes": ["a"],
        "pagination": {"limit": 1, "offset": 2, "count": 1, "total": 9},
    }
