"""What is done with a request's body, by its method and path."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock
from web.house import House
from web.memory_site import MemoryConnection, make_site, waiting

from ollamamax.settings import Limits
from ollamamax.web.admission import body_policy
from ollamamax.web.incoming import BodyPolicy

OpenHouse = Callable[..., House]

LIMITS = Limits(max_body_bytes=10, max_blob_bytes=20)


@pytest.mark.parametrize(
    ("line", "streamed"),
    [
        ("POST /api/blobs/sha256:0", True),
        ("POST /api/%62lobs/sha256:0", True),
        ("POST /api%2Fblobs/sha256:0", True),
        ("POST /v1/audio/transcriptions", True),
        ("POST /v1/audio/%74ranscriptions?x=1", True),
        ("PUT /v1/audio/transcriptions", False),
        ("POST /v1/audio/transcriptions/", False),
        ("POST /v1/chat/completions", False),
        ("PUT /api/blobs/sha256:0", False),
        ("POST /api/blobs", False),
        ("POST /x/api/blobs/y", False),
        ("POST /api/chat", False),
        ("POST /api/chat?/api/blobs/", False),
    ],
)
def test_only_blobs_and_forms_pass_as_they_arrive(line: str, streamed: bool) -> None:
    """Uploads are streamed, within their own limit; all else is read whole."""
    clock = Clock()
    found: list[BodyPolicy] = []
    policy = body_policy(LIMITS)

    def noted(request: object) -> BodyPolicy:
        found.append(policy(request))  # type: ignore[arg-type]
        return found[-1]

    client = MemoryConnection(make_site(waiting, clock, policy=noted), clock)
    client.send(f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n".encode())
    client.leave()
    assert found == [BodyPolicy(max_bytes=20 if streamed else 10, streamed=streamed)]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/show", b"x" * 11, 413),
        ("/api/blobs/sha256:0", b"x" * 11, 200),
        ("/api/blobs/sha256:0", b"x" * 21, 413),
    ],
)
def test_the_limits_are_told_apart(open_house: OpenHouse, path: str, body: bytes, status: int) -> None:
    """A body above its limit is refused before a node hears of it."""
    house = open_house(limits=LIMITS)
    client = house.ask("POST", path, body)
    if status == 200:
        house.node.exchange.answer(b"{}")
    assert client.answers()[0].status == status
    assert len(house.node.exchanges) == (status == 200)


def test_a_blob_that_grows_beyond_the_limit(open_house: OpenHouse) -> None:
    """One that does not tell its length is cut where it is too long, at the node too."""
    house = open_house(limits=LIMITS)
    client = house.connect()
    client.send(b"POST /api/blobs/sha256:0 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"5\r\nabcde\r\n")
    house.reactor.settle()
    exchange = house.node.exchange
    client.send(b"10\r\n0123456789abcdef\r\n")
    house.reactor.settle()
    assert client.answers()[0].status == 413
    assert exchange.dropped
    assert house.observed == {("POST", "/api/blobs/:digest", "413"): 1}
