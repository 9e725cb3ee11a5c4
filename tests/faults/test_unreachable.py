"""Nodes that answered their probe, and to which no connection can be made when a request comes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import attrs
import pytest
from faults.bench import Bench, Case, together
from faults.dialects import SERVED, Dialect
from faults.fault_node import FaultNode
from faults.playbook import Playbook
from faults.servers import HUNG, FaultServers
from faults.views import assert_told


@attrs.frozen
class Unreachable:
    """A gateway whose nodes are about to become unreachable.

    Attributes:
        bench: the gateway, with a node that stays healthy and comes last.
        refusing: a node per dialect, as the first refusal makes a node be taken for down.
        hung: the one that is not going to accept.
        black_hole: the one that is not going to be heard of any more.
    """

    bench: Bench
    refusing: dict[str, FaultNode]
    hung: FaultNode
    black_hole: FaultNode


@pytest.fixture(scope="module")
def unreachable(fault_servers: FaultServers) -> Unreachable:
    """All of them, seen up by the gateway."""
    playbook = Playbook()
    refusing = {dialect.name: fault_servers.node(playbook, f"refusing-{dialect}") for dialect in SERVED}
    hung = fault_servers.node(playbook, HUNG)
    black_hole = fault_servers.node(playbook, "black-hole")
    return Unreachable(
        fault_servers.bench(*refusing.values(), hung, black_hole, playbook=playbook), refusing, hung, black_hole
    )


@pytest.fixture
def case(unreachable: Unreachable) -> Iterator[Case]:
    """A test's clients; the invariants are checked at its end."""
    with unreachable.bench.case() as opened:
        yield opened


@pytest.mark.parametrize("dialect", SERVED, ids=str)
def test_a_node_that_refuses(case: Case, unreachable: Unreachable, dialect: Dialect) -> None:
    """1: nobody listens there any more."""
    unreachable.refusing[dialect.name].refuse()
    answer = case.ask(dialect, f"refusing-{dialect}", status=502, code="node_unreachable", outcome="node_error")
    assert assert_told(dialect, answer, 502) == "the node could not be reached"


def test_a_node_that_hangs_on_accept(case: Case, unreachable: Unreachable) -> None:
    """2: the kernel connects and nobody ever accepts, so that a request is sent and nothing comes; in each dialect."""
    unreachable.hung.accept_nothing()

    def ask(dialect: Dialect) -> None:
        answer = case.ask(dialect, HUNG, status=504, code="node_timeout", outcome="timeout")
        assert ("first_byte" if dialect.streams else "whole_response") in assert_told(dialect, answer, 504)

    together([case.others_are_served, *(partial(ask, dialect) for dialect in SERVED)])
    assert unreachable.hung.requests == []


def test_a_node_that_is_a_black_hole(case: Case, unreachable: Unreachable) -> None:
    """3: what is sent to it is dropped, so that no connection comes about; in each dialect, and for who leaves."""
    unreachable.black_hole.drop_connections()

    def ask(dialect: Dialect) -> None:
        answer = case.ask(dialect, "black-hole", status=504, code="node_timeout", outcome="timeout")
        assert "(connect: " in assert_told(dialect, answer, 504)

    def leave(dialect: Dialect) -> None:
        with case.asking(
            dialect, "black-hole", status=None, code=None, outcome="client_disconnected", counted=499
        ) as client:
            case.wait_for(lambda: case.in_flight() > 0, "the request did not arrive")
            client.leave("fin")

    together(
        [case.others_are_served, *(partial(ask, dialect) for dialect in SERVED), *(partial(leave, d) for d in SERVED)]
    )
