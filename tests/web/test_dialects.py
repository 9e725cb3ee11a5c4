"""A failure in the words of each API."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock
from web.memory_site import MemoryConnection, make_site

from ollamamax import errors
from ollamamax.web.dialects import Dialect, answer, dialect_of, encode


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        (b"/", Dialect.NATIVE),
        (b"/api/chat", Dialect.NATIVE),
        (b"/api/v1", Dialect.CONTROL),
        (b"/api/v1/", Dialect.CONTROL),
        (b"/api/%761/x", Dialect.CONTROL),
        (b"/api/v10", Dialect.NATIVE),
        (b"/v1", Dialect.OPENAI),
        (b"/v1/models", Dialect.OPENAI),
        (b"/v1/messages", Dialect.ANTHROPIC),
        (b"/v1/messages/count_tokens", Dialect.ANTHROPIC),
        (b"/v1/messagesx", Dialect.OPENAI),
        (b"/v10", Dialect.NATIVE),
        (b"/metrics", Dialect.CONTROL),
        (b"/metrics.json", Dialect.CONTROL),
        (b"/health", Dialect.CONTROL),
        (b"/ready", Dialect.CONTROL),
        (b"/\xff", Dialect.NATIVE),
    ],
)
def test_the_api_of_a_path(path: bytes, dialect: Dialect) -> None:
    """Each path belongs to one API, whether or not it is a route."""
    assert dialect_of(path) is dialect


@pytest.mark.parametrize(
    ("error", "openai", "anthropic"),
    [
        (errors.InvalidBody(), "invalid_request_error", "invalid_request_error"),
        (errors.ForbiddenRequest(), "invalid_request_error", "permission_error"),
        (errors.ModelNotFound("x"), "not_found_error", "not_found_error"),
        (errors.BodyTooLarge(), "invalid_request_error", "request_too_large"),
        (errors.Unavailable(), "api_error", "overloaded_error"),
        (errors.NodeTruncated(), "api_error", "api_error"),
        (errors.InternalError(detail="secret"), "api_error", "api_error"),
    ],
)
def test_the_words_of_each_api(error: errors.GatewayError, openai: str, anthropic: str) -> None:
    """Bodies are of the shapes that the official clients read; what only the log may say is in none.

    OpenAI's has a code for what Ollama itself could not have said.
    """
    bodies = {dialect: json.loads(encode(error, dialect, "id")) for dialect in Dialect}
    message, code = error.public_message, error.code
    coded = None if isinstance(error, errors.RequestRejected) else code
    assert bodies == {
        Dialect.NATIVE: {"error": message},
        Dialect.CONTROL: {"error": {"code": code, "message": message, "request_id": "id"}},
        Dialect.OPENAI: {"error": {"message": message, "type": openai, "param": None, "code": coded}},
        Dialect.ANTHROPIC: {
            "type": "error",
            "error": {"type": anthropic, "message": message},
            "request_id": "id",
        },
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (408, "invalid_request_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (431, "invalid_request_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_the_types_of_anthropic(status: int, kind: str) -> None:
    """They follow from the status, as Anthropic's own do."""
    error = errors.GatewayError()
    error.status = status
    assert json.loads(encode(error, Dialect.ANTHROPIC, "id"))["error"]["type"] == kind


@pytest.mark.parametrize(
    ("error", "dialect", "kind", "ending"),
    [
        (errors.InvalidBody(), Dialect.NATIVE, "application/json; charset=utf-8", b"}"),
        (errors.InvalidBody(), Dialect.OPENAI, "application/json; charset=utf-8", b"}"),
        (errors.InvalidBody(), Dialect.ANTHROPIC, "application/json; charset=utf-8", b"}"),
        (errors.RouteNotFound(), Dialect.CONTROL, "application/json; charset=utf-8", b"}"),
        (errors.ModelNotFound("x"), Dialect.OPENAI, "application/json", b"}\n"),
        (errors.NodeTruncated(), Dialect.ANTHROPIC, "application/json", b"}\n"),
    ],
)
def test_the_types_of_the_answers(error: errors.GatewayError, dialect: Dialect, kind: str, ending: bytes) -> None:
    """As recorded: what Ollama's compatible routes find wrong later than a 400 has no charset, and ends a line."""
    clock = Clock()
    client = MemoryConnection(make_site(lambda request: answer(request, error, dialect, ""), clock), clock)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    (found,) = client.answers()
    assert (found.header("Content-Type"), found.body.rpartition(b"}")[2], found.complete) == (kind, ending[1:], True)


@pytest.mark.parametrize(
    ("error", "retry", "after"),
    [
        (errors.NodeConnectFailed(), "false", None),
        (errors.Unavailable(), "true", "1"),
        (errors.InvalidBody(), None, None),
    ],
)
def test_whether_to_retry(error: errors.GatewayError, retry: str | None, after: str | None) -> None:
    """The clients that obey a header are told; for what the status says by itself there is none."""
    clock = Clock()
    site = make_site(lambda request: answer(request, error, Dialect.NATIVE, request.request_id), clock)
    client = MemoryConnection(site, clock)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    (found,) = client.answers()
    assert (found.status, found.header("X-Should-Retry"), found.header("Retry-After")) == (error.status, retry, after)


def test_a_405_names_the_methods() -> None:
    """Headers that belong to an error go out with it."""
    clock = Clock()
    error = errors.MethodNotAllowed(["GET", "POST"])
    client = MemoryConnection(make_site(lambda request: answer(request, error, Dialect.NATIVE, ""), clock), clock)
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.answers()[0].header("Allow") == "GET, POST"
