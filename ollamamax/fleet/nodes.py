"""The nodes and what is known of them.

`Fleet` is told what probes learn and answers from memory: no question to it ever waits for a node. The lists keep what
a node last had when it goes down (a client that lists models during a restart sees them all; a request for one of them
gets 503, not 404), while its memory counts as empty: `ps` shows nodes that are up. Merged lists are made at most once
per change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import attrs
import msgspec
from twisted.logger import Logger

from ollamamax.address import NodeAddress
from ollamamax.fleet import inventory, residency
from ollamamax.fleet.answers import ModelEntry, Models, Observation, ResidentEntry, Residents
from ollamamax.fleet.failures import Failures
from ollamamax.fleet.inventory import ModelSummary, Replica, Stock
from ollamamax.fleet.residency import Residency
from ollamamax.fleet.versions import lowest

if TYPE_CHECKING:
    from ollamamax.fleet.dispatch import Lease

NOT_PROBED = "not_probed"

State = Literal["unprobed", "up", "down"]

PROBE_RESULTS = (
    "ok",
    "unreachable",
    "timeout",
    "closed_early",
    "bad_answer",
    "bad_status",
    "too_large",
    "address_refused",
)
"""How a probe ends: well, or with the word for what went wrong; any status but 200 is `bad_status`."""


@attrs.define(eq=False)
class Node:
    """One Ollama server.

    Attributes:
        name: its configured name.
        address: where it listens.
        simulated: whether it is a simulator and not an Ollama.
        up: whether its last probe succeeded.
        version: what it last said it is; None until it answered once.
        models: what it last said it has, by normalised name.
        resident: what it says is in its memory, by normalised name; empty while it is down.
        probed_at: when its last probe ended, in Unix seconds by the wall clock; None before the first one.
        error: why it is down, a word such as `unreachable` or `status_503`; empty while it is up.
        in_flight: the leases on it that were not released.
        failures: what speaks against it, by its probes and by the requests that it was sent.
        probes: how many probes ended, by their results.
        memory_setting: the memory of its GPUs in bytes, as set; None where nobody said.
        disk_bytes: its room for models, as set; None where nobody said.
        vram_seen: the most of that memory that its models were ever seen to take together, in bytes.
        models_size_bytes: what its models take on its disk, as it last listed them; None until it answered once.
    """

    name: str
    address: NodeAddress
    simulated: bool = False
    up: bool = False
    version: str | None = None
    models: Models = attrs.field(factory=dict[str, ModelEntry])
    resident: Residents = attrs.field(factory=dict[str, ResidentEntry])
    probed_at: float | None = None
    error: str = NOT_PROBED
    in_flight: set[Lease] = attrs.field(factory=set)
    failures: Failures = attrs.field(factory=Failures)
    probes: Counter[str] = attrs.field(factory=lambda: Counter(dict.fromkeys(PROBE_RESULTS, 0)))
    memory_setting: int | None = None
    disk_bytes: int | None = None
    vram_seen: int = 0
    models_size_bytes: int | None = None

    @property
    def state(self) -> State:
        """Whether it answers, as far as is known."""
        if self.probed_at is None:
            return "unprobed"
        return "up" if self.up else "down"

    @property
    def memory_bytes(self) -> int | None:
        """The memory of its GPUs: as set, else as much as was ever seen in use; None while nothing of it was."""
        return self.memory_setting or self.vram_seen or None

    def residencies(self) -> list[Residency]:
        """What is in its memory, in numbers; of more than `residency.MAX_SHOWN` models, the first ones."""
        return residency.residencies(self.resident)


Probed = Callable[[Node, float], None]
Changed = Callable[[Node, frozenset[str], frozenset[str]], None]


class Fleet:
    """All nodes, in their configured order.

    Attributes:
        changed: called with (node, models that appeared on it, models that disappeared from it) after a node came or
            went, rose or fell, or changed its version or its models; the names are normalised. Not called for what is
            resident, which changes all the time. One that fails is logged and keeps nothing from the others.
        probed: called with (node, Unix seconds) after each probe, however it ended and before `changed`.
    """

    _log = Logger()

    def __init__(self, nodes: Sequence[Node] = ()) -> None:
        self.changed: list[Changed] = []
        self.probed: list[Probed] = []
        self._nodes: dict[str, Node] = {}
        # Made when they are asked for, forgotten at a change.
        self._tags: bytes | None = None
        self._ps: bytes | None = None
        self._summaries: dict[str, ModelSummary] | None = None
        for node in nodes:
            self.add(node)

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name, in order; a live view."""
        return MappingProxyType(self._nodes)

    def add(self, node: Node) -> None:
        """Takes a node in, behind the others.

        Raises:
            ValueError: when there is one of that name.
        """
        if node.name in self._nodes:
            raise ValueError(f"there is a node named {node.name!r} already")
        self._nodes[node.name] = node
        self._tell(node, frozenset(node.models), frozenset())

    def remove(self, name: str) -> Node:
        """Lets a node go; what runs on it goes on.

        Raises:
            KeyError: when there is none of that name.
        """
        node = self._nodes.pop(name)
        node.up = False
        node.resident = {}
        self._tell(node, frozenset(), frozenset(node.models))
        return node

    def observed(self, node: Node, seen: Observation, at: float) -> None:
        """Notes that a node answered its probe.

        Args:
            node: the node; one that was removed meanwhile is left alone.
            seen: what it said.
            at: Unix seconds.
        """
        if self._nodes.get(node.name) is not node:
            return
        rose = not node.up
        node.failures.probed(at, well=True)
        before, node.models = node.models, seen.models
        models_changed = before is not seen.models and before != seen.models
        news = rose or models_changed or node.version != seen.version
        if news or node.resident != seen.resident:
            self._forget_merged()
        node.up, node.error, node.probed_at = True, "", at
        node.version, node.resident = seen.version, seen.resident
        node.vram_seen = max(node.vram_seen, residency.vram_bytes(seen.resident))
        if models_changed or node.models_size_bytes is None:
            node.models_size_bytes = residency.stored_bytes(seen.models)
        self._count_probe(node, "ok", at)
        if rose:
            self._log.info(
                "node {node} is up: Ollama {version}, {count} models",
                node=node.name,
                version=node.version,
                count=len(node.models),
            )
        if news:
            self._tell(
                node, frozenset(seen.models.keys() - before.keys()), frozenset(before.keys() - seen.models.keys())
            )

    def failed(self, node: Node, error: str, at: float, detail: str = "") -> None:
        """Notes that a node failed its probe.

        Args:
            node: the node; one that was removed meanwhile is left alone.
            error: why, as a word.
            at: Unix seconds.
            detail: for the log only.
        """
        if self._nodes.get(node.name) is not node:
            return
        fell = node.up or node.error == NOT_PROBED
        node.failures.probed(at, well=False)
        node.up, node.error, node.probed_at, node.resident = False, error, at, {}
        self._count_probe(node, error if error in PROBE_RESULTS else "bad_status", at)
        if fell:
            self._log.warn("node {node} is down: {error} {detail}", node=node.name, error=error, detail=detail)
            self._tell(node, frozenset(), frozenset())

    def has_model(self, name: str) -> bool:
        """Whether a node, up or down, has the model of this normalised name."""
        return any(name in node.models for node in self._nodes.values())

    def tags(self) -> bytes:
        """The body of a merged `/api/tags`."""
        if self._tags is None:
            self._tags = msgspec.json.encode({"models": inventory.merged_models(self._stocks())})
        return self._tags

    def ps(self) -> bytes:
        """The body of a merged `/api/ps`."""
        if self._ps is None:
            self._ps = msgspec.json.encode({"models": inventory.merged_residents(self._stocks())})
        return self._ps

    def version(self) -> str | None:
        """The lowest version of the nodes that are up, else of those that were; None before any has answered."""
        known = [(node.version, node.up) for node in self._nodes.values() if node.version is not None]
        return lowest(version for version, up in known if up) or lowest(version for version, _ in known)

    def model_summaries(self) -> list[ModelSummary]:
        """Every model, in the order of the normalised names; the entries are shared by all callers, never changed."""
        return list(self._by_id().values())

    def model_summary(self, name: str) -> ModelSummary | None:
        """One model by its normalised name, or None where no node has it."""
        return self._by_id().get(name)

    def replicas(self, name: str) -> list[Replica]:
        """The nodes that have the model of this normalised name."""
        return inventory.replicas(self._stocks(), name)

    def _by_id(self) -> dict[str, ModelSummary]:
        if self._summaries is None:
            self._summaries = {summary["id"]: summary for summary in inventory.summaries(self._stocks())}
        return self._summaries

    def _stocks(self) -> list[Stock]:
        return [Stock(node.name, node.up, node.models, node.resident) for node in self._nodes.values()]

    def _forget_merged(self) -> None:
        self._tags = self._ps = self._summaries = None

    def _count_probe(self, node: Node, result: str, at: float) -> None:
        node.probes[result] += 1
        self._call(self.probed, node, at)

    def _tell(self, node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        self._forget_merged()
        self._call(self.changed, node, appeared, disappeared)

    def _call(self, callbacks: Sequence[Callable[..., None]], node: Node, *told: object) -> None:
        for callback in tuple(callbacks):
            try:
                callback(node, *told)
            except Exception:  # noqa: BLE001 - a listener may fail as it likes, the others hear all the same
                self._log.failure("a listener failed at a change of node {node}", node=node.name)
