"""Usage as it is answered: JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from datetime import date

import msgspec

from ollamamax.store.ledger_row import ERRORS, OUTCOMES
from ollamamax.store.usage import Sums, Usage
from ollamamax.web.answers import rfc3339

CSV = b"text/csv; charset=utf-8; header=present"
_AMOUNTS = ("input_tokens", "output_tokens", "cached_tokens", "node_seconds")

_MICROSECONDS = 6
# What a spreadsheet takes for the beginning of a formula, and what it skips before one
# (https://owasp.org/www-community/attacks/CSV_Injection); names come from clients.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def as_json(usage: Usage, now: float) -> bytes:
    """An object with a list of sums, and the sum of these.

    Args:
        usage: what was used.
        now: the present moment in unix seconds, up to which it is told where no end was asked for.
    """
    total = Sums()
    for sums in usage.sums.values():
        total.include(sums)
    return msgspec.json.encode(
        {
            "since": rfc3339(usage.since),
            "until": rfc3339(now if usage.until is None else usage.until),
            "by": usage.by,
            "usage": [_named(usage, key) | _figures(sums) for key, sums in usage.sums.items()],
            "total": _figures(total),
        }
    )


def as_csv(usage: Usage) -> bytes:
    """A line for each sum, after one that names the columns (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*usage.by, "requests", "errors", *OUTCOMES, *_AMOUNTS])
    for key, sums in usage.sums.items():
        figures = _figures(sums)
        outcomes = [sums.outcomes.get(outcome, 0) for outcome in OUTCOMES]
        names = [_harmless(value) for value in _named(usage, key).values()]
        writer.writerow([*names, sums.requests, figures["errors"], *outcomes, *(figures[name] for name in _AMOUNTS)])
    return text.getvalue().encode("utf-8")


def _named(usage: Usage, key: tuple[date | str | None, ...]) -> dict[str, object]:
    texts = (part.isoformat() if isinstance(part, date) else part for part in key)
    return dict(zip(usage.by, texts, strict=True))


def _figures(sums: Sums) -> dict[str, object]:
    return {
        "requests": sums.requests,
        "errors": sum(sums.outcomes.get(outcome, 0) for outcome in ERRORS),
        "outcomes": dict(sorted(sums.outcomes.items())),
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "cached_tokens": sums.cached_tokens,
        "node_seconds": round(sums.node_seconds, _MICROSECONDS),
    }


def _harmless(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
