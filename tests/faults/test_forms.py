"""16: bodies that are forms, on routes that take JSON."""

from __future__ import annotations

import pytest
from faults.bench import Case
from faults.dialects import SERVED, Dialect, form
from faults.views import assert_told

JSON_ROUTES = [dialect for dialect in SERVED if dialect.body is not None]
every_route = pytest.mark.parametrize("dialect", JSON_ROUTES, ids=str)


@every_route
def test_a_form(case: Case, dialect: Dialect) -> None:
    """A form as browsers send it is no JSON: the client is told, and no node hears of it."""
    body = b"model=healthy&prompt=hello&stream=false"
    assert_no_json(case, dialect, body, "application/x-www-form-urlencoded")


@every_route
def test_a_multipart_form(case: Case, dialect: Dialect) -> None:
    """As any other form."""
    assert_no_json(case, dialect, form(("model", "healthy"), ("prompt", "hello")), "multipart/form-data; boundary=x")


@every_route
def test_json_that_calls_itself_a_form(case: Case, dialect: Dialect) -> None:
    """What it is counts, not what it is called: `curl -d` says so of every JSON."""
    model = case.lay(dialect.answered())
    answer = case.ask(dialect, model, content_type="application/x-www-form-urlencoded")
    assert (answer.status, answer.body) == (200, dialect.good)


def assert_no_json(case: Case, dialect: Dialect, body: bytes, content_type: str) -> None:
    """A body that is refused before any node is asked."""
    answer = case.ask(
        dialect,
        "healthy",
        status=400,
        code="invalid_body",
        outcome="client_error",
        attempts=0,
        body=body,
        content_type=content_type,
    )
    assert "JSON" in assert_told(dialect, answer, 400)
