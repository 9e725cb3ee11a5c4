"""What a query's parameters are read as, and what they are refused with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.errors import RequestRejected
from ollamamax.web.parameters import MOMENT_FORM, Parameters, prefers_csv, status_range

NOW = 1_000_000_000.0
NOON = 1761566400.0  # 2025-10-27T12:00:00Z


def refusal(read: Callable[[], object]) -> str:
    """What is said when something is refused."""
    with pytest.raises(RequestRejected) as caught:
        read()
    return caught.value.public_message


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-10-27T12:00:00Z", NOON),
        ("2025-10-27t12:00:00z", NOON),
        ("2025-10-27T13:30:00+01:30", NOON),
        ("2025-10-27T13:30:00 01:30", NOON),
        ("2025-10-27T07:00:00-05:00", NOON),
        ("2025-10-27T12:00:00.250Z", NOON + 0.25),
        ("2025-10-27T12:00:00.123456789Z", NOON + 0.123456),
        ("2025-10-27", NOON - 43200),
        ("1970-01-01", 0.0),
        ("90s", NOW - 90),
        ("15m", NOW - 900),
        ("24h", NOW - 86400),
        ("30d", NOW - 30 * 86400),
        ("2w", NOW - 14 * 86400),
        ("0s", NOW),
        ("999999999w", 0.0),
    ],
)
def test_a_moment(text: str, moment: float) -> None:
    """A time with its offset, a day in UTC, or a time ago."""
    assert Parameters({b"since": [b"x", text.encode()]}).moment("since", NOW) == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "yesterday",
            "24",
            "24 h",
            "-24h",
            "1.5h",
            "1h30m",
            "2025",
            "2025-10",
            "20251027",
            "2025-W44-1",
            "2025-13-01",
        ),
        *("2025-10-27T12:00:00", "2025-10-27T12:00Z", "2025-10-27 12:00:00Z", "2025-10-27T25:00:00Z"),
        *("2025-10-27T12:00:60Z", "2025-10-27T12:00:00+25:00", "1969-12-31", "9999-01-01", "٢h", "1761566400", "24h\n"),
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """It is refused by its name, with the forms that there are."""
    given = Parameters({b"until": [text.encode()]})
    assert refusal(lambda: given.moment("until", NOW)) == f"until: expected {MOMENT_FORM}"


def test_what_is_not_given() -> None:
    """Nothing, of any kind."""
    parameters = Parameters({})
    assert (parameters.moment("a", NOW), parameters.choice("a", ("x",)), parameters.listed("a", ("x",))) == (None,) * 3
    assert (parameters.texts("a"), parameters.choices("a", ("x",))) == ((), ())
    parameters.allow()


def test_texts_and_choices() -> None:
    """All values count where one will do, the last one where there may be one; a list has each once."""
    parameters = Parameters({b"a": [b"x", "ü".encode()], b"b": [b"x", b"y"], b"c": [b"y, x", b"y,"], b"d": [b""]})
    assert parameters.texts("a", str.upper) == ("X", "Ü")
    assert (parameters.choices("b", ("x", "y")), parameters.choice("b", ("x", "y"))) == (("x", "y"), "y")
    assert (parameters.listed("c", ("x", "y")), parameters.listed("d", ("x",))) == (("y", "x"), ())
    assert refusal(lambda: parameters.choice("b", ("x", "z"))) == "b: expected one of x, z"
    assert refusal(lambda: parameters.listed("c", ("x",))) == "c: expected any of x, separated by commas"
    for value in (b"", b"\xff"):
        refused = Parameters({b"a": [value]})
        assert refusal(lambda refused=refused: refused.texts("a")) == "a: expected a text in UTF-8 that is not empty"  # type: ignore[misc]


def test_unknown_parameters() -> None:
    """The first is named, with the nearest one and with all there are; what is long is cut."""
    assert refusal(lambda: Parameters({b"node": [], b"modle": []}).allow("node", "model")) == (
        'unknown parameter "modle"; did you mean "model"?; expected any of node, model'
    )
    assert refusal(lambda: Parameters({b"x" * 500: []}).allow("node")) == (
        f'unknown parameter "{"x" * 40}…"; expected any of node'
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(("404", (404, 404)), ("5xx", (500, 599)), ("2XX", (200, 299)), ("599", (599, 599))),
        *(("600", None), ("0xx", None), ("40", None), ("4x", None), ("", None), ("٤٠٤", None), ("404\n", None)),
    ],
)
def test_statuses(text: str, found: tuple[int, int] | None) -> None:
    """One, or a class of a hundred."""
    assert status_range(text) == found


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        *(("", False), ("*/*", False), ("text/*", False), ("application/json", False), ("text/csv", True)),
        *(("TEXT/CSV; header=present", True), ("text/csv;q=0.5, application/json", False), ("text/csv;q=0", False)),
        *(
            ("text/csv, application/json", True),
            ("application/json;q=0.1,text/csv;q=0.2", True),
            ("text/csv;q=x", False),
        ),
    ],
)
def test_who_wants_csv(accept: str, csv: bool) -> None:
    """Whoever names it, and likes JSON no better."""
    assert prefers_csv(accept) == csv


@given(st.text(max_size=30), st.binary(max_size=30))
def test_nothing_else_is_raised(text: str, raw: bytes) -> None:
    """Whatever a client sends is read or refused."""
    for value in (text.encode("utf-8", "surrogatepass"), raw):
        parameters = Parameters({b"a": [value]})
        for read in (
            lambda parameters=parameters: parameters.moment("a", NOW),
            lambda parameters=parameters: parameters.listed("a", ("x",)),
            lambda parameters=parameters: parameters.choice("a", ("x",)),
        ):
            with suppress(RequestRejected):
                read()
    prefers_csv(text)
