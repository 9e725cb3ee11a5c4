"""What this gateway had its nodes do: for how long it held slots of them, and which loads its requests waited for.

A model has a name of its own here when the node lists it at that moment, and keeps it; all others are `other`, and so
are those of a node that has had `MAX_NAMED` by then, and names that are too long. What was counted of a node is
forgotten with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ollamamax.fleet import residency
from ollamamax.fleet.loads import CAUSES, Cause, Found, Loads, wait_for_load
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.slots import SlotKey, SlotTimes
from ollamamax.names import is_cloud
from ollamamax.relay.carriage import RelayReport

if TYPE_CHECKING:
    from ollamamax.fleet.dispatch import Lease

MAX_NAMED = 100
OTHER = "other"

LoadKey = tuple[str, str, str]
"""A node, a model as it is shown, and why the model was loaded."""


class NodeWork:
    """The slots held and the loads waited for, of the nodes of one fleet.

    Attributes:
        loads: loads by node, model and cause.

    Args:
        fleet: its listeners are joined.
        clock: monotonic seconds; the clock of the relay's reports.
        wall_clock: Unix seconds; the clock of probes.
        least_wait: a request that waited no longer than this, in seconds, waited for no load.
        slot_folded: called for each slot, and
        load_folded: for each load, of a model for whose name a node had no room left.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        least_wait: float = 0.1,
        slot_folded: Callable[[], object] = int,
        load_folded: Callable[[], object] = int,
    ) -> None:
        self.loads: Counter[LoadKey] = Counter()
        self._fleet = fleet
        self._clock = clock
        self._wall_clock = wall_clock
        self._least_wait = least_wait
        self._slot_folded = slot_folded
        self._load_folded = load_folded
        self._memory = Loads()
        self._slots = SlotTimes()
        self._named: dict[str, set[str]] = {}
        fleet.probed.append(self._probed)
        fleet.changed.append(self._changed)

    def slot_seconds(self) -> Mapping[SlotKey, float]:
        """For how long slots were held by now, by node and model."""
        return self._slots.seconds(self._clock())

    def found(self, node: Node, model: str | None) -> Found:
        """Where a model is at this moment, before a lease for it is taken."""
        if model is None:
            return "absent"
        in_use = any(lease.wanted.model == model for lease in node.in_flight)
        return residency.found(node.resident.get(model), node.probed_at, self._wall_clock(), in_use=in_use)

    def began(self, lease: Lease) -> None:
        """A lease was given; one for inference takes a slot."""
        wanted, node = lease.wanted, lease.node
        if wanted.model is None or wanted.purpose != "inference":
            return
        label = self._label(node, wanted.model)
        if label == OTHER and wanted.model in node.models:
            self._slot_folded()
        self._slots.begin(lease, (node.name, label), self._clock())

    def ended(self, lease: Lease) -> None:
        """A lease was given back."""
        self._slots.end(lease, self._clock())

    def answered(self, lease: Lease, report: RelayReport) -> float | None:
        """A node's answer is over, as far as its client took it.

        Returns:
            How long the request waited for its model to be loaded, in seconds; None where it waited for no load.
        """
        node, model = lease.node, lease.wanted.model
        if model is None or is_cloud(model) or self._fleet.nodes.get(node.name) is not node:
            return None
        good = report.status is not None and 200 <= report.status < 300
        told = report.usage.load_seconds
        answered = report.head_at if good else None
        waited = wait_for_load(report.started_at, answered, told, lease.found, least=self._least_wait)
        if waited is None:
            return None
        began = report.started_at + self._wall_clock() - self._clock()
        if told is None and not self._memory.seen_since(node.name, model, began):
            return None  # another model of the same weights serves it
        cause = self._memory.waited(node.name, model, began, began + waited, found=lease.found)
        if cause is not None:
            self._count_load(node, model, cause)
        return waited

    def _count_load(self, node: Node, model: str, cause: Cause) -> None:
        label = self._label(node, model)
        if label == OTHER and model in node.models:
            self._load_folded()
        self.loads[node.name, label, cause] += 1

    def _label(self, node: Node, model: str) -> str:
        named = self._named.setdefault(node.name, set())
        if model in named:
            return model
        if model not in node.models or len(named) >= MAX_NAMED or len(model) > residency.MAX_CHARACTERS:
            return OTHER
        named.add(model)
        # From 0 on, so that the first load is an increase.
        self.loads.update(dict.fromkeys(((node.name, model, cause) for cause in CAUSES), 0))
        return model

    def _probed(self, node: Node, at: float) -> None:
        if node.up:
            resident = {one.model: one.expires_at for one in node.residencies()}
            for model in resident:
                self._label(node, model)
            self._memory.seen(node.name, resident, _awaited(node), at)
        elif node.error == "unreachable":
            self._memory.unreachable(node.name)

    def _changed(self, node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        if node.name in self._fleet.nodes:
            return
        self._memory.forget(node.name)
        self._slots.forget(node.name)
        self._named.pop(node.name, None)
        for key in [key for key in self.loads if key[0] == node.name]:
            del self.loads[key]


def _awaited(node: Node) -> set[str]:
    """The models for which requests are at a node; those that it runs in the cloud come to no memory."""
    wanted = (lease.wanted for lease in node.in_flight if lease.wanted.purpose in ("inference", "load"))
    return {one.model for one in wanted if one.model is not None and not is_cloud(one.model)}
