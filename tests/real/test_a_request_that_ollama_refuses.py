"""A client's own mistake that Ollama answers with 500, a hundred times: it speaks of the request, not of the node."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from real.callers import call
from real.processes import Process
from real.samples import requests_ended, samples, scraped, value

TIMES = 100
AT_ONCE = 8
MISTAKEN = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hello LIMIT 2"}],
    "options": {"num_ctx": "many"},
}
SOUND = {"model": "tiny", "messages": [{"role": "user", "content": "hello LIMIT 2"}]}


@pytest.mark.parametrize("stream", [False, True])
def test_a_mistake_that_ollama_calls_its_own_costs_nobody_else(gateway: Process, stream: bool) -> None:
    """Each of a hundred mistakes is answered 500 in the node's words; among and after them everybody is served.

    The node is up all the time, is asked once for each, and the ledger tells its error from one of the stream.
    """
    before = scraped(gateway.url)

    def mistake(number: int) -> None:
        answer = call(gateway.url, "POST", "/api/chat", {**MISTAKEN, "stream": stream})
        assert answer.status == 500
        assert answer.json() == {"error": 'option "num_ctx" must be of type integer'}
        if number >= TIMES // 2 and number % 10 == 0:
            assert call(gateway.url, "POST", "/api/chat", {**SOUND, "stream": stream}).status == 200

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(mistake, range(TIMES)))
    for model in ("tiny", "thinker"):
        served = call(gateway.url, "POST", "/api/chat", {**SOUND, "model": model})
        assert (served.status, served.whole) == (200, True)
        assert json.loads(served.body.splitlines()[-1])["done"]

    after = scraped(gateway.url)
    ended = requests_ended(after) - requests_ended(before)
    assert ended["POST", "/api/chat", "500"] == TIMES
    assert ended["POST", "/api/chat", "200"] == TIMES // 20 + 2
    for node in call(gateway.url, "GET", "/api/v1/nodes").json()["nodes"]:
        assert (node["status"], node["error"], node["in_flight"]) == ("up", None, 0)
    rows = call(gateway.url, "GET", f"/api/v1/inference/requests?limit={TIMES}").json()["requests"]
    refused = [row for row in rows if row["status"] == 500]
    assert refused
    assert {(row["outcome"], row["error_code"], row["attempts"]) for row in refused} == {
        ("node_error", "node_status_500", 1)
    }
    assert value(samples(after), "http_requests_in_flight") == 0
