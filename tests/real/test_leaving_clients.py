"""Five hundred clients that hang up at random moments, in every dialect: nothing stays behind, and nothing is lost."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest_twisted
from real.callers import call, wait_for
from real.processes import Process, Processes
from real.samples import requests_ended, samples, scraped, value
from real.simulated import PROBED, gateway_before
from real.wire import request
from twisted.internet.threads import deferToThread

from ollamamax.simulator.accounts import Account
from ollamamax.simulator.settings import ModelSpec, SimulatorSettings

CLIENTS = 500
AT_ONCE = 40
SEED = 11
LONGEST_SECONDS = 0.15
MAX_IDLE_PER_NODE = 32
"""How many connections to a node the relay keeps for later."""
# Without the model's own `num_predict`, which would end every text after 48 tokens.
NODE = SimulatorSettings(
    models=(ModelSpec("tiny", parameters=()),),
    load_seconds=0.1,
    prompt_seconds=0.005,
    tokens_per_second=300.0,
    parallel=8,
)

ENDLESS_TOKENS = 3000
"""How long the streams are: no client stays until the end, and a node that is not left would be at work for 10 s."""

Body = Callable[[str], dict[str, Any]]


def said(prompt: str) -> dict[str, Any]:
    """A conversation of one message."""
    return {"messages": [{"role": "user", "content": prompt}]}


BODIES: dict[str, Body] = {
    "/api/chat": said,
    "/api/generate": lambda prompt: {"prompt": prompt},
    "/api/embed": lambda prompt: {"input": [prompt, "another"]},
    "/api/embeddings": lambda prompt: {"prompt": prompt},
    "/api/v1/inference/chat": said,
    "/api/v1/inference/generate": lambda prompt: {"prompt": prompt},
    "/v1/chat/completions": said,
    "/v1/completions": lambda prompt: {"prompt": prompt},
    "/v1/embeddings": lambda prompt: {"input": prompt},
    "/v1/responses": lambda prompt: {"input": prompt},
    "/v1/messages": lambda prompt: {**said(prompt), "max_tokens": 2 * ENDLESS_TOKENS},
    "/v1/audio/transcriptions": lambda prompt: {},
}
TRANSCRIPTIONS = "/v1/audio/transcriptions"
MOMENTS = ("within the body", "at once", "after a while", "with the head", "mid-stream")


@attrs.frozen
class Leaving:
    """One client and when it goes.

    Attributes:
        path: what it asks.
        data: its request.
        moment: of `MOMENTS`.
        seconds: what a while is.
        pieces: how often it reads in the middle of a stream.
        resets: whether it goes by RST, where it has read something, so that its request is known to have come.
    """

    path: str
    data: bytes
    moment: str
    seconds: float
    pieces: int
    resets: bool


def form() -> bytes:
    """A form with a recording."""
    parts = [
        b'Content-Disposition: form-data; name="model"\r\n\r\ntiny',
        b'Content-Disposition: form-data; name="prompt"\r\n\r\nLIMIT 24',
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        + bytes(5000),
    ]
    return b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"


def leaving_clients(random: Random) -> list[Leaving]:
    """As many of each route as of any other, streaming and not, at every moment."""
    clients = []
    for number in range(CLIENTS):
        path = list(BODIES)[number % len(BODIES)]
        if path == TRANSCRIPTIONS:
            kind, body = "multipart/form-data; boundary=edge", form()
        else:
            stream = random.random() < 0.6
            prompt = f"hello LIMIT {ENDLESS_TOKENS if stream else 24}"
            document = {"model": "tiny", **BODIES[path](prompt), "stream": stream}
            kind, body = "application/json", json.dumps(document).encode()
        clients.append(
            Leaving(
                path,
                request("POST", path, body, headers=[("Content-Type", kind)], host="localhost", close=False),
                random.choice(MOMENTS),
                random.uniform(0, LONGEST_SECONDS),
                random.randint(1, 12),
                random.random() < 0.5,
            )
        )
    random.shuffle(clients)
    return clients


def go(url: str, client: Leaving) -> None:
    """Asks, and hangs up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        if client.moment == "within the body":
            head = client.data.index(b"\r\n\r\n") + 4
            connection.sendall(client.data[: head + 5])
            time.sleep(client.seconds / 4)
            return
        connection.sendall(client.data)
        if client.moment == "at once":
            return
        if client.moment == "after a while":
            time.sleep(client.seconds)
            return
        connection.recv(200)
        if client.moment == "mid-stream":
            # An answer that is all there by then has no further pieces; its connection stays.
            connection.settimeout(client.seconds + 0.001)
            with suppress(TimeoutError):
                for _ in range(client.pieces):
                    connection.recv(200)
        if client.resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def connections_to(url: str) -> Counter[str]:
    """The states of the connections to a port of loopback, as the kernel numbers them: 01 is established."""
    port = urlsplit(url).port
    states: Counter[str] = Counter()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, *_ = line.split()
        if remote == f"0100007F:{port:04X}":
            states[state] += 1
    return states


def rows(gateway: Process) -> list[dict[str, Any]]:
    """All rows of the ledger."""
    found: list[dict[str, Any]] = []
    while True:
        page = call(gateway.url, "GET", f"/api/v1/inference/requests?limit=200&offset={len(found)}").json()
        found += page["requests"]
        if len(found) >= page["pagination"]["total"]:
            return found


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_five_hundred_clients_that_hang_up_leave_nothing_behind(processes: Processes) -> None:
    """Each is counted once and has one row with its outcome; nothing is in flight and no node is kept at work.

    The node's connections are closed but for those that wait for their next request, and it serves that one at once.
    """
    clients = leaving_clients(Random(SEED))
    made = Counter(client.path for client in clients)
    async with gateway_before(NODE, processes) as (gateway, simulator):

        def carried() -> list[Account]:
            return [account for account in simulator.accounts if account.path not in PROBED]

        def hang_up() -> None:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda client: go(gateway.url, client), clients))

        def settled() -> str:
            def is_settled() -> bool:
                text = scraped(gateway.url)
                return counted(text) >= made.total() and value(samples(text), "http_requests_in_flight") == 0

            wait_for(is_settled)
            wait_for(lambda: all(account.outcome != "open" for account in carried()))
            (node,) = call(gateway.url, "GET", "/api/v1/nodes").json()["nodes"]
            assert node["in_flight"] == 0
            return scraped(gateway.url)

        def counted(text: str) -> int:
            return sum(number for (_, path, _), number in requests_ended(text).items() if path in BODIES)

        await deferToThread(hang_up)
        text = await deferToThread(settled)
        assert {account.outcome for account in carried()} == {"client_left", "finished"}
        assert max(account.tokens for account in carried()) < ENDLESS_TOKENS
        states = connections_to(simulator.url)
        assert states["01"] <= MAX_IDLE_PER_NODE
        assert set(states) <= {"01", "06"}
        found = await deferToThread(rows, gateway)
        answer = await deferToThread(
            call, gateway.url, "POST", "/api/chat", {"model": "tiny", **said("hello LIMIT 2"), "stream": False}
        )
        served = carried()[-1]
        log = gateway.text()

    ended = requests_ended(text)
    assert made == {path: sum(number for (_, each, _), number in ended.items() if each == path) for path in BODIES}
    gone = sum(number for (_, path, status), number in ended.items() if path in BODIES and status == "499")
    assert gone > CLIENTS / 3
    assert Counter(row["endpoint"] for row in found) == made
    outcomes = Counter(row["outcome"] for row in found)
    assert all(row["finished_at"] for row in found)
    assert set(outcomes) <= {"client_disconnected", "success", "length"}
    told = sum(number for (name, _), number in samples(text, "ollamamax_http_client_disconnects_total").items())
    assert outcomes["client_disconnected"] == told
    assert answer.status == 200
    assert served.slot_seconds is not None
    assert served.slot_seconds < 0.05
    assert "Traceback" not in log
