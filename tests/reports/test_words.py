"""Figures, moments and names at a terminal."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from ollamamax.reports.words import count, duration, local_time, shown, width


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((None, "-"), (0.0, "0 ms"), (0.0004, "0 ms"), (0.25, "250 ms"), (0.9996, "1.0 s"), (1.25, "1.2 s")),
        *((59.94, "59.9 s"), (59.96, "1 m 00 s"), (75.4, "1 m 15 s"), (3599.6, "1 h 00 m"), (7384, "2 h 03 m")),
        *((86400, "1 d 00 h"), (31_539_600, "365 d 01 h")),
    ],
)
def test_a_duration(seconds: float | None, text: str) -> None:
    """In one or two units; no sixty of one where there is one of the next."""
    assert duration(seconds) == text


def test_a_number() -> None:
    """Its thousands are apart, and an unknown one is not 0."""
    assert (count(1234567), count(0), count(None)) == ("1,234,567", "0", "-")


def test_a_moment() -> None:
    """In the zone of whoever reads, with its offset."""
    zone = timezone(timedelta(hours=5, minutes=30))
    assert local_time("2025-10-27T20:30:00.999Z", zone) == "2025-10-28 02:00:00+05:30"
    assert local_time(None) == "-"
    assert local_time("2025-10-27T20:30:00.000Z")[16:19] == ":00"


def test_a_name_does_nothing_to_a_terminal() -> None:
    """Escape sequences, line ends and characters that turn the writing around are told, not obeyed."""
    assert shown("a\x1b[2Jb\r\nc\u202ed") == r"a\x1b[2Jb\r\nc\u202ed"
    assert (shown("köln 東京"), shown(None), shown("\ud800")) == ("köln 東京", "-", r"\ud800")


def test_the_width_of_a_text() -> None:
    """As a terminal has it: wide characters take two columns, accents none."""
    assert (width("abc"), width("東京"), width("e\u0301")) == (3, 4, 1)
