"""Gateways before fault nodes, started once and shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from faults.bench import Bench
from faults.fault_node import FaultNode
from faults.playbook import Playbook
from real.processes import Process, Processes

CONNECT_SECONDS = 1.0
HASTY_SECONDS = 0.3
HUNG = "hasty-hung"
"""A model that is in no playbook, and has as little time as the other hasty ones."""

_PHASES = ("first_byte_seconds", "load_seconds", "idle_seconds", "whole_response_seconds")


class FaultServers:
    """Starts them, and ends all of them.

    Args:
        directory: where the servers keep what they keep.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes = Processes(directory)
        self._nodes: list[FaultNode] = []

    def node(self, playbook: Playbook, *models: str) -> FaultNode:
        """A fault node with a playbook's models, or with others that are asked for once."""
        node = FaultNode(playbook.direct, models or playbook.models, resident=models or playbook.resident)
        self._nodes.append(node)
        return node

    def bench(
        self,
        *others: FaultNode,
        playbook: Playbook | None = None,
        count: int = 1,
        environ: Mapping[str, str] | None = None,
        patience_seconds: float = 10.0,
    ) -> Bench:
        """A gateway before fault nodes.

        Args:
            others: nodes with models of their own.
            playbook: of the nodes that share their models.
            count: how many those are.
            environ: variables of the gateway.
            patience_seconds: how long what is bound to happen may take.
        """
        playbook = playbook or Playbook()
        nodes = [self.node(playbook) for _ in range(count)]
        gateway = self._gateway([*others, *nodes], playbook, environ or {})
        return Bench(gateway, nodes, playbook, patience_seconds)

    def _gateway(self, nodes: Sequence[FaultNode], playbook: Playbook, environ: Mapping[str, str]) -> Process:
        """A gateway that probes its nodes once, and then only when it doubts them."""
        settings = self._directory / "faults.toml"
        hasty = [name for name in (*playbook.models, HUNG) if name.startswith("hasty")]
        settings.write_text(
            f"[timeouts]\nconnect_seconds = {CONNECT_SECONDS}\n[probe]\ninterval_seconds = 3600\n"
            + "\n".join(
                "\n".join([f"[models.{name}]", *(f"{phase} = {HASTY_SECONDS}" for phase in _PHASES)]) for name in hasty
            )
        )
        return self._processes.gateway(
            f"--config={settings}",
            *(f"--node=node{number}={node.url}" for number, node in enumerate(nodes)),
            environ={"OLLAMAMAX_TRUSTED_NETWORKS": "127.0.0.0/8", **environ},
        )

    def close(self) -> None:
        """Ends everything."""
        self._processes.stop_all()
        for node in self._nodes:
            node.close()
