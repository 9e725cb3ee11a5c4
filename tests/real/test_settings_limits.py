"""The settings `limits` in force: the same bytes to a server with the defaults and to one with tighter limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from real.callers import Caller, chat_request, wait_for
from real.observed_settings import observes
from real.processes import Process, Processes
from real.raw_node import RawNode, raw_node
from real.wire import request

BLOB = "/api/blobs/sha256:" + "0" * 64
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
TIGHT_FILE = """
[limits]
body_memory_bytes = "10 KB"
max_blob_bytes = 1000
max_headers = 10
head_timeout_seconds = 1
min_body_bytes_per_second = "100 KB"
"""
TIGHT_VARIABLES = {
    "OLLAMAMAX_LIMITS_MAX_BODY_BYTES": "5000",
    "OLLAMAMAX_LIMITS_MAX_HEAD_BYTES": "2 KiB",
    "OLLAMAMAX_LIMITS_KEEP_ALIVE_SECONDS": "1",
}


class Servers(NamedTuple):
    """Two servers before the same node.

    Attributes:
        default: with the limits that nobody has set.
        tight: with tighter ones.
    """

    default: Process
    tight: Process


@pytest.fixture(scope="module")
def node() -> Iterator[RawNode]:
    """The node of both servers."""
    with raw_node() as node:
        yield node


@pytest.fixture(scope="module")
def servers(shared_processes: Processes, node: RawNode, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    """The two servers, ready."""
    file: Path = tmp_path_factory.mktemp("limits") / "tight.toml"
    file.write_text(TIGHT_FILE)
    option = f"--node=raw={node.url}"
    started = Servers(
        shared_processes.gateway(option, ready=False),
        shared_processes.gateway(option, f"--config={file}", environ=TIGHT_VARIABLES, ready=False),
    )
    for server in started:
        server.wait_ready()
    return started


def chat(length: int) -> bytes:
    """The bytes of a chat with so many characters and a few members around them."""
    return chat_request("tiny", content="x" * length)


def status(server: Process, data: bytes) -> int:
    """The status of the answer to these bytes."""
    with Caller(server.url) as caller:
        caller.send(data)
        return caller.answer().status


@observes("limits.max_body_bytes")
def test_a_body_above_the_limit_is_refused(servers: Servers) -> None:
    """The same chat of 6 KB is served by default, and 413 where 5,000 are allowed."""
    assert [status(server, chat(6000)) for server in servers] == [200, 413]


@observes("limits.body_memory_bytes")
def test_bodies_share_their_memory(servers: Servers) -> None:
    """Four bodies of which 4,000 bytes have arrived fit by default; within 10 KB two do, and the others get 503."""
    assert arriving_together(servers.default, refusals=0) == [200, 200, 200, 200]
    assert sorted(arriving_together(servers.tight, refusals=2)) == [200, 200, 503, 503]


def arriving_together(server: Process, refusals: int) -> list[int]:
    """The statuses of four chats, none of which is completed before all have begun and so many were refused."""
    data = chat(4500)
    with ExitStack() as closing:
        callers = [closing.enter_context(Caller(server.url)) for _ in range(4)]
        for caller in callers:
            caller.send(data[:-500])
        wait_for(lambda: sum(caller.answered() for caller in callers) >= refusals)
        for caller in callers:
            if not caller.answered():
                caller.send(data[-500:])
        return [caller.answer().status for caller in callers]


@observes("limits.max_blob_bytes")
def test_a_blob_above_the_limit_is_refused(servers: Servers, node: RawNode) -> None:
    """A blob of 2,000 bytes reaches the node by default, where there is no limit; 413 where 1,000 are allowed."""
    blob = request("POST", BLOB, bytes(2000), host="localhost")
    assert [status(server, blob) for server in servers] == [200, 413]
    assert node.uploaded_bytes == 2000


@observes("limits.max_head_bytes")
def test_a_head_above_the_limit_is_refused(servers: Servers) -> None:
    """A head of 3,000 bytes is read by default, and 431 where 2 KiB are allowed."""
    head = HEAD + b"X-Long: %b\r\n\r\n" % (b"x" * 3000)
    assert [status(server, head) for server in servers] == [200, 431]


@observes("limits.max_headers")
def test_more_headers_than_allowed_are_refused(servers: Servers) -> None:
    """Twenty headers are read by default, and 431 where ten are allowed."""
    head = HEAD + b"".join(b"X-%d: x\r\n" % number for number in range(19)) + b"\r\n"
    assert [status(server, head) for server in servers] == [200, 431]


@observes("limits.head_timeout_seconds")
def test_a_head_that_halts_is_given_up(servers: Servers) -> None:
    """Half a head gets 408 after the shorter time; by then the default is still waiting for the rest, and serves it."""
    with Caller(servers.default.url) as patient, Caller(servers.tight.url) as hurried:
        patient.send(HEAD)
        hurried.send(HEAD)
        assert hurried.answer().status == 408
        assert not patient.answered()
        patient.send(b"\r\n")
        assert patient.answer().status == 200


@observes("limits.keep_alive_seconds")
def test_an_idle_connection_is_closed(servers: Servers) -> None:
    """After an answer a connection ends after the shorter time; by then the default serves a second request on it."""
    with Caller(servers.default.url) as patient, Caller(servers.tight.url) as hurried:
        for caller in (patient, hurried):
            caller.send(HEAD + b"\r\n")
            assert caller.answer().status == 200
        assert hurried.read_to_the_end() == b""
        assert not patient.answered()
        patient.send(HEAD + b"\r\n")
        assert patient.answer().status == 200


@observes("limits.min_body_bytes_per_second")
def test_a_body_that_arrives_too_slowly_is_given_up(servers: Servers) -> None:
    """4 KB in the first ten seconds are enough by default, and 408 where 100 KB are asked of each second."""
    data = chat_request("tiny", content="x" * 4500, headers=[("Expect", "100-continue")])
    head, _, body = data.partition(b"\r\n\r\n")
    with Caller(servers.default.url) as patient, Caller(servers.tight.url) as hurried:
        for caller in (patient, hurried):
            caller.send(head + b"\r\n\r\n")
            caller.read_until(b"100 Continue\r\n\r\n")
            caller.send(body[:4000])
        assert hurried.answer().status == 408
        assert not patient.answered()
        patient.send(body[4000:])
        assert patient.answer().status == 200
