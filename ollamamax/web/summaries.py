"""What `/metrics.json` tells of nodes and inference: a few numbers for a dashboard that reads JSON.

Pure. Each is made of the object that the metrics are read from, at the moment at which it is asked for.
`docs/metrics.schema.json` describes the whole document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sized
from typing import Protocol


class NodeState(Protocol):
    """What is known of one node."""

    @property
    def name(self) -> str:
        """Its configured name."""

    @property
    def up(self) -> bool:
        """Whether its last probe succeeded."""

    @property
    def simulated(self) -> bool:
        """Whether its answers are made up."""

    @property
    def version(self) -> str | None:
        """Its Ollama's version; None before its first answer."""

    @property
    def in_flight(self) -> Sized:
        """What this gateway has running there."""

    @property
    def resident(self) -> Collection[str]:
        """The normalised names of the models in its memory."""


class InferenceState(Protocol):
    """What was counted of inference since the start."""

    @property
    def live(self) -> Sized:
        """The requests that a node works on."""

    def requests_by_outcome(self) -> Mapping[str, int]:
        """The requests that are over, by each way in which one can end."""

    def tokens_by_type(self) -> Mapping[str, int]:
        """Tokens, `input` and `output`."""


def fleet_summary(nodes: Iterable[NodeState]) -> Mapping[str, object]:
    """The member `fleet`."""
    known = [
        {
            "name": node.name,
            "up": node.up,
            "simulated": node.simulated,
            "version": node.version,
            "in_flight": len(node.in_flight),
            "resident_models": sorted(node.resident),
        }
        for node in nodes
    ]
    return {"nodes_up": sum(node["up"] is True for node in known), "nodes_total": len(known), "nodes": known}


def inference_summary(state: InferenceState, since: str) -> Mapping[str, object]:
    """The member `inference`.

    Args:
        state: what was counted.
        since: from when on, as RFC 3339.
    """
    outcomes, tokens = state.requests_by_outcome(), state.tokens_by_type()
    return {
        "since": since,
        "in_flight": len(state.live),
        "requests_total": sum(outcomes.values()),
        "requests_by_outcome": dict(outcomes),
        "input_tokens_total": tokens["input"],
        "output_tokens_total": tokens["output"],
    }
