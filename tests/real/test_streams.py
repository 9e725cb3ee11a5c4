"""Long bodies in both directions, clients that are slow or leave, and the end of the process, with real sockets."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from real.processes import Process, Processes
from real.raw_node import RawNode, raw_node

MEGABYTE = 1_000_000
GROWTH_BYTES = 10 * MEGABYTE
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}


def raw_chat(gateway: Process) -> socket.socket:
    """A socket on which a chat has been asked for, and nothing read."""
    parts = urlsplit(gateway.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
    body = json.dumps(CHAT).encode()
    connection.sendall(
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    return connection


def steady(read: object, seconds: float = 0.5) -> float:
    """A number once it has not changed for a while."""
    value = read()  # type: ignore[operator]
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        now = read()  # type: ignore[operator]
        if now != value:
            value, since = now, time.monotonic()
    return float(value)


def wait_for(condition: object, seconds: float = 20.0) -> None:
    """Waits for something that is bound to happen."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def node() -> Iterator[RawNode]:
    """The node of the gateway that tests share; each sets how it streams."""
    with raw_node() as node:
        yield node


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, node: RawNode) -> Process:
    """The gateway of the tests after which it goes on."""
    return shared_processes.gateway(f"--node=raw={node.url}")


def test_a_slow_reader_of_a_long_stream_costs_little_memory(gateway: Process, node: RawNode) -> None:
    """While a client does not read, its node is made to wait; read to its end, the stream is whole."""
    node.stream_bytes, node.line_seconds, node.sent_bytes = 200 * MEGABYTE, 0.0, 0
    before = gateway.resident_bytes()
    with raw_chat(gateway) as client:
        stalled_at = steady(lambda: node.sent_bytes)
        assert 0 < stalled_at < 50 * MEGABYTE
        grown = gateway.resident_bytes() - before
        received = 0
        tail = b""
        while piece := client.recv(1 << 20):
            received += len(piece)
            tail = (tail + piece)[-200:]
            if tail.endswith(b"0\r\n\r\n"):
                break
        assert received > 200 * MEGABYTE
        assert b'"done":true' in tail
    most = max(grown, gateway.resident_bytes() - before)
    print(f"memory grew by {most / MEGABYTE:.1f} MB over a stream of 200 MB")  # noqa: T201 - a figure, for those who ask with -s
    assert most < GROWTH_BYTES


def test_a_large_blob_streams_through(gateway: Process, node: RawNode) -> None:
    """A blob of 1 GB, a hundred times what the process may grow by, reaches the node whole, without being held here."""
    size = 1024**3
    piece = bytes(1 << 20)
    before = gateway.resident_bytes()
    parts = urlsplit(gateway.url)
    most = 0
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as client:
        client.sendall(
            b"POST /api/blobs/sha256:%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (b"0" * 64, size)
        )
        for number in range(size // len(piece)):
            client.sendall(piece)
            if number % 64 == 0:
                most = max(most, gateway.resident_bytes() - before)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert node.uploaded_bytes == size
    most = max(most, gateway.resident_bytes() - before)
    print(f"memory grew by {most / MEGABYTE:.1f} MB over a blob of 1 GB")  # noqa: T201 - a figure, for those who ask with -s
    assert most < GROWTH_BYTES


def test_a_client_that_leaves_mid_stream_frees_its_node(gateway: Process, node: RawNode) -> None:
    """The node's connection is closed when the client's is; the request is counted as 499."""
    node.stream_bytes, node.line_seconds = None, 0.01
    node.left.clear()
    with raw_chat(gateway) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        left_at = time.monotonic()
    assert node.left.wait(20)
    assert node.left_at is not None
    print(f"the node's connection was found closed {1000 * (node.left_at - left_at):.0f} ms after the client left")  # noqa: T201 - a figure, for those who ask with -s
    wait_for(lambda: 'http_requests_total{endpoint="/api/chat",method="POST",status="499"} 1.0' in metrics(gateway))
    text = metrics(gateway)
    assert 'ollamamax_http_client_disconnects_total{endpoint="/api/chat",phase="mid_stream"} 1.0' in text
    assert "http_requests_in_flight 0.0" in text
    row = httpx.get(f"{gateway.url}/api/v1/inference/requests").json()["requests"][0]
    assert (row["outcome"], row["status"]) == ("client_disconnected", 200)


def test_termination_lets_running_streams_finish(processes: Processes) -> None:
    """SIGTERM with ten streams running: all ten end whole, the status is 0, the ledger has ten finished rows."""
    simulator = processes.simulator("--load-seconds=0", "--tokens-per-second=20", "--parallel=10")
    gateway = processes.gateway(f"--node=sim={simulator.url}")
    texts: list[str] = []
    begun = threading.Semaphore(0)

    def read() -> None:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "LIMIT 30"}]}
        with httpx.stream("POST", f"{gateway.url}/api/chat", json=body, timeout=30) as response:
            lines = response.iter_lines()
            text = next(lines)
            begun.release()
            for line in lines:
                text = line
        texts.append(text)

    threads = [threading.Thread(target=read) for _ in range(10)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=20)
    gateway.signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    assert gateway.wait() == 0
    assert len(texts) == 10
    assert all(json.loads(text)["done"] for text in texts)
    (database,) = gateway.directory.rglob("ollamamax.db")
    rows = sqlite3.connect(database).execute("select outcome, finished_at is not null from requests").fetchall()
    assert rows == [("success", 1)] * 10


def test_the_grace_ends_in_an_error_frame(processes: Processes) -> None:
    """A stream that outlasts the grace ends with an error line and without its terminating chunk; the status is 0."""
    with raw_node(stream_bytes=None, line_seconds=0.02) as node:
        gateway = processes.gateway(f"--node=raw={node.url}", environ={"OLLAMAMAX_DRAIN_SECONDS": "0.3"})
        with raw_chat(gateway) as client:
            received = client.recv(1000)
            gateway.signal(signal.SIGTERM)
            while piece := client.recv(1 << 16):
                received += piece
        assert gateway.wait() == 0
        assert b'{"error":"the gateway is shutting down"}' in received.replace(b": ", b":")
        assert not received.endswith(b"0\r\n\r\n")


def metrics(gateway: Process) -> str:
    """What a scrape shows."""
    return httpx.get(f"{gateway.url}/metrics").text
