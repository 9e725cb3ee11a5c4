"""A gateway in a process of its own, before a simulated node in this one, whose accounts a test can look into."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from real.processes import Process, Processes
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from ollamamax.simulator.service import SimulatorService
from ollamamax.simulator.settings import SimulatorSettings

PROBED = ("/api/version", "/api/tags", "/api/ps")


def carried(simulator: SimulatorService) -> list[tuple[str, str]]:
    """Method and path of all that reached a node and was no probe, oldest first."""
    asked = [(account.method, account.path) for account in simulator.accounts]
    return [(method, path) for method, path in asked if path not in PROBED]


@asynccontextmanager
async def gateway_before(
    settings: SimulatorSettings, processes: Processes, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Process, SimulatorService]]:
    """Both, for the time of a block; what blocks while it waits for them has to be in a thread.

    Args:
        settings: of the simulated node.
        processes: starts the gateway.
        environ: variables of the gateway.
    """
    simulator = SimulatorService(reactor, settings=settings)
    simulator.startService()
    try:
        # Waiting for a process blocks, and its probes want answers from here.
        node = f"--node=simulated={simulator.url}"
        yield await deferToThread(processes.gateway, node, environ=environ), simulator
    finally:
        await deferToThread(processes.stop_all)
        await simulator.stopService()
