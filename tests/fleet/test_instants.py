"""Go's moments: read to the nanosecond, in any zone, in any year."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.instants import Instant, parse_instant, utc_text

_MOMENTS = st.datetimes(
    min_value=datetime.datetime(2, 1, 1),  # noqa: DTZ001 - the zone is drawn apart
    max_value=datetime.datetime(9998, 1, 1),  # noqa: DTZ001 - the zone is drawn apart
    timezones=st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))),
)


@pytest.mark.parametrize(
    ("text", "seconds", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2026-11-23T00:04:23.508617481Z", 1795392263, 508617481),
        ("2026-11-23T02:04:23.5+02:00", 1795392263, 500000000),
        ("2026-11-22T18:34:23.000000001-05:30", 1795392263, 1),
        ("2319-03-04T23:51:50.108017693Z", 11018764310, 108017693),
        ("0001-01-01T00:00:00Z", -62135596800, 0),
        ("0001-01-01T00:00:00+14:00", -62135647200, 0),
        ("9999-12-31T23:59:59.999999999Z", 253402300799, 999999999),
        ("2016-12-31T23:59:60Z", 1483228800, 0),
        ("2026-11-23t00:04:23z", 1795392263, 0),
        ("2026-11-23T00:04:23.1234567891Z", 1795392263, 123456789),
    ],
)
def test_moments(text: str, seconds: int, nanoseconds: int) -> None:
    """The year 1, "for ever", zones and nine digits of a second all have their place."""
    assert parse_instant(text) == Instant(seconds, nanoseconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T00:04:23",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T00:60:00Z",
        "2026-11-23T00:00:61Z",
        "2026-11-23T00:00:00+24:00",
        "2026-11-23T00:00:00+00:60",
        "2026-11-23T00:00:00.Z",
        "٢٠٢٦-11-23T00:00:00Z",
        "2026-11-23T00:00:00Z\n",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """A node may send any text: what is no moment is none, and raises nothing."""
    assert parse_instant(text) is None
    assert utc_text(text) is None


@given(_MOMENTS)
def test_agrees_with_datetime(moment: datetime.datetime) -> None:
    """Where `datetime` can follow, both agree."""
    instant = parse_instant(moment.isoformat())
    assert instant is not None
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert instant.seconds == since // datetime.timedelta(seconds=1)
    assert instant.nanoseconds == moment.microsecond * 1000


@given(st.integers(-62135596800, 253402300799), st.integers(0, 999_999_999))
def test_text_and_back(seconds: int, nanoseconds: int) -> None:
    """A moment written in UTC is read as the same moment."""
    assert parse_instant(Instant(seconds, nanoseconds).rfc3339()) == Instant(seconds, nanoseconds)


def test_written_as_go_writes() -> None:
    """No trailing zeros, no empty fraction; another zone becomes UTC."""
    assert utc_text("2026-11-23T02:04:23.250+02:00") == "2026-11-23T00:04:23.25Z"
    assert utc_text("2026-11-23T00:04:23.000Z") == "2026-11-23T00:04:23Z"


def test_beyond_the_calendar() -> None:
    """A zone may push a moment out of the years that can be written: the nearest day is."""
    assert utc_text("0001-01-01T00:00:00+14:00") == "0001-01-01T10:00:00Z"
    assert utc_text("9999-12-31T23:00:00-14:00") == "9999-12-31T13:00:00Z"


def test_unix_and_order() -> None:
    """Metrics get seconds; later is greater."""
    assert Instant(3, 500_000_000).unix == 3.5
    assert Instant(1, 999_999_999) < Instant(2) < Instant(2, 1)
