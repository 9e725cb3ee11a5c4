"""The settings in force that decide who may call, who is believed, and what is kept of whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from real.callers import call, wait_for
from real.observed_settings import observes
from real.processes import Process, Processes
from real.raw_node import RawNode, raw_node

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
FORWARDED = (("X-Forwarded-For", "203.0.113.9"), ("X-Request-Id", "theirs-1"))
OPEN_FILE = """
allowed_hosts = ["gateway.example.org"]
trusted_networks = ["127.0.0.0/8"]
"""
OPEN_VARIABLES = {
    "OLLAMAMAX_ALLOWED_ORIGINS": "https://chat.example.org, https://other.example.org",
    "OLLAMAMAX_CLIENT_ADDRESS": "prefix",
}


class Servers(NamedTuple):
    """Three servers before the same node.

    Attributes:
        default: lets in and believes whom it does by default.
        open: lets in and believes others too, and keeps a prefix of an address.
        silent: keeps no address.
    """

    default: Process
    open: Process
    silent: Process


@pytest.fixture(scope="module")
def node() -> Iterator[RawNode]:
    """The node of all servers."""
    with raw_node() as node:
        yield node


@pytest.fixture(scope="module")
def servers(shared_processes: Processes, node: RawNode, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    """The servers, ready."""
    file = tmp_path_factory.mktemp("clients") / "open.toml"
    file.write_text(OPEN_FILE)
    option = f"--node=raw={node.url}"
    started = Servers(
        shared_processes.gateway(option, ready=False),
        shared_processes.gateway(option, f"--config={file}", environ=OPEN_VARIABLES, ready=False),
        shared_processes.gateway(option, environ={"OLLAMAMAX_CLIENT_ADDRESS": "off"}, ready=False),
    )
    for server in started:
        server.wait_ready()
    return started


def account(server: Process, headers: tuple[tuple[str, str], ...] = ()) -> Mapping[str, object]:
    """What the ledger keeps of a chat."""
    answer = call(server.url, "POST", "/api/chat", CHAT, headers=headers)
    assert answer.status == 200
    path = f"/api/v1/inference/requests/{answer.headers['x-request-id']}"
    wait_for(lambda: call(server.url, "GET", path).json().get("finished_at"))
    kept: Mapping[str, object] = call(server.url, "GET", path).json()
    return kept


@observes("allowed_hosts")
def test_a_host_is_let_in_where_it_is_allowed(servers: Servers) -> None:
    """The same Host gets 403 by default, and an answer where it is listed."""
    answers = [call(server.url, "GET", "/", host="gateway.example.org") for server in servers]
    assert [answer.status for answer in answers] == [403, 200, 403]


@observes("allowed_origins")
@pytest.mark.parametrize("origin", ["https://chat.example.org", "https://other.example.org"])
def test_a_page_is_let_in_where_its_origin_is_allowed(servers: Servers, origin: str) -> None:
    """The same Origin gets 403 by default; where it is listed, an answer that its page may read."""
    answers = [call(server.url, "GET", "/api/tags", headers=[("Origin", origin)]) for server in servers]
    assert [answer.status for answer in answers] == [403, 200, 403]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [None, origin, None]


@observes("trusted_networks")
def test_a_peer_is_believed_where_its_network_is_trusted(servers: Servers) -> None:
    """For whom it calls, and under which id, is kept only where loopback is trusted."""
    by_default, believed = account(servers.default, FORWARDED), account(servers.open, FORWARDED)
    assert (by_default["client_address"], by_default["client_request_id"]) == ("127.0.0.1", None)
    assert (believed["client_address"], believed["client_request_id"]) == ("203.0.113.0/24", "theirs-1")


@observes("client_address")
def test_as_much_of_an_address_is_kept_as_is_wanted(servers: Servers) -> None:
    """All of it by default; its network with `prefix`; nothing with `off`."""
    kept = [account(server)["client_address"] for server in servers]
    assert kept == ["127.0.0.1", "127.0.0.0/24", None]
