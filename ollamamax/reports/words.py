"""Figures and moments as people read them, and names that a terminal can be shown. Pure."""

from __future__ import annotations

import unicodedata
from datetime import datetime, tzinfo

_NOTHING = "-"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def shown(value: object) -> str:
    """Text without what a terminal would obey (names come from clients); a dash for None."""
    if value is None:
        return _NOTHING
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def count(value: int | None) -> str:
    """A number with its thousands apart; a dash for None."""
    return _NOTHING if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """A duration in one or two units; a dash for None."""
    if seconds is None:
        return _NOTHING
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} m"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02} h"


def local_time(text: str | None, zone: tzinfo | None = None) -> str:
    """A moment of an answer, in RFC 3339, to the second and with the offset of a zone; a dash for None.

    Args:
        text: the moment.
        zone: the zone; None for that of this machine.
    """
    if text is None:
        return _NOTHING
    return datetime.fromisoformat(text).astimezone(zone).isoformat(" ", "seconds")
