"""Go's spelling of durations and instants."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.simulator.durations import MOST_SECONDS, instant, keep_alive_seconds, nanoseconds, parsed_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("+0", 0.0),
        ("1ns", 1e-9),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("1ms", 1e-3),
        ("1s", 1.0),
        ("1m", 60.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("1h15m30.5s", 4530.5),
        ("1s1s", 2.0),
        ("+2m", 120.0),
        ("-2m30s", -150.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Numbers with units, one after the other, with one sign before all of them."""
    assert parsed_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("+", 'time: invalid duration "+"'),
        (".", 'time: invalid duration "."'),
        ("soon", 'time: invalid duration "soon"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("1s-1s", 'time: unknown unit "s-" in duration "1s-1s"'),
        ("10", 'time: missing unit in duration "10"'),
        ("-10", 'time: missing unit in duration "-10"'),
        ("00", 'time: missing unit in duration "00"'),
        ("1s10", 'time: missing unit in duration "1s10"'),
        ("10x", 'time: unknown unit "x" in duration "10x"'),
        ("1S", 'time: unknown unit "S" in duration "1S"'),
        ('a"b', 'time: invalid duration "a\\"b"'),
        ("a\\b", 'time: invalid duration "a\\\\b"'),
    ],
)
def test_what_is_no_duration_is_said_in_gos_words(text: str, message: str) -> None:
    """The words of `time.ParseDuration`, with the text quoted as Go quotes it."""
    with pytest.raises(ValueError, match=r"\Atime: ") as caught:
        parsed_duration(text)
    assert str(caught.value) == message


@given(st.text(alphabet='0123456789.-+nuµmsh "\\', max_size=12))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    """Seconds come out, or the one error; a minus sign turns them round."""
    try:
        seconds = parsed_duration(text)
    except ValueError:
        return
    assert math.isfinite(seconds)
    if not text.startswith(("-", "+")):
        assert parsed_duration(f"-{text}") == -seconds
        assert parsed_duration(f"+{text}") == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((0, 0.0), (5, 5.0), (2.5, 2.5), ("0", 0.0), ("1m", 60.0)),
        *((-1, math.inf), (-0.5, math.inf), ("-1s", math.inf)),
    ],
)
def test_keep_alive(value: object, seconds: float) -> None:
    """Numbers are seconds, texts durations; negative ones stand for ever."""
    assert keep_alive_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "bool"), (False, "bool"), ({}, "map[string]interface {}"), ([], "[]interface {}")]
)
def test_a_keep_alive_of_another_type_is_named_as_in_go(value: object, kind: str) -> None:
    """True is no number here."""
    with pytest.raises(ValueError, match=r"\AUnsupported type: ") as caught:
        keep_alive_seconds(value)
    assert str(caught.value) == f"Unsupported type: '{kind}'"


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 0), (0.001, 10**6), (1.5e-9, 2), (0.4e-9, 0), (7.0, 7 * 10**9)])
def test_nanoseconds(seconds: float, count: int) -> None:
    """The nearest whole number of them."""
    assert nanoseconds(seconds) == count


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (0.1, "1970-01-01T00:00:00.1Z"),
        (59.000_001, "1970-01-01T00:00:59.000001Z"),
        (1e-9, "1970-01-01T00:00:00.000000001Z"),
        (1_795_392_273.25, "2026-11-23T00:04:33.25Z"),
        (1_795_392_280.0, "2026-11-23T00:04:40Z"),
        (MOST_SECONDS, "2262-04-11T23:47:16.854776Z"),
    ],
)
def test_instants(unix: float, text: str) -> None:
    """RFC 3339 in UTC; the fraction has no trailing zeros, and is not there where it is nothing."""
    assert instant(unix) == text


@given(st.integers(0, int(MOST_SECONDS)), st.sampled_from([0.0, 0.5, 0.25, 0.125]))
def test_an_instant_can_be_read_back(seconds: int, fraction: float) -> None:
    """It is the moment that it says, as any reader of RFC 3339 takes it."""
    text = instant(seconds + fraction)
    read = datetime.datetime.fromisoformat(text)
    expected = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=seconds + fraction)
    assert read == expected
