"""What a gateway had its nodes do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs
import pytest
from twisted.internet.defer import Deferred

from ollamamax.address import NodeAddress
from ollamamax.fleet.answers import ModelEntry, Observation, ResidentEntry
from ollamamax.fleet.dispatch import Lease, SimpleDispatcher
from ollamamax.fleet.instants import Instant
from ollamamax.fleet.loads import CAUSES
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.routing import Purpose, Wanted
from ollamamax.fleet.work import MAX_NAMED, OTHER, NodeWork
from ollamamax.relay.carriage import RelayReport
from ollamamax.relay.verdict import NO_USAGE, Usage

M, N = "m:latest", "n:latest"
WALL = 1_000_000.0
"""What the wall clock shows when the other one shows 0."""


@attrs.define
class Place:
    """A fleet, its work and its dispatcher, under one clock."""

    now: float = 0.0
    fleet: Fleet = attrs.field(factory=Fleet)
    folded: Counter[str] = attrs.field(factory=Counter)
    work: NodeWork = attrs.field(init=False)
    dispatcher: SimpleDispatcher = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.work = NodeWork(
            self.fleet,
            clock=lambda: self.now,
            wall_clock=lambda: WALL + self.now,
            slot_folded=lambda: self.folded.update(slot=1),
            load_folded=lambda: self.folded.update(load=1),
        )
        self.dispatcher = SimpleDispatcher(self.fleet, self.work)

    def node(self, name: str = "a") -> Node:
        """One more node, which was not probed yet."""
        node = Node(name, NodeAddress("http", name, 11434))
        self.fleet.add(node)
        return node

    def see(self, node: Node, *models: str, **resident: ResidentEntry) -> None:
        """A probe that finds these models on a node, and some of them in its memory."""
        there = {f"{name}:latest": entry for name, entry in resident.items()}
        listed: dict[str, ModelEntry] = {model: {"name": model} for model in models or (M, N)}
        self.fleet.observed(node, Observation("0.33.0", listed, there), WALL + self.now)

    def lease(self, model: str | None = M, purpose: Purpose = "inference") -> Lease:
        """A place for a request."""
        leases: list[Lease] = []
        acquiring: Deferred[Lease] = self.dispatcher.acquire(Wanted(model, purpose))
        acquiring.addCallback(leases.append)
        return leases[0]

    def infer(
        self, model: str = M, *, load: float | None = None, probe: Callable[[], object] = int, **report: object
    ) -> float | None:
        """A request of three seconds, the answer's last one included, and what is probed before its end."""
        with self.lease(model) as lease:
            began = self.now
            self.now += 3.0
            probe()
            told = RelayReport(
                **{
                    "outcome": "success",
                    "status": 200,
                    "error_code": None,
                    "started_at": began,
                    "head_at": self.now - 1.0,
                    "finished_at": self.now,
                    "usage": NO_USAGE if load is None else Usage(load_seconds=load),
                    **report,
                }  # type: ignore[arg-type]
            )
            return lease.answered(told)

    @property
    def loads(self) -> dict[tuple[str, str, str], int]:
        """The loads counted, those that were never left out."""
        return {key: count for key, count in self.work.loads.items() if count}


def resident(seconds: int) -> ResidentEntry:
    """An entry of a model that leaves so many seconds after the begin."""
    return {"name": "m", "expires_at": Instant(int(WALL) + seconds).rfc3339()}


def test_a_slot_is_busy_while_a_lease_is_held() -> None:
    """At every look, under the node's and the model's names, and no longer once the request is over."""
    place = Place()
    place.see(place.node())
    lease = place.lease()
    place.now = 2.0
    assert place.work.slot_seconds() == {("a", M): 2.0}
    lease.release()
    place.now = 9.0
    lease.release()
    assert place.work.slot_seconds() == {("a", M): 2.0}


@pytest.mark.parametrize("purpose", ["load", "management", "any"])
def test_only_inference_takes_a_slot(purpose: Purpose) -> None:
    """A pull, or the mere load of a model, keeps nobody from generating."""
    place = Place()
    place.see(place.node())
    with place.lease(M, purpose):
        place.now = 5.0
    assert place.work.slot_seconds() == {}


def test_a_model_that_the_node_does_not_list_has_no_name() -> None:
    """A cloud model that was never used is asked of any node, under any name that a client makes up."""
    place = Place()
    place.see(place.node())
    for number in range(3):
        with place.lease(f"x{number}:cloud"):
            place.now += 1.0
    assert place.work.slot_seconds() == {("a", OTHER): 3.0}
    assert place.folded == {}


def test_a_name_that_is_too_long_is_none() -> None:
    """Though its node lists the model."""
    place = Place()
    place.see(place.node(), "x" * 1024)
    with place.lease("x" * 1024):
        place.now += 1.0
    assert place.work.slot_seconds() == {("a", OTHER): 1.0}


def test_how_long_a_load_takes_at_least_is_given() -> None:
    """A shorter wait is none."""
    place = Place()
    place.see(place.node())
    work = NodeWork(place.fleet, clock=lambda: 0.0, wall_clock=lambda: WALL, least_wait=1.5)
    report = RelayReport("success", 200, None, 0.0, 9.0, usage=Usage(load_seconds=1.5), head_at=3.0)
    lease = place.lease()
    assert work.answered(lease, report) is None
    assert place.work.answered(lease, report) == 1.5


def test_waits_are_loads_with_their_causes() -> None:
    """By what the node says, and where it says nothing by the first byte; what is warm, or an error, is none."""
    place = Place()
    node = place.node()
    place.see(node)
    assert place.infer(load=2.0) == 2.0
    assert place.loads == {("a", M, "first"): 1}
    place.see(node, m={"name": "m"})
    warm = [
        place.infer(load=0.004),
        place.infer(),
        place.infer(N, status=404, outcome="client_error"),
        place.infer(N, status=None, head_at=None, outcome="client_disconnected"),
    ]
    assert warm == [None] * 4
    assert place.loads == {("a", M, "first"): 1}
    assert place.infer(load=2.5) == 2.5
    assert place.infer(N, probe=lambda: place.see(node, n={"name": "n"})) == 2.0
    assert place.loads == {("a", M, "first"): 1, ("a", M, "options"): 1, ("a", N, "first"): 1}


def test_a_model_that_uses_the_runner_of_another_one_is_not_loaded() -> None:
    """It never comes to be listed in memory; an answer that says nothing of loads was not waiting for one."""
    place = Place()
    node = place.node()
    place.see(node, m={"name": "m"})
    waits = [place.infer(N, probe=lambda: place.see(node, m={"name": "m"})) for _ in range(3)]
    assert waits == [None] * 3
    assert place.loads == {}


def test_causes_are_shown_from_0_on() -> None:
    """All of them, as soon as a model is asked for or in memory, so that the first load is an increase."""
    place = Place()
    node = place.node()
    place.see(node, n={"name": "n"})
    with place.lease(M):
        assert dict(place.work.loads) == {("a", model, cause): 0 for model in (M, N) for cause in CAUSES}


def test_a_model_that_another_one_drives_out() -> None:
    """A request under way for a model that is not there says so, though it is not listed while it is loaded."""
    place = Place()
    node = place.node()
    place.see(node, m=resident(300))
    with place.lease(N):
        place.now = 5.0
        place.see(node)
    place.now = 20.0
    place.infer(load=2.0)
    assert place.loads == {("a", M, "evicted"): 1}


def test_a_cloud_model_drives_nothing_out_and_is_never_loaded() -> None:
    """It runs elsewhere: no answer of it is a load, however long it takes, and no memory is needed for it."""
    place = Place()
    node = place.node()
    place.see(node, M, "x:cloud", m=resident(300))
    with place.lease("x:cloud"):
        place.now = 5.0
        place.see(node, M, "x:cloud")
    place.infer("x:cloud", load=4.0)
    place.infer(load=2.0)
    assert place.loads == {("a", M, "other"): 1}


def test_a_model_whose_time_came_since_the_last_probe() -> None:
    """It is known to have left, though the lists still have it."""
    place = Place()
    place.see(place.node(), m=resident(60))
    place.now = 61.0
    place.infer(load=2.0)
    assert place.loads == {("a", M, "expired"): 1}


def test_a_model_in_use_has_not_left() -> None:
    """While another request is there for it, the moment that was shown means nothing."""
    place = Place()
    place.see(place.node(), m=resident(60))
    with place.lease():
        place.now = 61.0
        place.infer(load=2.0)
    assert place.loads == {("a", M, "options"): 1}


def test_a_node_that_was_started_anew() -> None:
    """Models that it lost by that were neither driven out nor was their time come."""
    place = Place()
    node = place.node()
    place.see(node, m=resident(300))
    place.fleet.failed(node, "unreachable", WALL + 5.0)
    place.see(node, n={"name": "n"})
    place.infer(load=2.0)
    assert place.loads == {("a", M, "other"): 1}


def test_a_node_with_names_without_end() -> None:
    """So many have names of their own, all others are one, and what found no room is told."""
    place = Place()
    node = place.node()
    names = [f"m{number}:latest" for number in range(MAX_NAMED + 50)]
    place.see(node, *names)
    for name in names:
        place.infer(name, load=2.0)
    assert len(place.work.slot_seconds()) == MAX_NAMED + 1
    assert place.work.slot_seconds()["a", OTHER] == 150.0
    assert {key: count for key, count in place.loads.items() if key[1] == OTHER} == {("a", OTHER, "first"): 50}
    assert place.folded == {"slot": 50, "load": 50}
    assert len(place.work.loads) == MAX_NAMED * len(CAUSES) + 1


def test_a_node_that_is_gone_leaves_nothing() -> None:
    """Not even when a request that it was given ends afterwards, and not for its successor."""
    place = Place()
    node = place.node()
    place.see(node)
    place.infer(load=2.0)
    place.see(place.node("b"))
    lease = place.lease()
    assert lease.node is node
    place.fleet.remove("a")
    place.now += 5.0
    report = RelayReport("success", 200, None, 0.0, 9.0, usage=Usage(load_seconds=2.0), head_at=3.0)
    lease.answered(report)
    lease.release()
    assert set(place.work.slot_seconds()) == set()
    assert dict(place.work.loads) == {}
    place.see(place.node("a"))
    place.fleet.remove("b")
    place.infer(load=2.0)
    assert place.loads == {("a", M, "first"): 1}
