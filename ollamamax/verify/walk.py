"""The walk: is it one of ours at all, then check by check, a line each, and the sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ollamamax.caller import Unanswered, client_of
from ollamamax.verify.checks import CHECKS
from ollamamax.verify.exposition import DURATION, IN_FLIGHT, REQUESTS
from ollamamax.verify.promise import Check, Failed
from ollamamax.verify.server import Server

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

Say = Callable[[str], object]


async def verify(
    reactor: ReactorBase, url: str, headers: Mapping[str, str], say: Say, settle_seconds: float = 2.0
) -> None:
    """Looks at a running server.

    Args:
        reactor: the reactor to run on.
        url: where the server is.
        headers: headers of every request, for a key.
        say: takes the lines.
        settle_seconds: how long a request may take to become visible in the metrics.

    Raises:
        SystemExit: status 1 where a promise is not kept, or there is no such server.
    """
    if not await walk(Server(client_of(reactor), reactor, url, headers, settle_seconds), say):
        raise SystemExit(1)


async def walk(server: Server, say: Say) -> bool:
    """Runs every check and says a line about each; whether all promises are kept."""
    stranger = await _stranger(server)
    if stranger:
        say(f"FAIL {server.url}: {stranger}")
        return False
    failed = [check.number for check in CHECKS if not await _passes(check, server, say)]
    if failed:
        say(f"{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}")
    else:
        say(f"all {len(CHECKS)} checks passed: {server.url}")
    return not failed


async def _passes(check: Check, server: Server, say: Say) -> bool:
    try:
        detail = await check.run(server)
    except (Failed, Unanswered) as failure:
        say(f"FAIL {check.number} {check.promise}: {failure}")
        return False
    say(f"PASS {check.number} {check.promise}" + (f" ({detail})" if detail else ""))
    return True


async def _stranger(server: Server) -> str:
    """Why no check makes sense; empty for a server that at least looks like one of ours."""
    try:
        health = await server.get("/api/v1/health")
        metrics = await server.metrics()
        families = (await server.scrape()).families
    except Unanswered as failure:
        return str(failure)
    if 401 in (health.status, metrics.status):
        return "it wants a key; expected one in OLLAMAMAX_API_KEY"
    if not isinstance(health.json(), dict) and not families.keys() & {REQUESTS, DURATION, IN_FLIGHT}:
        return f"this is no OllamaMax: GET /api/v1/health gave {health.described()}, and /metrics has no http_* metrics"
    return ""
