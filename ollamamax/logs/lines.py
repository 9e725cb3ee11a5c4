"""Lines of a log: text or JSON, one for each thing that is told, whatever is in it.

Pure. What a message holds may come from clients and nodes. So every character that moves a cursor, ends a line or
cannot be seen (control characters of both ranges, separators, directions of writing) is written as an escape sequence
of Python's, in both formats: whoever prints a field of a JSON line prints no terminal's command either.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

_BARE = re.compile(r"[A-Za-z0-9_.:/@+~-]+\Z")


def plain(text: str, keep: str = "") -> str:
    """Text without anything but printable characters, those to keep, and what stands for all others."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def moment(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the millisecond: `2025-10-27T10:30:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def pair(name: str, value: object) -> str:
    """A field as text: `name=value`, the value in quotation marks where it is not one plain word."""
    if isinstance(value, float):
        return f"{name}={value:.3f}"
    shown = str(value)
    return f"{name}={shown if _BARE.match(shown) else json.dumps(plain(shown), ensure_ascii=False)}"


def text_line(time: float, source: str, message: str, traceback: str = "") -> str:
    """A line of text; a traceback follows it in lines that begin with a tab.

    Args:
        time: Unix seconds.
        source: who says it, and how serious it is.
        message: what.
        traceback: of a failure, if it is one.
    """
    lines = [f"{moment(time)} [{plain(source)}] {plain(message)}"]
    lines += [f"\t{plain(line, chr(9))}" for line in traceback.rstrip().split("\n") if traceback]
    return "\n".join(lines) + "\n"


def json_line(
    time: float, *, level: str, logger: str, message: str, fields: Mapping[str, object], traceback: str = ""
) -> str:
    """A line that is one JSON object, in ASCII.

    Args:
        time: Unix seconds.
        level: how serious it is.
        logger: who says it.
        message: what, in words.
        fields: what is said by name; of what is no text, number or truth value, and of None, nothing is written.
        traceback: of a failure, if it is one.
    """
    record: dict[str, object] = {
        "time": moment(time),
        "level": level,
        "logger": plain(logger),
        "message": plain(message),
    }
    for name, value in fields.items():
        if isinstance(value, str):
            record.setdefault(name, plain(value))
        elif isinstance(value, int):
            record.setdefault(name, value)
        elif isinstance(value, float) and math.isfinite(value):
            record.setdefault(name, round(value, 6))
    if traceback:
        record["traceback"] = plain(traceback.rstrip(), "\n\t")
    return json.dumps(record, separators=(",", ":")) + "\n"
