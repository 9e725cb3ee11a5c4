"""Long uploads, and the end of the process with streams running, with real sockets."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
from contextlib import closing
from urllib.parse import urlsplit

import httpx
from real.processes import Process, Processes
from real.raw_node import raw_node

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


def test_a_large_blob_streams_through(processes: Processes) -> None:
    """A blob of 1 GB, a hundred times what the process may grow by, reaches the node whole, without being held here."""
    with raw_node() as node:
        gateway = processes.gateway(f"--node=raw={node.url}")
        size = 1024**3
        piece = bytes(1 << 20)
        before = gateway.resident_bytes()
        parts = urlsplit(gateway.url)
        most = 0
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as client:
            client.sendall(
                b"POST /api/blobs/sha256:%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                % (b"0" * 64, size)
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
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("select outcome, finished_at is not null from requests").fetchall()
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
