"""The parameters of a query: each read as what it should be, or refused by its name with what was expected.

Pure. Of several values of a parameter that may have one, the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches

import attrs

from ollamamax.errors import RequestRejected

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])\Z")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
# A plus sign that was not encoded arrives as a space, and nothing else can stand there.
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r"(?:[Zz]|([+ -])([0-9]{2}:[0-9]{2}))\Z"
)
_LAST_YEAR = 9000
MOMENT_FORM = "a time as 2025-10-27T10:30:00Z or 2025-10-27, or a time ago as 90s, 15m, 24h, 30d, 2w"

_SHOWN = 40


@attrs.frozen
class Parameters:
    """The parameters of one request.

    Attributes:
        given: every value of each, as Twisted reads them.
    """

    given: Mapping[bytes, Sequence[bytes]]

    def allow(self, *names: str) -> None:
        """Refuses what has none of these names.

        Raises:
            RequestRejected: the text tells what there is.
        """
        for name in self.given:
            text = name.decode("utf-8", "replace")
            if text not in names:
                near = get_close_matches(text, names, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else ""
                expected = ", ".join(names)
                raise RequestRejected(f'unknown parameter "{_short(text)}"{hint}; expected any of {expected}')

    def texts(self, name: str, prepare: Callable[[str], str] = str) -> tuple[str, ...]:
        """All values of a parameter of which one will do; empty where it is not given.

        Args:
            name: the parameter's.
            prepare: makes of a value what is looked for.

        Raises:
            RequestRejected: one is empty, or no UTF-8.
        """
        return tuple(prepare(self._decoded(name, value)) for value in self.given.get(name.encode("ascii"), ()))

    def choices(self, name: str, known: Sequence[str]) -> tuple[str, ...]:
        """As `texts`, of which each is one that is known."""
        expected = f"one of {', '.join(known)}"
        return tuple(self._checked(name, value, known.__contains__, expected) for value in self.texts(name))

    def choice(self, name: str, known: Sequence[str]) -> str | None:
        """The last of `choices`; None where it is not given."""
        found = self.choices(name, known)
        return found[-1] if found else None

    def listed(self, name: str, known: Sequence[str]) -> tuple[str, ...] | None:
        """The values of a parameter that are separated by commas, each once; it may be given and be empty."""
        values = self.given.get(name.encode("ascii"))
        if values is None:
            return None
        parts = [part.strip() for value in values for part in value.decode("utf-8", "replace").split(",")]
        expected = f"any of {', '.join(known)}, separated by commas"
        return tuple(self._checked(name, part, known.__contains__, expected) for part in dict.fromkeys(parts) if part)

    def moment(self, name: str, now: float) -> float | None:
        """A moment in unix seconds; None where it is not given.

        Args:
            name: the parameter's.
            now: the moment from which a time ago is counted.
        """
        found = self.texts(name)
        if not found:
            return None
        moment = _moment(found[-1], now)
        if moment is None:
            raise _refused(name, MOMENT_FORM)
        return moment

    def _decoded(self, name: str, value: bytes) -> str:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise _refused(name, "a text in UTF-8 that is not empty")
        return text

    def _checked(self, name: str, value: str, is_good: Callable[[str], bool], expected: str) -> str:
        if not is_good(value):
            raise _refused(name, expected)
        return value


def status_range(text: str) -> tuple[int, int] | None:
    """The statuses that `404` or `4xx` stands for, the first and the last; None for another text."""
    if re.fullmatch(r"[1-5][0-9]{2}", text, re.ASCII):
        return int(text), int(text)
    if re.fullmatch(r"[1-5]xx", text, re.ASCII | re.IGNORECASE):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    return None


def prefers_csv(accept: str) -> bool:
    """Whether an `Accept` names `text/csv`, and wants it no less than JSON (RFC 9110, section 12.5.1)."""
    qualities: dict[str, float] = {}
    for element in accept.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        weights = [part[2:] for part in parameters if part.startswith("q=")]
        try:
            qualities[name] = float(weights[0]) if weights else 1.0
        except ValueError:
            continue
    csv = qualities.get("text/csv", 0.0)
    return csv > 0 and csv >= qualities.get("application/json", 0.0)


def _moment(text: str, now: float) -> float | None:
    ago = _DURATION.match(text)
    if ago is not None:
        return max(0.0, now - int(ago[1]) * _UNIT_SECONDS[ago[2]])
    instant = _INSTANT.match(text)
    if instant is not None:
        sign, offset = instant[3], instant[4]
        zone = "+00:00" if sign is None else ("-" if sign == "-" else "+") + offset
        text = f"{instant[1]}T{instant[2]}{zone}"
    elif not _DATE.match(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        moment = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return moment if moment >= 0 and found.year < _LAST_YEAR else None


def _refused(name: str, expected: str) -> RequestRejected:
    return RequestRejected(f"{name}: expected {expected}")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
