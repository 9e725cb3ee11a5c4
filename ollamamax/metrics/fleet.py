"""What is known of nodes, and what they were had to do, read at scrape.

Nothing is mirrored: a model that has left a node's memory and a node that was removed leave no series behind. The fleet
is known as Protocols only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs

from ollamamax.metrics.catalogue import (
    NODE_DISK,
    NODE_IN_FLIGHT,
    NODE_INFO,
    NODE_LAST_PROBE,
    NODE_MEMORY,
    NODE_MODEL_EXPIRES,
    NODE_MODEL_LOADS,
    NODE_MODEL_SIZE,
    NODE_MODEL_VRAM,
    NODE_MODELS_SIZE,
    NODE_PROBES,
    NODE_SLOT_BUSY,
    NODE_STATE,
    NODE_UP,
    Metric,
)
from ollamamax.metrics.families import Families, Family, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence, Sized

    from ollamamax.metrics.overflow import Overflow

RESIDENCY_METRICS = (NODE_MODEL_VRAM, NODE_MODEL_SIZE, NODE_MODEL_EXPIRES)
FLEET_METRICS = (
    NODE_UP,
    NODE_INFO,
    NODE_LAST_PROBE,
    NODE_IN_FLIGHT,
    NODE_STATE,
    NODE_PROBES,
    *RESIDENCY_METRICS,
    NODE_MODELS_SIZE,
    NODE_MEMORY,
    NODE_DISK,
)
WORK_METRICS = (NODE_MODEL_LOADS, NODE_SLOT_BUSY)

STATES = ("unprobed", "up", "down")


class ResidencyState(Protocol):
    """One model in a node's memory; None is "not said"."""

    @property
    def model(self) -> str:
        """Its normalised name; the label `model`."""

    @property
    def size_bytes(self) -> int | None:
        """What it takes of all memory."""

    @property
    def vram_bytes(self) -> int | None:
        """What it takes of the memory of GPUs."""

    @property
    def expires_at(self) -> float | None:
        """When it is to leave, in Unix seconds."""


class NodeState(Protocol):
    """What is known of one node."""

    @property
    def name(self) -> str:
        """Its configured name; the label `node`."""

    @property
    def simulated(self) -> bool:
        """Whether it is a simulator."""

    @property
    def up(self) -> bool:
        """Whether its last probe succeeded."""

    @property
    def state(self) -> str:
        """One of `STATES`."""

    @property
    def version(self) -> str | None:
        """Its Ollama's version; None before the first answer."""

    @property
    def probed_at(self) -> float | None:
        """Unix time of the last probe's end; None before it."""

    @property
    def probes(self) -> Mapping[str, int]:
        """Probes by result."""

    @property
    def in_flight(self) -> Sized:
        """What this gateway has running there."""

    @property
    def resident(self) -> Sized:
        """All that it says is in its memory."""

    @property
    def memory_bytes(self) -> int | None:
        """The memory of its GPUs; None where it is not known."""

    @property
    def disk_bytes(self) -> int | None:
        """Its room for models; None where it is not known."""

    @property
    def models_size_bytes(self) -> int | None:
        """What its models take there; None before the first answer."""

    def residencies(self) -> Sequence[ResidencyState]:
        """As much of its memory as is shown."""


class WorkState(Protocol):
    """What nodes were had to do."""

    @property
    def loads(self) -> Mapping[tuple[str, str, str], int]:
        """Loads by node, model and cause."""

    def slot_seconds(self) -> Mapping[tuple[str, str], float]:
        """For how long slots were held by now, by node and model."""


@attrs.frozen
class _NodeCopy:
    name: str
    up: bool
    state: str
    version: str
    simulated: str
    probed_at: float | None
    probes: tuple[tuple[str, int], ...]
    in_flight: int
    residencies: Sequence[ResidencyState]
    memory_bytes: int | None
    disk_bytes: int | None
    models_size_bytes: int | None

    @classmethod
    def of(cls, node: NodeState) -> _NodeCopy:
        return cls(
            name=node.name,
            up=node.up,
            state=node.state,
            version=node.version or "",
            simulated="true" if node.simulated else "false",
            probed_at=node.probed_at,
            probes=tuple(node.probes.items()),
            in_flight=len(node.in_flight),
            residencies=node.residencies(),
            memory_bytes=node.memory_bytes,
            disk_bytes=node.disk_bytes,
            models_size_bytes=node.models_size_bytes,
        )


def fleet(nodes: Iterable[NodeState], overflow: Overflow) -> Families:
    """The families of the nodes.

    Args:
        nodes: those that exist now.
        overflow: told of models that are in a node's memory and not shown.
    """
    copies = []
    for node in nodes:
        copies.append(copy := _NodeCopy.of(node))
        overflow.add(*RESIDENCY_METRICS, count=len(node.resident) - len(copy.residencies))
    return partial(_fleet, copies)


def work(state: WorkState) -> Families:
    """The families of slots and loads."""
    return partial(_work, tuple(state.loads.items()), tuple(state.slot_seconds().items()))


def _fleet(nodes: list[_NodeCopy]) -> Iterable[Family]:
    yield values(NODE_UP, (((node.name,), float(node.up)) for node in nodes))
    yield values(NODE_INFO, (((node.name, node.version, node.simulated), 1) for node in nodes))
    yield _known(NODE_LAST_PROBE, nodes, lambda node: node.probed_at)
    yield values(NODE_IN_FLIGHT, (((node.name,), node.in_flight) for node in nodes))
    yield values(NODE_STATE, (((node.name, state), float(state == node.state)) for node in nodes for state in STATES))
    yield values(NODE_PROBES, (((node.name, result), count) for node in nodes for result, count in node.probes))
    yield _of_models(NODE_MODEL_VRAM, nodes, lambda one: one.vram_bytes)
    yield _of_models(NODE_MODEL_SIZE, nodes, lambda one: one.size_bytes)
    yield _of_models(NODE_MODEL_EXPIRES, nodes, lambda one: one.expires_at)
    yield _known(NODE_MODELS_SIZE, nodes, lambda node: node.models_size_bytes)
    yield _known(NODE_MEMORY, nodes, lambda node: node.memory_bytes)
    yield _known(NODE_DISK, nodes, lambda node: node.disk_bytes)


def _known(metric: Metric, nodes: list[_NodeCopy], read: Callable[[_NodeCopy], float | None]) -> Family:
    found = ((node.name, read(node)) for node in nodes)
    return values(metric, (((name,), value) for name, value in found if value is not None))


def _of_models(metric: Metric, nodes: list[_NodeCopy], read: Callable[[ResidencyState], float | None]) -> Family:
    found = ((node.name, one.model, read(one)) for node in nodes for one in node.residencies)
    return values(metric, (((node, model), value) for node, model, value in found if value is not None))


def _work(
    loads: tuple[tuple[tuple[str, str, str], int], ...], busy: tuple[tuple[tuple[str, str], float], ...]
) -> Iterable[Family]:
    yield values(NODE_MODEL_LOADS, loads)
    yield values(NODE_SLOT_BUSY, busy)
