"""What the log tells of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ollamamax.logs.access import INFERENCE_FIELDS, PATH_LIMIT, AccessEntry, shown_path
from ollamamax.store.ledger_row import LedgerRow

ENTRY = AccessEntry("POST", "/api/chat", 200, 1.23456, "0f2c", 345, "192.0.2.7", {"model": "tiny:latest", "node": None})


def test_an_entry_as_text() -> None:
    """The words that all lines begin with, then what is known, by name."""
    assert str(ENTRY) == "POST /api/chat 200 1.235s 0f2c bytes_out=345 client=192.0.2.7 model=tiny:latest"


def test_an_entry_by_name() -> None:
    """Everything under the name that a field of JSON has."""
    assert ENTRY.summary == "POST /api/chat 200"
    assert ENTRY.fields == {
        "method": "POST",
        "path": "/api/chat",
        "status": 200,
        "seconds": 1.23456,
        "request_id": "0f2c",
        "bytes_out": 345,
        "client": "192.0.2.7",
        "model": "tiny:latest",
        "node": None,
    }


def test_a_method_cannot_forge() -> None:
    """A method is what a client sent, whatever that was."""
    entry = AccessEntry("G\n\x1b[1m", "/", 400, 0.0, "0f2c", 0)
    assert str(entry).isprintable()
    assert entry.summary == r"G\n\x1b[1m / 400"


@pytest.mark.parametrize(
    ("path", "shown"),
    [(b"/api/a%20b", "/api/a%20b"), (b"/\x1b[1m\n \x9b\xff\x7f", "/%1B[1m%0A%20%9B%FF%7F"), (b"", "")],
)
def test_a_path_as_it_was_sent(path: bytes, shown: str) -> None:
    """What was percent-encoded stays so, and what should have been becomes it."""
    assert shown_path(path) == shown


@given(some.binary())
def test_any_path_is_ascii_without_a_space(path: bytes) -> None:
    """It is one word of its line."""
    shown = shown_path(path)
    assert shown.isascii()
    assert shown.isprintable()
    assert " " not in shown


def test_a_path_of_any_length_is_told_in_part() -> None:
    """A client cannot make long lines."""
    assert shown_path(b"/" + b"a" * 5000) == "/" + "a" * (PATH_LIMIT - 1) + "..."


def test_fields_of_inference_are_the_ledgers() -> None:
    """Each is a column by that name, so that the line and the account cannot differ; whom a request is for is none."""
    row = LedgerRow(id="x", started_at=0.0, endpoint="/")
    assert all(hasattr(row, name) for name in INFERENCE_FIELDS)
    assert not {"end_user", "owner", "key_id", "client_address"} & set(INFERENCE_FIELDS)
