"""What a running server's metrics tell of inference that no row of the ledger does.

That they agree with the ledger in everything else is seen over a long run, in test_truth.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from real.callers import wait_for
from real.processes import Process, Processes
from real.samples import samples, scraped, value

MODEL = "tiny:latest"
MESSAGES = [{"role": "user", "content": "hello LIMIT 12"}]
CHAT = {"model": "tiny", "messages": MESSAGES}
ALIENS = 100
COLD = "ollamamax_inference_cold_starts_total"
IN_FLIGHT = "ollamamax_inference_in_flight"
LOADS = "ollamamax_inference_load_duration_seconds"
REQUESTS = "ollamamax_inference_requests_total"
OVERHEAD = "ollamamax_gateway_overhead_seconds"
_EXEMPLAR = re.compile(
    r'(?P<name>\w+)_bucket\{le="(?P<le>[^"]+)",.*\} \S+ # \{request_id="(?P<id>[^"]+)"\} (?P<value>\S+) (?P<at>\S+)'
)
_COLUMNS = {
    "ollamamax_inference_duration_seconds": "duration_seconds",
    "ollamamax_inference_time_to_first_token_seconds": "first_token_seconds",
}


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes) -> Process:
    """A server before a node that needs 0.3 s for a load."""
    node = shared_processes.simulator("--load-seconds=0.3", "--tokens-per-second=400")
    # On a busy machine a probe takes its time, which must not count here.
    return shared_processes.gateway(f"--node=node={node.url}", environ={"OLLAMAMAX_PROBE_TIMEOUT_SECONDS": "60"})


def ask(gateway: Process, path: str, body: dict[str, Any]) -> httpx.Response:
    """A request."""
    return httpx.post(gateway.url + path, json=body, timeout=60)


def row_of(gateway: Process, identifier: str) -> dict[str, Any]:
    """The row of a request."""
    found: dict[str, Any] = httpx.get(f"{gateway.url}/api/v1/inference/requests/{identifier}").json()
    return found


def test_cold_starts_of_both_apis(gateway: Process) -> None:
    """The first request after a start and after an unload waits for the load, whichever API it calls; no other does."""
    unload = {"model": "tiny", "keep_alive": 0}
    counts = []
    for path, body in (
        ("/api/chat", CHAT),
        ("/api/chat", CHAT),
        ("/api/generate", unload),
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT),
    ):
        assert ask(gateway, path, body).status_code == 200
        counts.append(value(samples(scraped(gateway.url)), COLD, model=MODEL))
    assert counts == [1, 1, 1, 2, 2]
    # An answer of /v1 does not tell how long its load took.
    assert value(samples(scraped(gateway.url)), f"{LOADS}_count", model=MODEL) == 1


def test_exemplars_lead_to_their_requests(gateway: Process) -> None:
    """Each names a request whose row has the value that it tells, in the bucket where it stands."""
    ask(gateway, "/v1/chat/completions", CHAT | {"stream": True})
    response = httpx.get(f"{gateway.url}/metrics", headers={"Accept": "application/openmetrics-text"})
    found = [match for line in response.text.splitlines() if (match := _EXEMPLAR.fullmatch(line))]
    assert {match["name"] for match in found} == set(_COLUMNS)
    for match in found:
        row = row_of(gateway, match["id"])
        assert row[_COLUMNS[match["name"]]] == pytest.approx(float(match["value"]))
        assert float(match["value"]) <= float(match["le"])


def test_the_gateways_own_time_is_a_small_part(gateway: Process) -> None:
    """It is there for each request that was answered, and is less than what its client waited."""
    before = samples(scraped(gateway.url))
    identifiers = [ask(gateway, path, CHAT).headers["X-Request-Id"] for path in ("/api/chat", "/v1/chat/completions")]
    after = samples(scraped(gateway.url))
    count, own = (
        value(after, f"{OVERHEAD}_{part}", operation="chat") - value(before, f"{OVERHEAD}_{part}", operation="chat")
        for part in ("count", "sum")
    )
    assert count == 2
    assert 0 < own < sum(row_of(gateway, identifier)["duration_seconds"] for identifier in identifiers)


def test_in_flight_while_a_stream_runs(gateway: Process) -> None:
    """A stream is in flight until its client has gone, which is an end that no duration tells of."""
    body = {"model": "tiny", "prompt": "STALL 3"}
    with httpx.stream("POST", f"{gateway.url}/api/generate", json=body, timeout=60) as stream:
        pieces = stream.iter_raw()  # it has to live on: its end is that of the connection
        next(pieces)
        assert value(samples(scraped(gateway.url)), IN_FLIGHT, model=MODEL) == 1
    wait_for(lambda: value(samples(scraped(gateway.url)), IN_FLIGHT, model=MODEL) == 0)
    found = samples(scraped(gateway.url))
    assert value(found, "ollamamax_usage_missing_total", reason="aborted") == 1
    assert value(found, "ollamamax_inference_duration_seconds_count", model=MODEL, operation="generate") == 0


def test_alien_models_make_no_series(gateway: Process) -> None:
    """A hundred names of no model are one series, which is there after the first."""
    with httpx.Client() as client:

        def ask_for(number: int) -> None:
            body = CHAT | {"model": f"alien-{number}"}
            assert client.post(f"{gateway.url}/api/chat", json=body).status_code == 404

        ask_for(0)
        before = samples(scraped(gateway.url))
        for number in range(1, ALIENS):
            ask_for(number)
    after = samples(scraped(gateway.url))
    assert {series for series in after.keys() - before.keys() if not series[0].startswith("db_")} == set()
    assert value(after, REQUESTS, model="other", operation="chat", outcome="client_error") == ALIENS
