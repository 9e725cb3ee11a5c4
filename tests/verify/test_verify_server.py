"""How a request that gets no answer is told: never hanging, never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers

from ollamamax.caller import Answer, Unanswered
from ollamamax.verify.exposition import Exposition
from ollamamax.verify.server import Server


class FakeResponse:
    """An answer of 200 bytes of nothing in particular."""

    code = 200
    headers = Headers({})

    def content(self) -> Deferred[bytes]:
        return succeed(b"some text\n")


class FakeClient:
    """Answers as it is told, and notes what it was asked."""

    def __init__(self, answer: Callable[[], Deferred[FakeResponse]]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str, Headers]] = []

    def request(self, method: str, url: str, *, headers: Headers, allow_redirects: bool) -> Deferred[FakeResponse]:
        assert not allow_redirects
        self.asked.append((method, url, headers))
        return self._answer()


def server(answer: Callable[[], Deferred[FakeResponse]]) -> tuple[Server, FakeClient, Clock]:
    """A server behind a fake client, on a clock of its own."""
    client, clock = FakeClient(answer), Clock()
    return Server(client, clock, "http://h:1/", {"X-Key": "secret"}, settle_seconds=1.0), client, clock  # type: ignore[arg-type]


def result_of(deferred: Deferred[Answer] | Deferred[Exposition]) -> object:
    """What a Deferred that has fired holds."""
    results: list[object] = []
    deferred.addBoth(results.append)
    (result,) = results
    return result


def test_a_request_carries_its_headers() -> None:
    """The ones of every request and its own; a plain scraper's Accept for a scrape."""
    looked_at, client, _ = server(lambda: succeed(FakeResponse()))
    answer = result_of(Deferred.fromCoroutine(looked_at.metrics()))
    assert answer == Answer(200, "", b"some text\n")
    ((method, url, headers),) = client.asked
    assert (method, url) == ("GET", "http://h:1/metrics")
    assert headers.getRawHeaders("X-Key") == ["secret"]
    assert headers.getRawHeaders("Accept") == ["text/plain;version=0.0.4"]


def test_an_answer_that_never_comes_is_given_up() -> None:
    """After ten seconds, whatever the server does."""
    never: Deferred[FakeResponse] = Deferred()
    looked_at, _, clock = server(lambda: never)
    waiting = Deferred.fromCoroutine(looked_at.get("/x"))
    clock.advance(9.9)
    assert not waiting.called
    clock.advance(0.2)
    failure = result_of(waiting)
    assert isinstance(failure, Failure)
    assert failure.check(Unanswered)
    assert str(failure.value) == "GET /x was not answered within 10 s"
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111), "no connection: Connection refused"),
        (TimeoutError(), "no connection: it took too long"),
        (ConnectError(), "no connection: it took too long"),
        (DNSLookupError(), "no connection: the host's name has no address"),
        (ResponseFailed([]), "GET /x got no HTTP answer, or one that broke off"),
        (ResponseNeverReceived([]), "GET /x got no HTTP answer, or one that broke off"),
    ],
)
def test_every_failure_has_words(error: Exception, words: str) -> None:
    """For people: no class names, no numbers of errors."""
    looked_at, _, _ = server(lambda: fail(error))
    failure = result_of(Deferred.fromCoroutine(looked_at.get("/x")))
    assert isinstance(failure, Failure)
    assert failure.check(Unanswered)
    assert str(failure.value) == words


def test_scraping_until_something_settles_ends_in_time() -> None:
    """What never becomes visible is waited for, for as long as was said."""
    looked_at, client, clock = server(lambda: succeed(FakeResponse()))
    waiting = Deferred.fromCoroutine(looked_at.scrape_until(lambda _: False))
    clock.pump([0.05] * 30)
    assert waiting.called
    assert 10 < len(client.asked) < 25


def test_a_body_that_is_no_json_is_none() -> None:
    """Where an object was expected it is none either."""
    assert Answer(200, "application/json", b"{").json() is None
    assert Answer(200, "", b"\xff").json() is None
    assert Answer(404, "", b"").described() == "404 without a Content-Type"
