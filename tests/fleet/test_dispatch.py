"""Leases: who gets one, who is refused and in which words, and how they are counted."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ollamamax.address import NodeAddress
from ollamamax.errors import GatewayError, ModelNotFound, Unavailable
from ollamamax.fleet.answers import Observation
from ollamamax.fleet.dispatch import Dispatcher, Lease, SimpleDispatcher
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.routing import Wanted

_TINY = Wanted("tiny:latest", "inference")


def _fleet(**nodes: tuple[str, ...] | None) -> Fleet:
    """A fleet of nodes with these models; None for a node that never answered."""
    fleet = Fleet()
    for name, models in nodes.items():
        node = Node(name, NodeAddress("http", name, 11434))
        fleet.add(node)
        if models is None:
            fleet.failed(node, "unreachable", 1.0)
        else:
            fleet.observed(node, Observation("0.33.0", {model: {"name": model} for model in models}, {}), 1.0)
    return fleet


def _result(acquiring: Deferred[Lease]) -> Lease | GatewayError:
    results: list[Lease | GatewayError] = []

    def failed(failure: Failure) -> None:
        assert isinstance(failure.value, GatewayError)
        results.append(failure.value)

    acquiring.addCallbacks(results.append, failed)
    assert len(results) == 1
    return results[0]


def _lease(dispatcher: Dispatcher, wanted: Wanted) -> Lease:
    lease = _result(dispatcher.acquire(wanted))
    assert isinstance(lease, Lease)
    return lease


def test_leases_spread_over_nodes() -> None:
    """Each lease counts as in flight until it is released; the next goes where fewer are."""
    fleet = _fleet(a=("tiny:latest",), b=("tiny:latest",))
    dispatcher = SimpleDispatcher(fleet)
    leases = [_lease(dispatcher, _TINY) for _ in range(4)]
    assert [lease.node.name for lease in leases] == ["a", "b", "a", "b"]
    leases[1].release()
    leases[3].release()
    assert _lease(dispatcher, _TINY).node.name == "b"
    assert len(fleet.nodes["a"].in_flight) == 2


def test_release_twice() -> None:
    """A lease is given back once, however often it is released."""
    fleet = _fleet(a=("tiny:latest",))
    dispatcher = SimpleDispatcher(fleet)
    one, other = _lease(dispatcher, _TINY), _lease(dispatcher, _TINY)
    one.release()
    one.release()
    assert fleet.nodes["a"].in_flight == {other}


def test_a_lease_is_released_at_the_end_of_its_block() -> None:
    """However the block ends."""
    fleet = _fleet(a=("tiny:latest",))
    with suppress(ZeroDivisionError), _lease(SimpleDispatcher(fleet), _TINY) as lease:
        assert fleet.nodes["a"].in_flight == {lease}
        raise ZeroDivisionError
    assert fleet.nodes["a"].in_flight == set()


@given(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))
def test_a_place_is_told_of_where_a_lease_would_be_given(having: set[str], down: set[str], avoided: set[str]) -> None:
    """The question takes no place, and its answer is that of the one who asks for one."""
    fleet = _fleet(**{name: ("tiny:latest",) if name in having else () for name in "abc"})
    for name in down:
        fleet.failed(fleet.nodes[name], "timeout", 2.0)
    dispatcher, wanted = SimpleDispatcher(fleet), Wanted("tiny:latest", "inference", frozenset(avoided))
    told = dispatcher.has_place(wanted)
    assert not any(node.in_flight for node in fleet.nodes.values())
    assert told is isinstance(_result(dispatcher.acquire(wanted)), Lease)


def test_a_node_that_failed_is_asked_last_until_its_next_probe() -> None:
    """What it has in flight does not speak for it."""
    fleet = _fleet(a=("tiny:latest",), b=("tiny:latest",))
    dispatcher = SimpleDispatcher(fleet)
    fleet.nodes["a"].failures.attempted("connect_failed", model="tiny:latest", client=None, at=2.0)
    assert [_lease(dispatcher, _TINY).node.name for _ in range(2)] == ["b", "b"]
    fleet.observed(fleet.nodes["a"], Observation("0.33.0", {"tiny:latest": {"name": "tiny"}}, {}), 3.0)
    assert _lease(dispatcher, _TINY).node.name == "a"


def test_lease_outlives_its_node() -> None:
    """A request that runs on a node which is removed ends as any other."""
    fleet = _fleet(a=("tiny:latest",))
    lease = _lease(SimpleDispatcher(fleet), _TINY)
    fleet.remove("a")
    lease.release()
    assert lease.node.in_flight == set()


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (Wanted("absent:latest", "inference"), ModelNotFound),
        (Wanted("absent:latest", "load"), ModelNotFound),
        (Wanted("tiny:latest", "inference", frozenset({"a"})), Unavailable),
        (Wanted("tiny:latest", "load", frozenset({"a"})), Unavailable),
        (Wanted("absent:latest", "management", frozenset({"a"})), Unavailable),
        (Wanted("x:cloud", "inference", frozenset({"a"})), Unavailable),
        (Wanted(None, "any", frozenset({"a"})), Unavailable),
    ],
)
def test_refusals(wanted: Wanted, refusal: type[GatewayError]) -> None:
    """A model that no node has is not found; what only cannot be served now is unavailable."""
    error = _result(SimpleDispatcher(_fleet(a=("tiny:latest",), b=None)).acquire(wanted))
    assert type(error) is refusal


def test_unknown_cloud_model_is_asked_for() -> None:
    """A cloud model goes to a node, which answers for it."""
    assert _lease(SimpleDispatcher(_fleet(a=())), Wanted("x:cloud", "inference")).node.name == "a"


def test_unknown_model_is_pulled_somewhere() -> None:
    """Management of a model that nobody has goes to the first node that is up."""
    assert _lease(SimpleDispatcher(_fleet(a=None, b=(), c=())), Wanted("new:latest", "management")).node.name == "b"


def test_model_on_a_node_that_is_down() -> None:
    """A model that only a node has which is down is known: 503, and 404 for one that nobody ever had."""
    fleet = _fleet(a=("tiny:latest",), b=())
    fleet.failed(fleet.nodes["a"], "timeout", 2.0)
    dispatcher = SimpleDispatcher(fleet)
    assert type(_result(dispatcher.acquire(_TINY))) is Unavailable
    assert type(_result(dispatcher.acquire(Wanted("absent:latest", "inference")))) is ModelNotFound


def test_no_node_at_all() -> None:
    """While no node is up nothing can be said about any model: 503."""
    for fleet in (_fleet(), _fleet(a=None)):
        error = _result(SimpleDispatcher(fleet).acquire(Wanted("absent:latest", "inference")))
        assert type(error) is Unavailable
        assert error.retriable


def test_deleted_model_is_not_found() -> None:
    """What a node no longer lists is gone."""
    fleet = _fleet(a=("tiny:latest",))
    fleet.observed(fleet.nodes["a"], Observation("0.33.0", {}, {}), 2.0)
    assert type(_result(SimpleDispatcher(fleet).acquire(_TINY))) is ModelNotFound


@given(st.lists(st.integers(0, 9)))
def test_in_flight_cannot_drift(releases: list[int]) -> None:
    """However leases are released, often or never, what is in flight is what was not released."""
    fleet = _fleet(a=("tiny:latest",), b=("tiny:latest",))
    dispatcher = SimpleDispatcher(fleet)
    leases = [_lease(dispatcher, _TINY) for _ in range(10)]
    for number in releases:
        leases[number].release()
    in_flight = sum(len(node.in_flight) for node in fleet.nodes.values())
    assert in_flight == 10 - len(set(releases))
