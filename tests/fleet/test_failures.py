"""What each end of an attempt counts as, and what is kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax import errors
from ollamamax.errors import GatewayError
from ollamamax.fleet.failures import (
    MAX_CLIENTS,
    MAX_MODELS,
    Failure,
    Failures,
    Finding,
    of_answer,
    of_error,
)

ERRORS: list[tuple[GatewayError, Finding | None]] = [
    (errors.NodeConnectFailed(), "connect_failed"),
    (errors.NodeTimedOut("connect", 2.0), "connect_timeout"),
    (errors.NodeTimedOut("first_byte", 2.0), "first_byte_timeout"),
    (errors.NodeTimedOut("idle", 2.0), None),
    (errors.NodeTimedOut("whole_response", 2.0), None),
    (errors.NodeClosedEarly(unanswered=True), "closed_early"),
    (errors.NodeClosedEarly(unanswered=False), "closed_early"),
    (errors.NodeProtocolError(), "protocol_error"),
    (errors.NodeTruncated(), "truncated"),
    (errors.NodeTruncated(framed=True), "no_terminal"),
    (errors.NodeFailure(), None),
    (errors.NodeBusy(), None),
    (errors.Unavailable(), None),
    (errors.ShuttingDown(), None),
    (errors.BodyMemoryExhausted(), None),
    (errors.InternalError(), None),
    (errors.ModelNotFound("x"), None),
    (errors.InvalidBody(), None),
    (errors.RequestTimedOut(), None),
]
ANSWERS: list[tuple[str, str | None, Finding | None]] = [
    # outcome, error code, what it counts as
    ("success", None, "success"),
    ("length", None, "success"),
    ("client_error", "node_status_400", None),
    ("client_error", "node_status_404", None),
    ("client_error", "node_status_499", None),
    ("unavailable", "node_status_503", None),
    ("unavailable", "shutting_down", None),
    ("node_error", "node_status_500", "error_status"),
    ("node_error", "node_status_502", "error_status"),
    ("node_error", "node_status_302", None),
    ("node_error", "node_protocol_error", "protocol_error"),
    ("node_error", "internal_error", None),
    ("node_error", None, None),
    ("stream_error", "node_stream_error", "stream_error"),
    ("incomplete", "node_stream_incomplete", "no_terminal"),
    ("timeout", "node_timeout", None),
    ("client_disconnected", None, None),
]
NODE = ["connect_failed", "connect_timeout", "closed_early", "protocol_error", "truncated"]
MODEL = ["error_status", "stream_error", "no_terminal", "first_byte_timeout"]


@pytest.mark.parametrize(("error", "finding"), ERRORS, ids=lambda value: str(value)[:40])
def test_what_an_error_counts_as(error: GatewayError, finding: Finding | None) -> None:
    """The node's own failures, those of its model, and those that are nobody's there."""
    assert of_error(error) == finding


def test_every_failure_of_a_node_is_in_the_table() -> None:
    """One that is new has to be decided upon."""
    assert {errors.NodeBusy, *errors.NodeFailure.__subclasses__()} <= {type(error) for error, _ in ERRORS}


@pytest.mark.parametrize(("outcome", "code", "finding"), ANSWERS)
def test_what_an_answer_counts_as(outcome: str, code: str | None, finding: Finding | None) -> None:
    """By how it ended for the client, and what went wrong."""
    assert of_answer(outcome, code, broke=False) == finding


def test_an_answer_that_its_connection_ended() -> None:
    """What is missing then is the node's to answer for, not its engine's."""
    assert of_answer("incomplete", "node_stream_incomplete", broke=True) == "truncated"
    assert of_answer("success", None, broke=True) == "success"


def _after(*findings: Finding | None, model: str = "m", client: str | None = "c") -> Failures:
    failures = Failures()
    for at, finding in enumerate(findings, start=1):
        failures.attempted(finding, model=model, client=client, at=float(at))
    return failures


@pytest.mark.parametrize("kind", NODE)
def test_failures_of_the_node(kind: Finding) -> None:
    """They are counted in a row, the last one is told, and a success ends them; models have nothing to do with it."""
    failures = _after(kind, kind)
    assert (failures.consecutive, failures.last, failures.doubtful) == (2, Failure(kind, 2.0), True)  # type: ignore[arg-type]
    assert failures.models == {}
    failures.attempted("success", model="other", client=None, at=3.0)
    assert (failures.consecutive, failures.last, failures.doubtful) == (0, None, False)


@pytest.mark.parametrize("kind", MODEL)
def test_failures_of_a_model(kind: Finding) -> None:
    """They count for this model on this node alone; only a success of the same model ends them."""
    failures = _after(kind, kind)
    assert (failures.consecutive, failures.last, failures.doubtful) == (0, None, False)
    assert (failures.models["m"].count, failures.models["m"].last) == (2, Failure(kind, 2.0))  # type: ignore[arg-type]
    failures.attempted("success", model="other", client=None, at=3.0)
    assert failures.models["m"].count == 2
    failures.attempted("success", model="m", client=None, at=4.0)
    assert failures.models == {}


def test_what_counts_for_nothing_changes_nothing() -> None:
    """Neither way: who leaves or is refused has not seen the node work either."""
    failures = _after("closed_early", "error_status", None)
    assert (failures.consecutive, failures.last, failures.models["m"].count) == (1, Failure("closed_early", 1.0), 1)


def test_clients_are_told_apart() -> None:
    """One client a hundred times is one; who is not known is none; the count ends where it says enough."""
    failures = Failures()
    for client in ["a"] * 100 + [None] + ["b"]:
        failures.attempted("error_status", model="m", client=client, at=1.0)
    assert (failures.models["m"].count, len(failures.models["m"].clients)) == (102, 2)
    for number in range(1000):
        failures.attempted("error_status", model="m", client=str(number), at=1.0)
    assert len(failures.models["m"].clients) == MAX_CLIENTS
    assert "clients" not in repr(failures.models["m"])


@pytest.mark.parametrize("kind", NODE)
def test_a_probe_that_goes_well(kind: Finding) -> None:
    """It disproves what it would have met itself, and not that the node breaks off when it generates."""
    failures = _after(kind)
    failures.probed(2.0, well=True)
    cleared = kind in ("connect_failed", "connect_timeout")
    assert (failures.consecutive, failures.last) == ((0, None) if cleared else (1, Failure(kind, 1.0)))  # type: ignore[arg-type]
    assert not failures.doubtful


def test_a_probe_that_fails() -> None:
    """It counts like a request's failure to connect, beside what other failures there are."""
    failures = _after("closed_early")
    failures.probed(5.0, well=False)
    failures.probed(6.0, well=False)
    assert (failures.consecutive, failures.last, failures.doubtful) == (3, Failure("probe_failed", 6.0), True)
    failures.probed(7.0, well=True)
    assert (failures.consecutive, failures.last) == (1, Failure("closed_early", 1.0))


def test_memory_is_bounded_whatever_the_names() -> None:
    """Of more models than are kept, those that failed longest ago are forgotten; no name is kept that no node has."""
    failures = Failures()
    for number in range(MAX_MODELS + 10):
        failures.attempted("error_status", model=f"{number}:cloud", client="c", at=1.0)
        failures.attempted("error_status", model="again:cloud", client="c", at=1.0)
        failures.attempted("error_status", model="x" * 1025, client="c", at=1.0)
    assert len(failures.models) == MAX_MODELS
    assert failures.models["again:cloud"].count == MAX_MODELS + 10
    assert f"{MAX_MODELS + 9}:cloud" in failures.models
    assert "0:cloud" not in failures.models
    failures.attempted("error_status", model="x" * 1024, client="c", at=1.0)
    assert "x" * 1024 in failures.models


@given(st.lists(st.tuples(st.sampled_from([*NODE, *MODEL, "success", None]), st.sampled_from("mn")), max_size=30))
def test_a_row_is_what_came_since_the_last_success(ends: list[tuple[Finding | None, str]]) -> None:
    """Counted by hand from the end, for the node over all models, for a model over its own."""
    failures = Failures()
    for finding, model in ends:
        failures.attempted(finding, model=model, client=None, at=1.0)
    findings = [finding for finding, _ in ends]
    since = len(findings) - findings[::-1].index("success") if "success" in findings else 0
    assert failures.consecutive == sum(finding in NODE for finding in findings[since:])
    for name in "mn":
        own = [finding for finding, model in ends if model == name]
        since = len(own) - own[::-1].index("success") if "success" in own else 0
        count = sum(finding in MODEL for finding in own[since:])
        assert (failures.models[name].count if name in failures.models else 0) == count
