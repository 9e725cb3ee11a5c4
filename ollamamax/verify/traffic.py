"""R5, R8 and R9: which requests make which series, and which make none."""

from __future__ import annotations

import random
import secrets
import string

from twisted.internet.defer import Deferred, DeferredList

from ollamamax.caller import Unanswered
from ollamamax.verify.exposition import Labels
from ollamamax.verify.promise import Failed, expect, unknown_model
from ollamamax.verify.server import Server

MODEL_PATTERN = "/api/v1/models/:id"
METRICS_PATHS = ("/metrics", "/metrics.json")

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_RANDOM_REQUESTS = 200
_AT_ONCE = 8
# New series within the check that other users of the server may cause.
_TOLERATED_SERIES = 20
_MEMORY_BYTES = 1_000_000
# One combination of labels of both families: in compact arrays, and as prometheus-client's own objects.
_COMPACT_BYTES, _STOCK_BYTES = 376, 4650
# How many scrapes of /metrics and of /metrics.json are made in each round: numbers that nothing else counts up by.
_SCRAPES = ((3, 5), (4, 9), (2, 7))


async def check_exclusion(server: Server) -> str:
    """R5."""
    suspects: set[tuple[str, Labels]] | None = None
    for metrics, statistics in _SCRAPES:
        moved = await _moved_by_scrapes(server, metrics, statistics)
        suspects = moved if suspects is None else suspects & moved
        if not suspects:
            break
    exposition = await server.scrape()
    named = sorted(set(exposition.values_of("endpoint")) & set(METRICS_PATHS))
    expect(not named, f"expected no series about the metrics themselves, seen endpoint {', '.join(named)}")
    if suspects:
        family, labels = min(suspects)
        shown = ",".join(f'{name}="{value}"' for name, value in labels)
        raise Failed(f"expected scrapes to move nothing, {family}{{{shown}}} counts them")
    before = sum(exposition.counts().values())
    await server.get("/api/v1/health")
    after = await server.scrape_until(lambda now: sum(now.counts().values()) > before)
    expect(sum(after.counts().values()) > before, "expected a request to /api/v1/health to be measured, it is not")
    return ""


async def _moved_by_scrapes(server: Server, metrics: int, statistics: int) -> set[tuple[str, Labels]]:
    """The series that grew by just as much as scrapes were made in between; the first scrape may count itself."""
    before = (await server.scrape()).counts()
    for _ in range(metrics):
        await server.metrics()
    for _ in range(statistics):
        await server.get("/metrics.json")
    after = (await server.scrape()).counts()
    made = {metrics, metrics + 1, statistics, metrics + statistics, metrics + statistics + 1}
    return {series for series, value in after.items() if value - before.get(series, 0.0) in made}


async def check_patterns(server: Server) -> str:
    """R8."""
    model = unknown_model()
    await server.get(f"/api/v1/models/{model}")
    seen = await server.scrape_until(lambda now: MODEL_PATTERN in now.values_of("endpoint"))
    expect(model not in seen.text, f"expected no id in the metrics, seen {model} after GET /api/v1/models/{model}")
    expect(
        MODEL_PATTERN in seen.values_of("endpoint"),
        f'expected endpoint="{MODEL_PATTERN}" after GET /api/v1/models/{model}, there is none',
    )
    return ""


async def check_cardinality(server: Server) -> str:
    """R9."""
    chosen = random.Random(secrets.randbits(64))  # noqa: S311 - for variety, not for secrecy
    mark = f"verify{secrets.token_hex(6)}"
    await _send_random(server, chosen, mark, [*_METHODS, _made_up_method(chosen)])
    before = (await server.scrape()).label_sets()
    methods = [chosen.choice(_METHODS) if index % 2 else _made_up_method(chosen) for index in range(_RANDOM_REQUESTS)]
    answered = await _send_random(server, chosen, mark, methods)
    after = (await server.scrape()).label_sets()
    expect(bool(after), "expected series of the two HTTP families, there are none")
    new = sorted(after - before)
    marked = [value for labels in new for _, value in labels if mark in value or value in set(methods) - set(_METHODS)]
    expect(
        not marked,
        f"expected {answered} random paths and methods to make no series, there are {len(new)} new ones, as for "
        f"{marked[:1]}",
    )
    expect(
        len(new) <= _TOLERATED_SERIES,
        f"expected {answered} random paths and methods to make no series, there are {len(new)} new ones",
    )
    size = len(after) * _COMPACT_BYTES
    expect(size < _MEMORY_BYTES, f"expected less than 1 MB, {len(after)} label sets take at least {size / 1e6:.1f} MB")
    return f"{len(after)} label sets, {size / 1e3:.0f} to {len(after) * _STOCK_BYTES / 1e3:.0f} kB"


def _made_up_method(chosen: random.Random) -> str:
    return "V" + "".join(chosen.choices(string.ascii_uppercase, k=7))


async def _send_random(server: Server, chosen: random.Random, mark: str, methods: list[str]) -> int:
    """Sends each method to a path that no route has, some at once; how many were answered."""
    waiting = list(methods)
    answered = 0

    async def work() -> None:
        nonlocal answered
        while waiting:
            method = waiting.pop()
            depth = chosen.randint(1, 3)
            path = "".join(f"/{mark}{chosen.getrandbits(40):x}" for _ in range(depth))
            try:
                await server.request(method, path)
            except Unanswered:
                continue
            answered += 1

    await DeferredList([Deferred.fromCoroutine(work()) for _ in range(_AT_ONCE)])
    return answered
