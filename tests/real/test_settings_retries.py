"""The settings `retries` in force.

Servers stand before two nodes; the first one reads a chat whole and closes its connection without a word. Whether the
second one is asked is up to the settings.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from real.callers import call
from real.observed_settings import observes
from real.processes import Processes
from real.raw_node import RawNode, raw_node

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
VARIABLES = {
    "default": {},
    "held": {"OLLAMAMAX_RETRIES_UNSTARTED": "false"},
    "no-minimum": {"OLLAMAMAX_RETRIES_BUDGET_MINIMUM": "0"},
    "whole-ratio": {"OLLAMAMAX_RETRIES_BUDGET_MINIMUM": "0", "OLLAMAMAX_RETRIES_BUDGET_RATIO": "1"},
}


class DyingNode(RawNode):
    """Dies with every chat."""

    def _stream(self, connection: socket.socket) -> None:
        raise ConnectionResetError


@pytest.fixture(scope="module")
def ends(shared_processes: Processes) -> Iterator[dict[str, tuple[int, int]]]:
    """The status of one chat, and how many nodes were asked, by server."""
    dying = DyingNode()
    with raw_node() as living:
        nodes = (f"--node=dying={dying.url}", f"--node=living={living.url}")
        servers = {
            name: shared_processes.gateway(*nodes, environ=environ, ready=False) for name, environ in VARIABLES.items()
        }
        found = {}
        for name, server in servers.items():
            server.wait_ready()
            status = call(server.url, "POST", "/api/chat", CHAT).status
            (row,) = call(server.url, "GET", "/api/v1/inference/requests").json()["requests"]
            found[name] = (status, row["attempts"])
        yield found
    dying.close()


@observes("retries.unstarted")
def test_whether_a_request_that_its_node_had_is_tried_elsewhere(ends: dict[str, tuple[int, int]]) -> None:
    """By default it is."""
    assert (ends["default"], ends["held"]) == ((200, 2), (502, 1))


@observes("retries.budget_minimum")
def test_how_many_retries_there_may_be_however_few_requests_are(ends: dict[str, tuple[int, int]]) -> None:
    """Of one request a fifth is none."""
    assert (ends["default"], ends["no-minimum"]) == ((200, 2), (502, 1))


@observes("retries.budget_ratio")
def test_which_part_of_the_requests_may_be_retries(ends: dict[str, tuple[int, int]]) -> None:
    """Where it is all of them, one is one."""
    assert (ends["no-minimum"], ends["whole-ratio"]) == ((502, 1), (200, 2))
