"""Lines of a log: whatever is told, it is one line, and nothing but what can be seen."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ollamamax.logs.lines import json_line, moment, pair, plain, text_line

NASTY = "a\r\n2026-01-01T00:00:00Z [x] forged\x1b[2J\x00\x7f\x9b31m\x85\u2028\u202e\ud800é🦙"
TRACEBACK = "Traceback (most recent call last):\n\tx\nValueError: a\x1b[1m\r\n2026 [x] forged\n"


def told(message: str = "m", fields: dict[str, object] | None = None, traceback: str = "") -> str:
    """A line of JSON."""
    return json_line(0.0, level="info", logger="l", message=message, fields=fields or {}, traceback=traceback)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1761561000.1236, "2025-10-27T10:30:00.123Z"), (1761561000, "2025-10-27T10:30:00.000Z"), (0.0, "1970-01-01T")],
)
def test_moments_are_rfc_3339(seconds: float, shown: str) -> None:
    """UTC, with three digits of a second always."""
    assert moment(seconds).startswith(shown)
    assert len(moment(seconds)) == 24


def test_what_cannot_be_seen_is_escaped() -> None:
    """Controls of both ranges, separators, directions and surrogates; letters and pictures stay."""
    assert plain(NASTY) == (r"a\r\n2026-01-01T00:00:00Z [x] forged\x1b[2J\x00\x7f\x9b31m\x85\u2028\u202e\ud800é🦙")
    assert plain("a\tb\nc", "\t") == "a\tb\\nc"


@given(some.text(), some.text())
def test_any_text_is_one_line(message: str, source: str) -> None:
    """The only character that is not printable is the line's end."""
    for line in (text_line(0.0, source, message), told(message, {"x": source})):
        assert line.endswith("\n")
        assert line[:-1].isprintable()


@given(some.text())
def test_a_field_of_json_is_printable_when_it_is_read(value: str) -> None:
    """A program that prints it as it is prints no terminal's command."""
    line = told(value, {"x": value})
    assert line.isascii()
    read = json.loads(line)
    assert read["message"] == read["x"] == plain(value)
    assert read["x"].isprintable()


def test_a_traceback_follows_its_line() -> None:
    """As text in lines that begin with a tab, so that none of them passes for a line of its own; in JSON as a field."""
    lines = text_line(0.0, "l#critical", "it failed", TRACEBACK).splitlines()
    assert lines[0] == "1970-01-01T00:00:00.000Z [l#critical] it failed"
    assert lines[1:] == [
        "\tTraceback (most recent call last):",
        "\t\tx",
        "\tValueError: a\\x1b[1m\\r",
        "\t2026 [x] forged",
    ]
    assert json.loads(told(traceback=TRACEBACK))["traceback"].splitlines()[2] == "ValueError: a\\x1b[1m\\r"
    assert "traceback" not in told()


def test_fields_take_nothing_from_a_line() -> None:
    """What is no scalar or no number of JSON is left out, and none can stand for the line's own."""
    fields = {"level": "x", "time": 1, "none": None, "list": [1], "nan": math.nan, "inf": math.inf, "up": True, "n": 2}
    assert json.loads(told(fields={**fields, "s": 1.23456789})) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "logger": "l",
        "message": "m",
        "up": True,
        "n": 2,
        "s": 1.234568,
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("tiny:latest", "x=tiny:latest"),
        (12, "x=12"),
        (1.23456, "x=1.235"),
        ("a b=c", 'x="a b=c"'),
        ('a" y="1', r'x="a\" y=\"1"'),
        ("é\n", 'x="é\\\\n"'),
        ("", 'x=""'),
    ],
)
def test_a_pair_is_one_word_or_in_quotation_marks(value: object, shown: str) -> None:
    """A value cannot bring a further pair along."""
    assert pair("x", value) == shown
