"""One GET with an end: what it is called when it fails, and that giving up closes the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ollamamax.fleet.dialling import probe_agent
from ollamamax.fleet.fetch import FetchFailed, fetch

if TYPE_CHECKING:
    from fleet.conftest import Wire, World


@implementer(IAgent)
@attrs.frozen
class _FailingAgent:
    error: Exception

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803 - Twisted's interface
    ) -> Deferred[IResponse]:
        return fail(self.error)


def _failure(fetching: Deferred[bytes]) -> BaseException | None:
    failures: list[Failure] = []
    fetching.addErrback(failures.append)
    assert len(failures) == 1
    return failures[0].value


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectError(), "unreachable"),
        (DNSLookupError("no such host"), "unreachable"),
        (OSError("no more descriptors"), "unreachable"),
        (ResponseNeverReceived([Failure(ConnectionLost())]), "closed_early"),
        (ResponseNeverReceived([Failure(ConnectionLost()), Failure(ValueError("parse"))]), "bad_answer"),
    ],
)
def test_failures_have_one_word_each(error: Exception, code: str) -> None:
    """What an agent fails with becomes a word for programs and a text for the log; no timer stays."""
    clock = Clock()
    failed = _failure(fetch(_FailingAgent(error), clock, b"http://a/", timeout_seconds=2, max_bytes=10))
    assert isinstance(failed, FetchFailed)
    assert failed.code == code
    assert failed.detail
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_giving_up_closes_the_connection(world: World, head: bytes) -> None:
    """Cancelling closes the connection, before the head as in the body, and stays a cancellation."""
    node = world.add("a")
    node.answers["/x"] = head
    fetching = fetch(_agent(world), world.clock, b"http://a:11434/x", timeout_seconds=2, max_bytes=100)
    world.settle()
    fetching.cancel()
    assert isinstance(_failure(fetching), CancelledError)
    assert node.wires[0].closed


def test_body_of_exactly_the_largest_size(world: World) -> None:
    """The limit itself is within the limit, whether the size is announced or not."""
    node = world.add("a")
    for head in (b"Content-Length: 10", b"Connection: close"):

        def answer(wire: Wire, head: bytes = head) -> None:
            wire.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
            wire.send(b"01234")
            wire.send(b"56789")
            wire.end()

        node.answers["/x"] = answer
        bodies: list[bytes] = []
        fetch(_agent(world), world.clock, b"http://a:11434/x", timeout_seconds=2, max_bytes=10).addCallback(
            bodies.append
        )
        world.settle()
        assert bodies == [b"0123456789"]


def test_body_above_the_size_arrives_with_the_head(world: World) -> None:
    """A small answer that is too large all the same is refused, and nothing is left unhandled."""
    node = world.add("a")
    node.answers["/x"] = b"HTTP/1.1 500 No\r\nContent-Length: 20\r\n\r\n01234567890123456789"
    fetching = fetch(_agent(world), world.clock, b"http://a:11434/x", timeout_seconds=2, max_bytes=10)
    world.settle()
    failed = _failure(fetching)
    assert isinstance(failed, FetchFailed)
    assert failed.code == "status_500"


def _agent(world: World) -> IAgent:
    return probe_agent(world.clock, world.endpoint_for)
