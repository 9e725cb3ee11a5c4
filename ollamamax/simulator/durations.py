"""Go's spelling of durations and instants. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

MOST_SECONDS = (2**63 - 1) / 1e9
"""Go's longest duration, 292 years: what Ollama takes for ever."""
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parsed_duration(text: str) -> float:
    """Seconds of a text such as `1h15m30.5s` (`time.ParseDuration`).

    Raises:
        ValueError: in Go's words.
    """
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {quoted}")
    total = 0.0
    while rest:
        term = _TERM.match(rest)
        if term is None:
            raise ValueError(f"time: invalid duration {quoted}")
        number, unit = term.groups()
        if not unit:
            raise ValueError(f"time: missing unit in duration {quoted}")
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration {quoted}')
        total += float(number) * _UNITS[unit]
        rest = rest[term.end() :]
    return -total if text.startswith("-") else total


def keep_alive_seconds(value: object) -> float:
    """Seconds of a `keep_alive` as JSON gives it; infinite for a negative one (`api.Duration`).

    Raises:
        ValueError: in Go's words.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = {bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}[type(value)]
        raise ValueError(f"Unsupported type: '{kind}'")  # noqa: TRY004 - what callers turn into an answer
    seconds = parsed_duration(value) if isinstance(value, str) else float(value)
    return math.inf if seconds < 0 else seconds


def nanoseconds(seconds: float) -> int:
    """A duration as usage tells it."""
    return round(seconds * 1e9)


def instant(unix: float) -> str:
    """A point in time as Go writes it in JSON: RFC 3339, UTC, up to nine decimals without trailing zeros."""
    total = int(Decimal(repr(unix)) * 1_000_000_000)
    whole, fraction = divmod(total, 1_000_000_000)
    text = (_EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}".rstrip("0")
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"
