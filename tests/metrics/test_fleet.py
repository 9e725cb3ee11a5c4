"""Nodes, and what they were had to do, at scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import attrs

from ollamamax.fleet.nodes import State
from ollamamax.fleet.residency import Residency
from ollamamax.metrics import fleet
from ollamamax.metrics.overflow import Overflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ollamamax.metrics.families import Families


@attrs.define
class Node:
    """One node."""

    name: str
    simulated: bool = False
    up: bool = True
    state: str = "up"
    version: str | None = "0.33.0"
    probed_at: float | None = 1761561000.0
    probes: dict[str, int] = attrs.Factory(dict)
    in_flight: set[object] = attrs.Factory(set)
    resident: set[str] = attrs.Factory(set)
    shown: list[Residency] = attrs.Factory(list)
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    models_size_bytes: int | None = None

    def residencies(self) -> list[Residency]:
        """What is shown of its memory."""
        return list(self.shown)


@attrs.define
class Work:
    """Slots and loads."""

    loads: dict[tuple[str, str, str], int]
    slots: dict[tuple[str, str], float]

    def slot_seconds(self) -> Mapping[tuple[str, str], float]:
        """As counted by now."""
        return dict(self.slots)


def samples(families: Families) -> dict[tuple[str, tuple[str, ...]], float]:
    """All samples by name, without what all of them begin with, and label values."""
    return {
        (sample.name.removeprefix("ollamamax_node_"), tuple(sample.labels.values())): sample.value
        for family in families()
        for sample in family.samples
    }


def test_what_is_known_of_nodes() -> None:
    """Each by its name, as it was at the copy; what is not known of one is not made up."""
    known = Node(
        "a",
        probes={"ok": 7, "timeout": 1},
        in_flight={1, 2},
        resident={"m:latest"},
        shown=[Residency("m:latest", 9, 8, 1761561300.5)],
        memory_bytes=24,
        disk_bytes=100,
        models_size_bytes=50,
    )
    unknown = Node("b", simulated=True, up=False, state="unprobed", version=None, probed_at=None)
    families = fleet.fleet([known, unknown], Overflow())
    known.in_flight.clear()
    known.probes.clear()
    known.shown.clear()
    known.up, known.state, known.memory_bytes = False, "down", None
    assert samples(families) == {
        ("up", ("a",)): 1,
        ("up", ("b",)): 0,
        ("info", ("a", "0.33.0", "false")): 1,
        ("info", ("b", "", "true")): 1,
        ("last_probe_timestamp_seconds", ("a",)): 1761561000.0,
        ("in_flight", ("a",)): 2,
        ("in_flight", ("b",)): 0,
        ("state", ("a", "unprobed")): 0,
        ("state", ("a", "up")): 1,
        ("state", ("a", "down")): 0,
        ("state", ("b", "unprobed")): 1,
        ("state", ("b", "up")): 0,
        ("state", ("b", "down")): 0,
        ("probes_total", ("a", "ok")): 7,
        ("probes_total", ("a", "timeout")): 1,
        ("model_vram_bytes", ("a", "m:latest")): 8,
        ("model_size_bytes", ("a", "m:latest")): 9,
        ("model_expires_timestamp_seconds", ("a", "m:latest")): 1761561300.5,
        ("models_size_bytes", ("a",)): 50,
        ("memory_bytes", ("a",)): 24,
        ("disk_bytes", ("a",)): 100,
    }


def test_the_states_are_those_of_the_fleet() -> None:
    """A node is in none that is not shown."""
    assert get_args(State) == fleet.STATES


def test_a_model_of_which_little_is_said() -> None:
    """What its node does not say is left out; a model that lies in no GPU's memory takes 0 bytes of it."""
    node = Node("a", shown=[Residency("m:latest", None, 0, None)], resident={"m:latest"})
    shown = {key: value for key, value in samples(fleet.fleet([node], Overflow())).items() if "model" in key[0]}
    assert shown == {("model_vram_bytes", ("a", "m:latest")): 0}


def test_models_that_are_not_shown_are_counted() -> None:
    """At each scrape, for each of the families that would have had them."""
    overflow = Overflow()
    overflow.declare(*fleet.RESIDENCY_METRICS)
    node = Node("a", shown=[Residency("m:latest", 1, 1, 1.0)], resident={"m:latest"})
    fleet.fleet([node], overflow)
    node.resident |= {"n:latest", "o:latest"}
    fleet.fleet([node], overflow)
    fleet.fleet([node], overflow)
    counts = {sample.labels["family"]: sample.value for one in overflow.snapshot()() for sample in one.samples}
    assert counts == {metric.name: 4 for metric in fleet.RESIDENCY_METRICS}


def test_slots_and_loads() -> None:
    """By node and model, loads by their cause too, as they were at the copy."""
    work = Work({("a", "m:latest", "first"): 1}, {("a", "m:latest"): 2.5})
    families = fleet.work(work)
    work.loads.clear()
    work.slots.clear()
    assert samples(families) == {
        ("model_loads_total", ("a", "m:latest", "first")): 1,
        ("slot_busy_seconds_total", ("a", "m:latest")): 2.5,
    }
