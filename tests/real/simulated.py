"""A gateway in a process of its own, before a simulated node in this one, whose accounts a test can look into."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
from real.processes import Process, Processes
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from ollamamax.simulator.service import EMBEDDED_LISTEN, SimulatorService
from ollamamax.simulator.settings import SimulatorSettings

PROBED = ("/api/version", "/api/tags", "/api/ps")

_PATIENT_PROBES = {"OLLAMAMAX_PROBE_TIMEOUT_SECONDS": "60"}
"""The node shares its process with the test and its clients: on a busy machine it may answer late, and yet is up."""


def carried(simulator: SimulatorService) -> list[tuple[str, str]]:
    """Method and path of all that reached a node and was no probe, oldest first."""
    asked = [(account.method, account.path) for account in simulator.accounts]
    return [(method, path) for method, path in asked if path not in PROBED]


class _Overheard(ProtocolWrapper):
    def dataReceived(self, data: bytes) -> None:
        self.factory.heard.append(data)
        super().dataReceived(data)


class _Overhearing(WrappingFactory):
    protocol = _Overheard

    def __init__(self, wrapped: IProtocolFactory, heard: list[bytes]) -> None:
        super().__init__(wrapped)
        self.heard = heard


@implementer(IStreamServerEndpoint)
@attrs.define
class OverheardEndpoint:
    """Where a node listens, with all that it is sent.

    Attributes:
        heard: pieces as they came, of all connections.
    """

    heard: list[bytes] = attrs.field(factory=list)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listens on a free port of loopback."""
        endpoint = serverFromString(reactor, EMBEDDED_LISTEN)
        listening: Deferred[IListeningPort] = endpoint.listen(_Overhearing(factory, self.heard))
        return listening


@asynccontextmanager
async def gateway_before(
    settings: SimulatorSettings,
    processes: Processes,
    *,
    environ: Mapping[str, str] | None = None,
    listen: IStreamServerEndpoint | str = EMBEDDED_LISTEN,
) -> AsyncIterator[tuple[Process, SimulatorService]]:
    """Both, for the time of a block; what blocks while it waits for them has to be in a thread.

    Args:
        settings: of the simulated node.
        processes: starts the gateway.
        environ: variables of the gateway, beside the time that it gives to probes.
        listen: where the node listens.
    """
    simulator = SimulatorService(reactor, listen, settings=settings)
    simulator.startService()
    try:
        # Waiting for a process blocks, and its probes want answers from here.
        node = f"--node=simulated={simulator.url}"
        yield await deferToThread(processes.gateway, node, environ={**_PATIENT_PROBES, **(environ or {})}), simulator
    finally:
        await deferToThread(processes.stop_all)
        await simulator.stopService()
