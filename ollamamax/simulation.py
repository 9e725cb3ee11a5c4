"""Simulated nodes that the server starts by itself, and how they yield to a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ollamamax.address import NodeAddress
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.simulator.service import SimulatorService
from ollamamax.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

_LISTEN = "tcp:0:interface=127.0.0.1"
_STAND_IN = "simulated"
_YIELDING_SECONDS = 1.0


class Simulation:
    """Starts simulated nodes on loopback, says so, and takes them away.

    Args:
        reactor: the reactor to run on.
        fleet: where the nodes are added.
        wanted: how many; `auto` for one that is there as long as no other node has answered.
    """

    _log = Logger()

    def __init__(self, reactor: ReactorBase, fleet: Fleet, wanted: int | Literal["auto"]) -> None:
        self._reactor = reactor
        self._fleet = fleet
        self._wanted = wanted
        self._running: dict[str, tuple[SimulatorService, Node]] = {}
        self._leaving: LoopingCall | None = None

    def start(self) -> None:
        """Adds the nodes that were asked for by number."""
        if self._wanted != "auto":
            for number in range(1, self._wanted + 1):
                self._add(f"simulated-{number}", number)

    def first_round_over(self) -> str | None:
        """Every node has been tried once: with `auto`, a simulated one stands in where none has answered.

        Returns:
            The name of the node that was added, if one was; it has not been tried yet.
        """
        if self._wanted != "auto" or self._is_served():
            return None
        self._add(_STAND_IN, 1)
        self._fleet.changed.append(self._yield)
        return _STAND_IN

    def stop(self) -> Deferred[None]:
        """Takes all of them away."""
        if self._leaving is not None and self._leaving.running:
            self._leaving.stop()
        if self._yield in self._fleet.changed:
            self._fleet.changed.remove(self._yield)
        stopping = [self._gone(simulator) for simulator, _ in self._running.values()]
        self._running.clear()
        return DeferredList(stopping).addCallback(lambda _: None)

    def _add(self, name: str, seed: int) -> None:
        simulator = SimulatorService(self._reactor, _LISTEN, SimulatorSettings(marked=True, seed=seed))
        simulator.startService()
        node = Node(name, NodeAddress.from_url(simulator.url), simulated=True)
        self._running[name] = (simulator, node)
        self._log.warn(
            "SIMULATED NODE {node} at {url}: its answers are made up and marked with X-OllamaMax-Simulated",
            node=name,
            url=simulator.url,
        )
        self._fleet.add(node)

    def _is_served(self) -> bool:
        return any(node.up and not node.simulated for node in self._fleet.nodes.values())

    def _yield(self, node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        if not self._is_served():
            return
        self._fleet.changed.remove(self._yield)
        for name in self._running:
            self._log.warn("a real node answers: the simulated node {node} is taken away", node=name)
            self._fleet.remove(name)
        self._leaving = LoopingCall(self._stop_idle)
        self._leaving.clock = self._reactor
        self._leaving.start(_YIELDING_SECONDS)

    def _stop_idle(self) -> None:
        """Stops a simulator once its last request is over."""
        for name, (simulator, node) in list(self._running.items()):
            if not node.in_flight:
                del self._running[name]
                self._gone(simulator)
        if not self._running and self._leaving is not None:
            self._leaving.stop()

    def _gone(self, simulator: SimulatorService) -> Deferred[None]:
        stopping = maybeDeferred(simulator.stopService)
        return stopping.addErrback(lambda failure: self._log.failure("a simulated node did not stop", failure=failure))
