"""Fixtures of the tests that run real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from real.processes import Process, Processes

# What they compare is worth seeing where it differs, as in a test.
pytest.register_assert_rewrite("real.official", "real.recorded")

if TYPE_CHECKING:
    from postgresql_cluster import Cluster


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts server processes, and ends them after the test."""
    started = Processes(tmp_path)
    yield started
    started.stop_all()


@pytest.fixture(scope="module")
def shared_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """As `processes`, for servers that the tests of a module share."""
    started = Processes(tmp_path_factory.mktemp("servers"))
    yield started
    started.stop_all()


@pytest.fixture(scope="module")
def database(store_kind: str, request: pytest.FixtureRequest) -> list[str]:
    """The options of a server with a database of its own, of either kind: a test that takes it runs on both."""
    if store_kind == "sqlite":
        return []
    cluster: Cluster = request.getfixturevalue("postgresql")
    return [f"--database={cluster.url(cluster.create())}"]


@pytest.fixture(scope="module")
def nodes(shared_processes: Processes) -> list[str]:
    """The URLs of the nodes: a simulator's, or those that `OLLAMAMAX_TEST_NODES` names, with the model `tiny`."""
    real = os.environ.get("OLLAMAMAX_TEST_NODES")
    if real:
        return real.split(",")
    return [shared_processes.simulator("--load-seconds=0.05", "--tokens-per-second=500").url]


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, nodes: list[str]) -> Process:
    """A gateway before the nodes."""
    return shared_processes.gateway(*(f"--node=node{number}={url}" for number, url in enumerate(nodes)))
