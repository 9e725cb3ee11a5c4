"""R6, R7 and R11: what the metrics routes and the first routes of the API answer with."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ollamamax.verify.exposition import Exposition
from ollamamax.verify.promise import Failed, expect, unknown_model
from ollamamax.verify.server import Server

_TEXT_FORMAT = re.compile(r"text/plain;\s*version=(0\.0\.4|1\.0\.0)\b")


async def check_text_format(server: Server) -> str:
    """R6."""
    answer = await server.metrics()
    expect(answer.status == 200, f"expected GET /metrics to answer 200, seen {answer.status}")
    known = _TEXT_FORMAT.match(answer.content_type)
    expect(bool(known), f'expected the type text/plain; version=0.0.4, seen "{answer.content_type}"')
    exposition = Exposition.read(answer.body.decode("utf-8", "replace"))
    for line in exposition.unreadable[:1]:
        raise Failed(f"expected the text exposition format, there is a line that is none: {line[:80]!r}")
    expect(bool(exposition.families), "expected metrics, there are none")
    expect(exposition.text.endswith("\n"), "expected the last line to end with a line feed")
    for series in exposition.repeated[:1]:
        raise Failed(f"expected every series once, {series} is there again")
    return ""


async def check_json(server: Server) -> str:
    """R7."""
    answer = await server.get("/metrics.json")
    is_json = answer.status == 200 and answer.content_type.startswith("application/json")
    expect(is_json, f"expected GET /metrics.json to answer 200 application/json, seen {answer.described()}")
    document = answer.json()
    if not isinstance(document, dict):
        raise Failed("expected a JSON object, the body is none")
    database, timestamp = document.get("database"), document.get("timestamp")
    if not isinstance(database, dict):
        raise Failed(f'expected "database" to be an object, seen {database!r:.80}')
    for name in ("connections", "queries_total"):
        count = database.get(name)
        expect(type(count) is int and count >= 0, f'expected "database.{name}" to be a count, seen {count!r:.80}')
    expect(_is_utc(timestamp), f'expected "timestamp" like 2025-10-27T10:30:00Z, seen {timestamp!r:.80}')
    return ""


def _is_utc(timestamp: object) -> bool:
    if not isinstance(timestamp, str) or not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", timestamp):
        return False
    try:
        return datetime.fromisoformat(timestamp).utcoffset() == timedelta(0)
    except ValueError:
        return False


async def check_routes(server: Server) -> str:
    """R11."""
    for path, status in (("/api/v1/health", 200), ("/api/v1/models", 200), (f"/api/v1/models/{unknown_model()}", 404)):
        answer = await server.get(path)
        as_expected = answer.status == status and isinstance(answer.json(), dict)
        expect(as_expected, f"expected GET {path} to answer {status} with a JSON object, seen {answer.described()}")
    return ""
