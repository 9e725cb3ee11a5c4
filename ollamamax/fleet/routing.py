"""Which node a request goes to, from what is known at that moment.

Of the nodes that can serve a request the one with the fewest requests in flight is taken; of equals one where the model
is resident, then the one configured first. A node whose last word was a failure comes after all others until a probe or
a request goes well: one that refuses connections has nothing in flight, and would be everybody's first choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from ollamamax.names import is_cloud

Purpose = Literal["inference", "load", "management", "any"]


@attrs.frozen
class Wanted:
    """What a request needs of a node.

    Attributes:
        model: the normalised name, or None where none is named.
        purpose: `inference` needs a node that has the model; `load` (and unload) prefers one where it is resident;
            `management` goes to the first node that has the model, else to the first one; `any` needs no model.
        avoid: names of nodes that this request was tried on already.
    """

    model: str | None
    purpose: Purpose
    avoid: frozenset[str] = frozenset()


@attrs.frozen
class Candidate:
    """A node as routing sees it.

    Attributes:
        name: the node's name.
        up: whether it answered its last probe.
        has_model: whether it has the wanted model.
        resident: whether the wanted model is in its memory.
        in_flight: how many requests it is serving for this gateway.
        doubtful: whether it has failed since a probe or a request went well.
    """

    name: str
    up: bool
    has_model: bool
    resident: bool
    in_flight: int
    doubtful: bool = False


def choose(wanted: Wanted, candidates: Sequence[Candidate]) -> str | None:
    """The node for a request.

    Args:
        wanted: what the request needs.
        candidates: all nodes, in their configured order.

    Returns:
        A node's name, or None where no node that is up can serve the request.
    """
    able = _able(wanted, [node for node in candidates if node.up and node.name not in wanted.avoid])
    if not able:
        return None
    if wanted.purpose == "management":
        return able[0].name
    # min() keeps the first of equals: the configured order.
    if wanted.purpose == "load":
        return min(able, key=lambda node: (not node.resident, node.doubtful, node.in_flight)).name
    return min(able, key=lambda node: (node.doubtful, node.in_flight, not node.resident)).name


def _able(wanted: Wanted, candidates: list[Candidate]) -> list[Candidate]:
    if wanted.model is None or wanted.purpose == "any":
        return candidates
    having = [candidate for candidate in candidates if candidate.has_model]
    # A cloud model is listed only where it was used before; every node can ask for it.
    if not having and (wanted.purpose == "management" or is_cloud(wanted.model)):
        return candidates
    return having
