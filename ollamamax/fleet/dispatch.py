"""The place that a request takes on a node.

Web and relay know only `Dispatcher`, whose answers are asynchronous: a queue, or a store that several gateways share,
can stand behind it.
"""

from __future__ import annotations

import time
from typing import Protocol, Self

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from ollamamax.errors import GatewayError, ModelNotFound, Unavailable
from ollamamax.fleet.loads import Found
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.routing import Candidate, Wanted, choose
from ollamamax.fleet.work import NodeWork
from ollamamax.names import is_cloud
from ollamamax.relay.carriage import RelayReport


@attrs.define(eq=False)
class Lease:
    """One request's place on a node; it counts as in flight there until it is released, as a `with` block does.

    Attributes:
        node: the node.
        wanted: what it was given for.
        found: where the wanted model was at that moment.
    """

    node: Node
    wanted: Wanted
    _work: NodeWork
    found: Found = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.found = self._work.found(self.node, self.wanted.model)
        self.node.in_flight.add(self)
        self._work.began(self)

    def answered(self, report: RelayReport) -> float | None:
        """The node's answer to the request is over; nothing needs to be said of one that failed without an answer.

        Returns:
            How long the request waited for its model to be loaded, in seconds; None where it waited for no load.
        """
        return self._work.answered(self, report)

    def release(self) -> None:
        """Gives the place back; a second call does nothing."""
        self.node.in_flight.discard(self)
        self._work.ended(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Dispatcher(Protocol):
    """What gives requests their nodes."""

    def acquire(self, wanted: Wanted) -> Deferred[Lease]:
        """Finds a place for a request.

        Args:
            wanted: what the request needs.

        Returns:
            Fires with a lease, which the caller releases when the request is over, however it ends. Fails with
            `ModelNotFound` when no node has the model, with `Unavailable` when those that could serve are down.
            Cancelling it gives up waiting.
        """
        ...

    def has_place(self, wanted: Wanted) -> bool:
        """Whether there is a node at this moment that a request could go to; asked often, answered from memory."""
        ...


class SimpleDispatcher:
    """Takes the best node there is at this moment and never waits.

    Args:
        fleet: the nodes.
        work: told of every lease; where nobody else's is given, an own one.
    """

    def __init__(self, fleet: Fleet, work: NodeWork | None = None) -> None:
        self._fleet = fleet
        self._work = work or NodeWork(fleet, clock=time.monotonic, wall_clock=time.time)

    def acquire(self, wanted: Wanted) -> Deferred[Lease]:
        """See `Dispatcher.acquire`."""
        name = self._choose(wanted)
        if name is None:
            return fail(self._refusal(wanted))
        return succeed(Lease(self._fleet.nodes[name], wanted, self._work))

    def has_place(self, wanted: Wanted) -> bool:
        """See `Dispatcher.has_place`."""
        return self._choose(wanted) is not None

    def _choose(self, wanted: Wanted) -> str | None:
        return choose(wanted, [_candidate(node, wanted.model) for node in self._fleet.nodes.values()])

    def _refusal(self, wanted: Wanted) -> GatewayError:
        if wanted.model is None or wanted.purpose in ("any", "management") or is_cloud(wanted.model):
            return Unavailable()
        if any(node.up for node in self._fleet.nodes.values()) and not self._fleet.has_model(wanted.model):
            return ModelNotFound(wanted.model)
        return Unavailable()


def _candidate(node: Node, model: str | None) -> Candidate:
    return Candidate(
        name=node.name,
        up=node.up,
        has_model=model is not None and model in node.models,
        resident=model is not None and model in node.resident,
        in_flight=len(node.in_flight),
        doubtful=node.failures.doubtful,
    )
