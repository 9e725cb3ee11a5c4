"""The server that the tests of faults share, and the one fixture that checks what has to hold after each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults.bench import Bench, Case
from faults.servers import FaultServers


@pytest.fixture(scope="session")
def fault_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServers]:
    """Starts gateways before fault nodes, and ends all of them."""
    servers = FaultServers(tmp_path_factory.mktemp("faults"))
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def bench(fault_servers: FaultServers) -> Bench:
    """One gateway before one fault node."""
    return fault_servers.bench()


@pytest.fixture
def case(bench: Bench) -> Iterator[Case]:
    """A test's clients and scripts; the invariants are checked at its end."""
    with bench.case() as opened:
        yield opened
