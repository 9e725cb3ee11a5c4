"""Whether clients are told to try again, for every failure that there is, in every API."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from twisted.internet.task import Clock
from web.memory_site import MemoryConnection, make_site

from ollamamax.errors import GatewayError, MethodNotAllowed, ModelNotFound, NodeTimedOut
from ollamamax.web.dialects import Dialect, answer


def kinds(of: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """Every kind of failure."""
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def made(kind: type[GatewayError]) -> GatewayError:
    """One of a kind."""
    if issubclass(kind, NodeTimedOut):
        return kind("idle", 3.0)
    if issubclass(kind, ModelNotFound):
        return kind("x")
    return kind(["GET"]) if issubclass(kind, MethodNotAllowed) else kind()


@pytest.mark.parametrize("dialect", Dialect)
def test_who_may_try_again(dialect: Dialect) -> None:
    """After a node had the request, nobody (clients would send it twice); where there was no room, within a minute."""
    clock = Clock()
    told: dict[int, set[tuple[str | None, str | None]]] = {}
    for kind in set(kinds()):
        error = made(kind)
        client = MemoryConnection(
            make_site(partial(answer, error=error, dialect=dialect, request_id="id"), clock), clock
        )
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        (found,) = client.answers()
        assert found.status == error.status
        told.setdefault(found.status, set()).add((found.header("X-Should-Retry"), found.header("Retry-After")))
    assert told.pop(502) == told.pop(504) == {("false", None)}
    for status in (429, 503):
        for retry, after in told.pop(status, ()):
            assert retry == "true"
            assert after is not None
            assert 1 <= int(after) <= 60
    assert set.union(*told.values()) == {(None, None)}
