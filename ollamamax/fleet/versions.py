"""Ollama's versions in their order (semantic versioning 2.0.0, section 11)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_DIGITS = re.compile(r"(\d+)", re.ASCII)

VersionKey = tuple[tuple[int, int, int], int, tuple[tuple[int, int, str], ...]]


def version_key(version: str) -> VersionKey | None:
    """What versions are compared by.

    A release comes after its own candidates. Runs of digits inside a candidate's name count as numbers, so that
    `rc10` comes after `rc9`, which is how Ollama numbers them.

    Args:
        version: as `/api/version` gives it, such as `0.33.0` or `0.33.0-rc1`.

    Returns:
        A key, smaller for an older version; None for a text that is no version.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    numbers = (int(match[1]), int(match[2]), int(match[3] or 0))
    if match[4] is None:
        return numbers, 1, ()
    parts = (part for part in _DIGITS.split(match[4]) if part)
    return numbers, 0, tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def lowest(versions: Iterable[str]) -> str | None:
    """The oldest of some versions, which says what every node can do.

    Args:
        versions: as nodes gave them; what is no version (a private build, say) counts only where there is nothing else.

    Returns:
        One of them, as it was given, or None where there are none.
    """
    known: list[tuple[VersionKey, str]] = []
    unknown: list[str] = []
    for version in versions:
        key = version_key(version)
        if key is None:
            unknown.append(version)
        else:
            known.append((key, version))
    if known:
        return min(known)[1]
    return min(unknown, default=None)
