"""The one tree of failures: what a client may see of each, and what stays in the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax import errors
from ollamamax.errors import (
    BodyMemoryExhausted,
    BodyTooLarge,
    ClientLeft,
    ForbiddenRequest,
    GatewayError,
    HeadTooLarge,
    InternalError,
    InvalidBody,
    LedgerFull,
    MalformedRequest,
    MethodNotAllowed,
    MissingBody,
    ModelNotFound,
    ModelRequired,
    NodeBusy,
    NodeClosedEarly,
    NodeConnectFailed,
    NodeFailure,
    NodeProtocolError,
    NodeTimedOut,
    NodeTruncated,
    RequestRejected,
    RequestTimedOut,
    ResourceNotFound,
    RouteNotFound,
    ShuttingDown,
    Unavailable,
    UnsupportedEncoding,
)

TABLE: list[tuple[GatewayError, int, str, bool | None]] = [
    (InternalError(), 500, "internal_error", None),
    (RequestRejected(), 400, "bad_request", None),
    (MalformedRequest(), 400, "malformed_request", None),
    (InvalidBody(), 400, "invalid_body", None),
    (MissingBody(), 400, "missing_body", None),
    (ModelRequired(), 400, "model_required", None),
    (ForbiddenRequest(), 403, "forbidden", None),
    (RouteNotFound(), 404, "route_not_found", None),
    (ModelNotFound("x"), 404, "model_not_found", None),
    (ResourceNotFound(), 404, "not_found", None),
    (MethodNotAllowed(["GET"]), 405, "method_not_allowed", None),
    (RequestTimedOut(), 408, "request_timeout", None),
    (BodyTooLarge(), 413, "body_too_large", None),
    (UnsupportedEncoding(), 415, "unsupported_encoding", None),
    (ClientLeft(), 499, "client_disconnected", None),
    (HeadTooLarge(), 431, "head_too_large", None),
    (Unavailable(), 503, "no_node_available", True),
    (BodyMemoryExhausted(), 503, "body_memory_exhausted", True),
    (NodeBusy(), 503, "node_busy", True),
    (LedgerFull(), 503, "ledger_full", True),
    (ShuttingDown(), 503, "shutting_down", True),
    (NodeFailure(), 502, "node_failed", False),
    (NodeConnectFailed(), 502, "node_unreachable", False),
    (NodeClosedEarly(), 502, "node_closed_early", False),
    (NodeProtocolError(), 502, "node_protocol_error", False),
    (NodeTruncated(), 502, "node_stream_incomplete", False),
    (NodeTimedOut("idle", 3.0), 504, "node_timeout", False),
]


def descendants(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """All kinds of failure below one."""
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


@pytest.mark.parametrize(("error", "status", "code", "retriable"), TABLE, ids=lambda value: getattr(value, "code", ""))
def test_what_a_client_sees(error: GatewayError, status: int, code: str, retriable: bool | None) -> None:
    """Statuses and codes are promised to programs; a retry is promised where the gateway knows about it."""
    assert (error.status, error.code, error.retriable) == (status, code, retriable)


def test_the_table_is_complete() -> None:
    """Every failure that this package declares is promised above, and no two share a code."""
    declared = {kind for kind in descendants(GatewayError) if kind.__module__ == errors.__name__}
    assert {type(error) for error, *_ in TABLE} == declared
    assert len({code for _, _, code, _ in TABLE}) == len(TABLE)


@pytest.mark.parametrize("error", [error for error, *_ in TABLE], ids=lambda error: error.code)
def test_the_words_are_one_sentence(error: GatewayError) -> None:
    """The text for people is the exception's own, one line without a full stop, as Ollama writes it; no detail."""
    assert str(error) == error.public_message
    assert error.public_message
    assert error.public_message == error.public_message.strip().rstrip(".")
    assert "\n" not in error.public_message
    assert error.detail == ""


@pytest.mark.parametrize("kind", list(descendants(GatewayError)))
def test_who_is_at_fault_is_known_by_the_status(kind: type[GatewayError]) -> None:
    """A rejection is 4xx, a missing node 503, a node's failure 502 or 504."""
    if issubclass(kind, RequestRejected):
        assert 400 <= kind.status < 500
    elif issubclass(kind, Unavailable):
        assert kind.status == 503
    elif issubclass(kind, NodeFailure):
        assert kind.status in (502, 504)
    else:
        assert kind.status == 500


@given(st.text(), st.text())
def test_detail_stays_apart_from_what_is_public(message: str, detail: str) -> None:
    """A text of its own takes the place of the kind's for this failure alone; the detail is in no text."""
    error = InvalidBody(message, detail=detail)
    assert (str(error), error.public_message, error.detail) == (message, message, detail)
    assert error.args == (message,)
    assert InvalidBody.public_message == "invalid JSON body"
    assert InvalidBody(detail=detail).public_message == "invalid JSON body"
    assert (InvalidBody(message).detail, InvalidBody().detail) == ("", "")


def test_a_model_that_is_nowhere_is_named_in_ollamas_words() -> None:
    """Clients look for this very text to offer a pull."""
    error = ModelNotFound("tiny:latest")
    assert error.public_message == "model 'tiny:latest' not found"
    assert error.model == "tiny:latest"


def test_a_refused_method_tells_the_allowed_ones() -> None:
    """405 comes with Allow (RFC 9110, 15.5.6); other failures bring no headers."""
    error = MethodNotAllowed(["GET", "HEAD"])
    assert error.allowed == ("GET", "HEAD")
    assert list(error.headers()) == [(b"Allow", b"GET, HEAD")]
    assert list(MethodNotAllowed([]).headers()) == [(b"Allow", b"")]
    assert [list(other.headers()) for other, *_ in TABLE if not isinstance(other, MethodNotAllowed)] == [[]] * (
        len(TABLE) - 1
    )


@pytest.mark.parametrize(
    ("phase", "seconds", "words"),
    [("connect", 2.0, "connect: 2 s"), ("idle", 0.25, "idle: 0.25 s"), ("whole_response", 1800.0, "1800 s")],
)
def test_a_timeout_tells_its_phase(phase: str, seconds: float, words: str) -> None:
    """Which of the limits it was, and how long that is: what the operator has to set otherwise."""
    error = NodeTimedOut(phase, seconds)
    assert error.public_message.startswith("the node did not answer in time (")
    assert error.public_message.endswith(f"{words})")
    assert (error.phase, error.seconds) == (phase, seconds)
