"""What `/metrics.json` tells of nodes and inference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sized

import attrs

from ollamamax.web.summaries import fleet_summary, inference_summary


@attrs.frozen
class Node:
    """A node, as far as it is told of."""

    name: str
    up: bool
    simulated: bool = False
    version: str | None = None
    in_flight: Sized = ()
    resident: Collection[str] = ()


@attrs.frozen
class Counted:
    """What was counted."""

    outcomes: Mapping[str, int]
    tokens: Mapping[str, int]
    live: Sized = ()

    def requests_by_outcome(self) -> Mapping[str, int]:
        return self.outcomes

    def tokens_by_type(self) -> Mapping[str, int]:
        return self.tokens


def test_the_fleet() -> None:
    """Every node in its order, with what it holds, and how many there are."""
    nodes = [
        Node("desk", True, version="0.33.0", in_flight=(1, 2), resident={"b:latest": object(), "a:1b": object()}),
        Node("away", False),
        Node("simulated-1", True, simulated=True, version="0.33.0"),
    ]
    empty: dict[str, object] = {"simulated": False, "version": None, "in_flight": 0, "resident_models": []}
    assert fleet_summary(nodes) == {
        "nodes_up": 2,
        "nodes_total": 3,
        "nodes": [
            {
                **empty,
                "name": "desk",
                "up": True,
                "version": "0.33.0",
                "in_flight": 2,
                "resident_models": ["a:1b", "b:latest"],
            },
            {**empty, "name": "away", "up": False},
            {**empty, "name": "simulated-1", "up": True, "simulated": True, "version": "0.33.0"},
        ],
    }


def test_an_empty_fleet() -> None:
    """Nothing is nothing."""
    assert fleet_summary([]) == {"nodes_up": 0, "nodes_total": 0, "nodes": []}


def test_inference() -> None:
    """Totals are the sums of their parts."""
    counted = Counted({"success": 3, "length": 0, "timeout": 2}, {"input": 17, "output": 4}, live={1})
    assert inference_summary(counted, "2025-10-27T10:30:00Z") == {
        "since": "2025-10-27T10:30:00Z",
        "in_flight": 1,
        "requests_total": 5,
        "requests_by_outcome": {"success": 3, "length": 0, "timeout": 2},
        "input_tokens_total": 17,
        "output_tokens_total": 4,
    }
