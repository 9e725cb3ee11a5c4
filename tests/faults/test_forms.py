"""16: forms on routes that take JSON, and what is no form on those that take one."""

from __future__ import annotations

import pytest
from faults.bench import Case
from faults.dialects import SERVED, Dialect, form
from faults.views import assert_told

JSON_ROUTES = [dialect for dialect in SERVED if dialect.body is not None]
FORM_ROUTES = [dialect for dialect in SERVED if dialect.body is None]
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


# Forms where a form is asked for.


@pytest.mark.parametrize("dialect", FORM_ROUTES, ids=str)
def test_a_form_without_a_model(case: Case, dialect: Dialect) -> None:
    """Nobody can say who should serve it."""
    assert_no_form(case, dialect, form(("file", "RIFFdata"), ("language", "en")), code="model_required")


@pytest.mark.parametrize("dialect", FORM_ROUTES, ids=str)
def test_a_form_with_its_model_last(case: Case, dialect: Dialect) -> None:
    """The file is kept until the model is known; then all of it goes to the node."""
    model = case.lay(dialect.answered())
    body = form(("file", "RIFF" + "x" * 300_000), ("model", model))
    answer = case.ask(dialect, model, body=body)
    assert (answer.status, answer.body, answer.whole) == (200, dialect.good, True)
    (seen,) = case.seen(model)
    case.wait_for(seen.over.is_set, "the node has not put down what it took in")
    assert seen.body.endswith(body)


@pytest.mark.parametrize("dialect", FORM_ROUTES, ids=str)
@pytest.mark.parametrize(
    "body",
    [b"", b'{"model": "healthy"}', form(("model", "healthy"))[5:], form(("file", "x"), ("model", "healthy"))[:-20]],
    ids=["nothing", "JSON", "another boundary", "cut"],
)
def test_what_is_no_form(case: Case, dialect: Dialect, body: bytes) -> None:
    """It is refused before any node is asked."""
    assert_no_form(case, dialect, body, code="invalid_body" if body else "missing_body")


def assert_no_form(case: Case, dialect: Dialect, body: bytes, *, code: str) -> None:
    """A form that is refused before any node is asked."""
    answer = case.ask(dialect, "healthy", status=400, code=code, outcome="client_error", attempts=0, body=body)
    assert_told(dialect, answer, 400)
