"""Moments as Ollama writes them: RFC 3339 with up to nine digits of a second and any zone.

Go's `time.Time` prints nanoseconds, which `datetime` cuts off, and Ollama's "for ever" lies beyond the year 2300, so
moments are kept here as two integers.
"""

from __future__ import annotations

import datetime
import re

import attrs

_RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,18}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_LAST_DAY = datetime.date.max.toordinal() - _EPOCH_DAY
_FIRST_DAY = datetime.date.min.toordinal() - _EPOCH_DAY
_SECONDS_PER_DAY = 86400


@attrs.frozen(order=True)
class Instant:
    """A moment; later moments are greater.

    Attributes:
        seconds: whole seconds since the Unix epoch, rounded down.
        nanoseconds: the rest, 0 to 999,999,999.
    """

    seconds: int
    nanoseconds: int = 0

    @property
    def unix(self) -> float:
        """Seconds since the Unix epoch, for metrics (a float keeps microseconds only)."""
        return self.seconds + self.nanoseconds / 1e9

    def rfc3339(self) -> str:
        """The moment in UTC, in the way in which Go writes it: no trailing zeros in the fraction."""
        day, second = divmod(self.seconds, _SECONDS_PER_DAY)
        date = datetime.date.fromordinal(min(max(day, _FIRST_DAY), _LAST_DAY) + _EPOCH_DAY)
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        fraction = f".{self.nanoseconds:09d}".rstrip("0") if self.nanoseconds else ""
        return f"{date.year:04d}-{date.month:02d}-{date.day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def parse_instant(text: str) -> Instant | None:
    """Reads a moment.

    Args:
        text: RFC 3339, such as `2026-11-23T00:04:23.508617481Z` or `2026-11-23T02:04:23+02:00`.

    Returns:
        The moment, or None for a text that is none; a leap second counts as the second after.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = datetime.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    offset = 0
    if match[9]:
        if int(match[10]) > 23 or int(match[11]) > 59:
            return None
        offset = (int(match[10]) * 3600 + int(match[11]) * 60) * (-1 if match[9] == "-" else 1)
    seconds = days * _SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset
    return Instant(seconds, int((match[7] or "0").ljust(9, "0")[:9]))


def utc_text(text: str) -> str | None:
    """A node's moment as RFC 3339 in UTC, or None for a text that is no moment."""
    instant = parse_instant(text)
    return None if instant is None else instant.rfc3339()
