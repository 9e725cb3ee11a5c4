"""The fleet's memory: what it answers, also with every node down, and whom it tells of changes."""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs
import pytest
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from ollamamax.address import NodeAddress
from ollamamax.fleet.answers import Observation
from ollamamax.fleet.nodes import PROBE_RESULTS, Fleet, Node


def _node(name: str) -> Node:
    return Node(name, NodeAddress("http", name, 11434))


def _seen(*models: str, version: str = "0.33.0", resident: tuple[str, ...] = ()) -> Observation:
    return Observation(
        version,
        {name: {"name": name, "size": 1, "digest": "d"} for name in models},
        {name: {"name": name, "size": 2, "size_vram": 2} for name in resident},
    )


def _names(body: bytes) -> list[str]:
    return [entry["name"] for entry in json.loads(body)["models"]]


class _Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool, set[str], set[str]]] = []

    def __call__(self, node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        self.told.append((node.name, node.up, set(appeared), set(disappeared)))


def test_nothing_known() -> None:
    """An empty fleet and one that was never probed answer empty lists."""
    for fleet in (Fleet(), Fleet([_node("a")])):
        assert fleet.tags() == fleet.ps() == b'{"models":[]}'
        assert fleet.version() is None
        assert fleet.model_summaries() == []
        assert fleet.model_summary("a:latest") is None
        assert fleet.replicas("a:latest") == []
        assert not fleet.has_model("a:latest")
    assert fleet.nodes["a"].error == "not_probed"


def test_what_a_node_said() -> None:
    """An observation is all there in the lists, the version and the summaries."""
    fleet = Fleet([_node("a")])
    fleet.observed(fleet.nodes["a"], _seen("m:latest", resident=("m:latest",)), 7.0)
    assert _names(fleet.tags()) == _names(fleet.ps()) == ["m:latest"]
    assert fleet.version() == "0.33.0"
    assert fleet.nodes["a"].probed_at == 7.0
    summary = fleet.model_summary("m:latest")
    assert summary is not None
    assert summary in fleet.model_summaries()
    assert summary["resident_on"] == ["a"]
    assert fleet.replicas("m:latest")[0]["size_vram_bytes"] == 2


def test_every_node_down() -> None:
    """The list of models stays, as does what is known of each; memory counts as empty, the version is still told."""
    fleet = Fleet([_node("a"), _node("b")])
    for node in fleet.nodes.values():
        fleet.observed(node, _seen("m:latest", resident=("m:latest",)), 1.0)
    before = fleet.tags()
    for node in fleet.nodes.values():
        fleet.failed(node, "unreachable", 2.0)
    assert fleet.tags() == before
    assert fleet.ps() == b'{"models":[]}'
    assert fleet.version() == "0.33.0"
    assert fleet.has_model("m:latest")
    assert not fleet.model_summaries()[0]["available"]
    node = fleet.nodes["a"]
    assert (node.up, node.error, node.version, node.probed_at) == (False, "unreachable", "0.33.0", 2.0)


def test_lowest_version_of_nodes_that_are_up() -> None:
    """A node that is down has no say."""
    fleet = Fleet([_node("a"), _node("b"), _node("c")])
    for name, version in (("a", "0.24.0"), ("b", "0.33.0"), ("c", "0.33.0-rc1")):
        fleet.observed(fleet.nodes[name], _seen(version=version), 1.0)
    assert fleet.version() == "0.24.0"
    fleet.failed(fleet.nodes["a"], "timeout", 2.0)
    assert fleet.version() == "0.33.0-rc1"


def test_lists_are_made_once_a_change() -> None:
    """The same bytes are handed out until something changes, and an unchanged probe is no change."""
    fleet = Fleet([_node("a")])
    node = fleet.nodes["a"]
    fleet.observed(node, _seen("m:latest"), 1.0)
    tags, ps, summary = fleet.tags(), fleet.ps(), fleet.model_summary("m:latest")
    fleet.observed(node, _seen("m:latest"), 2.0)
    assert fleet.tags() is tags
    assert fleet.ps() is ps
    assert fleet.model_summary("m:latest") is summary
    fleet.observed(node, _seen("m:latest", resident=("m:latest",)), 3.0)
    assert _names(fleet.ps()) == ["m:latest"]
    assert fleet.tags() == tags


def test_whole_life_of_a_node_is_told() -> None:
    """Listeners hear of coming, rising, changing, falling and going, with the models of each, and of nothing else."""
    fleet = Fleet()
    listener = _Listener()
    fleet.changed.append(listener)
    node = _node("a")
    fleet.add(node)
    fleet.failed(node, "unreachable", 1.0)
    fleet.failed(node, "timeout", 2.0)
    fleet.observed(node, _seen("m:latest", "n:latest"), 3.0)
    fleet.observed(node, _seen("m:latest", "n:latest", resident=("m:latest",)), 4.0)
    fleet.observed(node, _seen("m:latest", "o:latest"), 5.0)
    fleet.observed(node, _seen("m:latest", "o:latest", version="0.34.0"), 6.0)
    fleet.failed(node, "unreachable", 7.0)
    assert fleet.remove("a") is node
    assert listener.told == [
        ("a", False, set(), set()),
        ("a", False, set(), set()),
        ("a", True, {"m:latest", "n:latest"}, set()),
        ("a", True, {"o:latest"}, {"n:latest"}),
        ("a", True, set(), set()),
        ("a", False, set(), set()),
        ("a", False, set(), {"m:latest", "o:latest"}),
    ]


def test_error_of_a_node_that_stays_down() -> None:
    """The word follows the last failure, though nobody is told again."""
    fleet = Fleet([_node("a")])
    fleet.failed(fleet.nodes["a"], "unreachable", 1.0)
    fleet.failed(fleet.nodes["a"], "bad_answer", 2.0)
    assert (fleet.nodes["a"].error, fleet.nodes["a"].probed_at) == ("bad_answer", 2.0)


def test_listener_that_fails(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """One listener's error is logged and keeps nothing from the others."""
    fleet = Fleet()
    listener = _Listener()

    def broken(node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        raise LookupError

    fleet.changed[:] = [broken, listener]
    fleet.add(_node("a"))
    assert listener.told == [("a", False, set(), set())]
    assert len(flush_logged_errors(LookupError)) == 1


def test_listener_that_leaves() -> None:
    """A listener may take itself off the list while it is being told."""
    fleet = Fleet()
    listener = _Listener()

    def once(node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        fleet.changed.remove(once)

    fleet.changed[:] = [once, listener]
    fleet.add(_node("a"))
    assert len(listener.told) == 1
    assert fleet.changed == [listener]


def test_names_are_unique() -> None:
    """Two nodes of one name are refused, and an unknown one cannot be removed."""
    fleet = Fleet([_node("a")])
    with pytest.raises(ValueError, match="'a'"):
        fleet.add(_node("a"))
    with pytest.raises(KeyError):
        fleet.remove("b")


def test_removed_node() -> None:
    """What it had is gone from every list, and what a late probe says of it changes nothing."""
    fleet = Fleet([_node("a"), _node("b")])
    fleet.observed(fleet.nodes["a"], _seen("m:latest"), 1.0)
    assert fleet.has_model("m:latest")
    node = fleet.remove("a")
    assert fleet.tags() == b'{"models":[]}'
    assert not fleet.has_model("m:latest")
    fleet.observed(node, _seen("m:latest"), 2.0)
    fleet.failed(node, "timeout", 3.0)
    assert not fleet.has_model("m:latest")
    assert (node.up, node.probed_at) == (False, 1.0)
    assert list(fleet.nodes) == ["b"]


def test_late_news_of_a_replaced_node() -> None:
    """A node that was replaced under its name does not speak for its successor."""
    fleet = Fleet([_node("a")])
    old = fleet.remove("a")
    fleet.add(_node("a"))
    fleet.observed(old, _seen("m:latest"), 1.0)
    assert not fleet.nodes["a"].up


def test_log_says_why() -> None:
    """The operator reads which node, why and what besides."""
    fleet = Fleet([_node("a")])
    with capturedLogs() as events:
        fleet.failed(fleet.nodes["a"], "status_503", 1.0, "busy")
        fleet.observed(fleet.nodes["a"], _seen("m:latest"), 2.0)
    assert [(event["node"], event.get("error"), event.get("detail")) for event in events] == [
        ("a", "status_503", "busy"),
        ("a", None, None),
    ]
    assert events[1]["count"] == 1


def test_probes_speak_for_and_against_a_node() -> None:
    """Each one that fails counts, not only the first; one that goes well clears them; a removed node hears no more."""
    fleet = Fleet([_node("a")])
    node = fleet.nodes["a"]
    for at in (1.0, 2.0):
        fleet.failed(node, "timeout", at)
    assert node.failures.consecutive == 2
    fleet.observed(node, _seen("m"), 3.0)
    assert node.failures.consecutive == 0
    fleet.remove("a")
    fleet.failed(node, "timeout", 4.0)
    assert node.failures.consecutive == 0


def test_probes_are_counted_by_how_they_ended() -> None:
    """From 0 on; whatever status a node answers is one result, and a removed node's late ones are not counted."""
    fleet = Fleet([_node("a")])
    node = fleet.nodes["a"]
    assert dict(node.probes) == dict.fromkeys(PROBE_RESULTS, 0)
    fleet.observed(node, _seen(), 1.0)
    for error in ("timeout", "timeout", "status_503", "status_204"):
        fleet.failed(node, error, 2.0)
    fleet.remove("a")
    fleet.observed(node, _seen(), 3.0)
    assert +node.probes == {"ok": 1, "timeout": 2, "bad_status": 2}


def test_state_of_a_node() -> None:
    """It is in one at a time, and not up or down before it was asked."""
    fleet = Fleet([_node("a")])
    node = fleet.nodes["a"]
    states = [node.state]
    fleet.failed(node, "timeout", 1.0)
    states.append(node.state)
    fleet.observed(node, _seen(), 2.0)
    assert [*states, node.state] == ["unprobed", "down", "up"]


def test_memory_is_learnt_unless_it_is_set() -> None:
    """The most that models were seen to take of the GPUs together; nothing of it seen is nothing known."""
    fleet = Fleet([_node("a"), attrs.evolve(_node("b"), memory_setting=100)])
    learning, told = fleet.nodes.values()
    known = []
    for resident in ((), ("m:latest", "n:latest", "o:latest"), ("m:latest",)):
        for node in (learning, told):
            fleet.observed(node, _seen(resident=resident), 1.0)
        known.append((learning.memory_bytes, told.memory_bytes))
    fleet.failed(learning, "timeout", 2.0)
    assert [*known, learning.memory_bytes] == [(None, 100), (6, 100), (6, 100), 6]


def test_size_of_a_nodes_models() -> None:
    """As it last listed them, also while it is down; nothing before it answered, and 0 where it has none."""
    fleet = Fleet([_node("a")])
    node = fleet.nodes["a"]
    sizes = [node.models_size_bytes]
    for models in ((), ("m:latest", "m:copy"), ()):
        fleet.observed(node, _seen(*models), 1.0)
        sizes.append(node.models_size_bytes)
    fleet.observed(node, _seen("m:latest"), 2.0)
    fleet.failed(node, "timeout", 3.0)
    assert [*sizes, node.models_size_bytes] == [None, 0, 1, 0, 1]


def test_every_probe_is_told(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """However it ended and whether it changed anything, with what it found; one listener's error stays with it."""
    fleet = Fleet([_node("a")])
    node = fleet.nodes["a"]
    told: list[tuple[str, float]] = []

    def broken(node: Node, at: float) -> None:
        raise LookupError

    fleet.probed[:] = [broken, lambda node, at: told.append((node.state, at))]
    fleet.observed(node, _seen("m:latest"), 1.0)
    fleet.observed(node, _seen("m:latest"), 2.0)
    fleet.failed(node, "timeout", 3.0)
    fleet.failed(node, "timeout", 4.0)
    fleet.remove("a")
    fleet.failed(node, "timeout", 5.0)
    assert told == [("up", 1.0), ("up", 2.0), ("down", 3.0), ("down", 4.0)]
    assert len(flush_logged_errors(LookupError)) == 4
