"""What a handler raises, answered once, in the dialect that was called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from klein import Klein
from log_events import logged_by
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from web.house import House, error_of
from web.memory_site import Answer, MemoryConnection, make_site
from werkzeug.exceptions import UnsupportedMediaType

from ollamamax.errors import NodeConnectFailed, Unavailable
from ollamamax.web.failures import answers_failures
from ollamamax.web.site import GatewayRequest

Flush = Callable[..., list[Failure]]


class Defect(Exception):
    """Something that nobody thought of."""


class Routes:
    """A few ways to fail."""

    app = answers_failures(Klein())

    def __init__(self) -> None:
        self.waiting: Deferred[bytes] = Deferred()

    @app.route("/api/<how>", methods=["GET", "POST"], endpoint="native")
    @app.route("/v1/<how>", methods=["GET"], endpoint="openai")
    @app.route("/v1/messages/<how>", methods=["GET"], endpoint="anthropic")
    @app.route("/api/v1/<how>", methods=["GET"], endpoint="control")
    async def fail(self, request: GatewayRequest, how: str) -> bytes:
        """Fails as the path says."""
        errors = {"node": NodeConnectFailed(detail="secret"), "full": Unavailable(), "type": UnsupportedMediaType()}
        if how == "late":
            request.write(b"begun")
            raise Defect("secret")
        if how == "wait":
            return await self.waiting
        if how == "cancel":
            raise CancelledError
        raise errors.get(how, Defect("secret"))


@pytest.fixture
def routes() -> Routes:
    """The routes, each time anew."""
    return Routes()


@pytest.fixture
def ask(routes: Routes) -> Callable[..., MemoryConnection]:
    """Sends a request to them."""
    clock = Clock()
    site = make_site(routes.app.resource(), clock)

    def asked(path: str, method: str = "GET") -> MemoryConnection:
        client = MemoryConnection(site, clock)
        client.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        return client

    return asked


@pytest.fixture
def failures() -> Iterator[Callable[[], list[object]]]:
    """The request ids that stand beside the failures logged so far."""
    with logged_by() as logged:
        yield lambda: [event.get("request_id") for event in logged.events if event.get("log_failure") is not None]


def told(answer: Answer) -> tuple[int, object]:
    """Status and what went wrong."""
    document = json.loads(answer.body)["error"]
    return answer.status, document if isinstance(document, str) else document.get("code", document.get("type"))


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/node", 502, "the node could not be reached"),
        ("/v1/node", 502, "node_unreachable"),
        ("/v1/messages/node", 502, "api_error"),
        ("/api/v1/node", 502, "node_unreachable"),
        ("/api/v1/full", 503, "no_node_available"),
        ("/api/v1/type", 400, "bad_request"),
        ("/api/v1/a/b", 404, "route_not_found"),
        ("/api//node", 404, "there is no such route"),
    ],
)
def test_an_error_is_told_in_the_words_of_its_api(
    ask: Callable[..., MemoryConnection], path: str, status: int, error: str
) -> None:
    """What was raised on purpose is answered and not logged; a doubled slash is no redirect."""
    (answer,) = ask(path).answers()
    assert told(answer) == (status, error)
    assert answer.header("Content-Length") == str(len(answer.body))


def test_a_wrong_method_is_told_the_right_ones(ask: Callable[..., MemoryConnection]) -> None:
    """A 405 carries Allow."""
    (answer,) = ask("/api/node", "DELETE").answers()
    assert told(answer) == (405, "method not allowed")
    assert answer.header("Allow") == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/api/defect", "/v1/defect", "/v1/messages/defect", "/api/v1/defect"])
def test_a_defect_is_a_500(
    ask: Callable[..., MemoryConnection], failures: Callable[[], list[object]], flush_logged_errors: Flush, path: str
) -> None:
    """The client learns nothing but that it was the gateway; the log has the traceback, and the request's id."""
    (answer,) = ask(path).answers()
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert set(json.loads(answer.body)) >= {"error"}
    assert len(flush_logged_errors(Defect)) == 1
    assert failures() == [answer.header("X-Request-Id")]


def test_a_response_that_has_begun_is_broken_off(
    ask: Callable[..., MemoryConnection], failures: Callable[[], list[object]], flush_logged_errors: Flush
) -> None:
    """It cannot become a 500 any more: its client sees that it is not whole, and the log has the request's id."""
    client = ask("/api/late")
    (answer,) = client.answers()
    assert (answer.status, answer.body, answer.complete, client.ended) == (200, b"begun", False, True)
    assert {type(failure.value) for failure in flush_logged_errors(Defect)} == {Defect}
    assert set(failures()) == {answer.header("X-Request-Id")}


def test_a_handler_that_is_cancelled_by_nobody(
    ask: Callable[..., MemoryConnection], flush_logged_errors: Flush
) -> None:
    """A client that is still there is answered all the same."""
    (answer,) = ask("/api/cancel").answers()
    assert (answer.status, answer.complete) == (500, True)
    assert len(flush_logged_errors(CancelledError)) >= 1


def test_a_client_that_left_is_no_failure(ask: Callable[..., MemoryConnection], routes: Routes) -> None:
    """A handler that is waiting is cancelled, and nothing is logged or answered."""
    client = ask("/api/wait")
    client.leave()
    assert routes.waiting.called
    assert client.received == b""


@pytest.mark.parametrize("path", ["/api/chat", "/api/v1/inference/chat"])
def test_a_defect_in_an_inference_request_has_its_row(house: House, flush_logged_errors: Flush, path: str) -> None:
    """A request that failed by the gateway's own fault is accounted for like any other."""
    node = house.rooms.fleet.nodes["ollama"]
    node.in_flight = None  # whoever counts now, fails
    answer = house.answer("POST", path, {"model": "tiny", "messages": [1]})
    node.in_flight = set()
    assert answer.status == 500
    assert error_of(answer.body) == ("internal_error" if "v1" in path else "the gateway failed to process this request")
    assert len(flush_logged_errors(TypeError)) == 1
    assert (house.row.outcome, house.row.status, house.row.error_code) == ("unavailable", 500, "internal_error")
    assert house.observed == {("POST", path, "500"): 1}


def test_a_defect_of_a_list_has_none(house: House, flush_logged_errors: Flush) -> None:
    """What is answered from memory may fail as well; only inference is accounted for."""
    house.store.ledger.fault = Defect()
    answer = house.answer("GET", "/api/v1/inference/requests")
    assert (answer.status, error_of(answer.body)) == (500, "internal_error")
    assert json.loads(answer.body)["error"]["request_id"] == answer.header("X-Request-Id")
    assert len(flush_logged_errors(Defect)) == 1
    assert house.store.ledger.ended == []
