"""How the fleet learns of its nodes: each is asked again and again, apart from the others.

A round asks a node for its version, its models and what is resident; the first answer that fails ends the round and the
node is down. Rounds of one node never overlap, and a node that hangs delays nobody but itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from ollamamax.fleet.answers import BadAnswer, Observation, read_residents, read_version
from ollamamax.fleet.dialling import MAX_ANSWER_BYTES
from ollamamax.fleet.fetch import FetchFailed, fetch
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.watch import Watch
from ollamamax.settings import Probe

_JITTER = 0.1  # of the interval, to either side: gateways and nodes that started together drift apart
_SUSPICION_GAP_SECONDS = 1.0  # however many requests fail, a node is not probed more often than this because of them


class Prober:
    """Probes every node of a fleet, those that are added later included.

    Args:
        fleet: where the nodes are and what is learnt goes.
        agent: what sends requests (`dialling.probe_agent`).
        clock: what keeps the time.
        settings: the interval between rounds and the time that one request may take.
        wall_clock: Unix seconds, for `Node.probed_at`.
        chance: numbers from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        fleet: Fleet,
        agent: IAgent,
        clock: IReactorTime,
        settings: Probe,
        *,
        wall_clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._fleet = fleet
        self._agent = agent
        self._clock = clock
        self._settings = settings
        self._wall_clock = wall_clock
        self._chance = chance
        self._watches: dict[str, Watch] = {}

    def start(self) -> Deferred[None]:
        """Begins to probe.

        Returns:
            Fires when every node that there is now was probed once, whatever came of it, or when probing was stopped.
        """
        self._fleet.changed.append(self._follow)
        # A listener to what one probe found may already have removed the next node.
        first_round = [
            self._watch(node).probe()
            for node in tuple(self._fleet.nodes.values())
            if self._fleet.nodes.get(node.name) is node
        ]
        return DeferredList(first_round).addCallback(lambda _: None)

    def stop(self) -> Deferred[None]:
        """Ends all probes, those that are running included; their connections are closed."""
        if self._follow in self._fleet.changed:
            self._fleet.changed.remove(self._follow)
        while self._watches:
            self._watches.popitem()[1].stop()
        return succeed(None)

    def probe_now(self, name: str) -> Deferred[None]:
        """Probes a node without waiting for its turn.

        Args:
            name: the node's name; an unknown one is ignored, as it may just have been removed.

        Returns:
            Fires when a round that began after this call has ended, so that it saw what was done before. Callers that
            come while a round is running share the next one.
        """
        watch = self._watches.get(name)
        return succeed(None) if watch is None else watch.probe()

    def suspect(self, name: str) -> None:
        """Has a node probed soon, because a connection to it failed; cheap enough to call at every failure."""
        watch = self._watches.get(name)
        if watch is not None:
            watch.hasten(_SUSPICION_GAP_SECONDS)

    def _watch(self, node: Node) -> Watch:
        watch = self._watches[node.name] = Watch(node, self._probe, self._clock, self._pause)
        return watch

    def _follow(self, node: Node, appeared: frozenset[str], disappeared: frozenset[str]) -> None:
        known = self._watches.get(node.name)
        if self._fleet.nodes.get(node.name) is node:
            if known is None:
                self._watch(node).probe()
        elif known is not None and known.node is node:
            del self._watches[node.name]
            known.stop()

    def _pause(self) -> float:
        shift: float = _JITTER * (2 * self._chance() - 1)
        return self._settings.interval_seconds * (1 + shift)

    async def _probe(self, watch: Watch) -> None:
        try:
            seen = Observation(
                version=read_version(await self._get(watch.node, "/api/version")),
                models=watch.models(await self._get(watch.node, "/api/tags")),
                resident=read_residents(await self._get(watch.node, "/api/ps")),
            )
        except FetchFailed as error:
            self._fleet.failed(watch.node, error.code, self._wall_clock(), error.detail)
        except BadAnswer as error:
            self._fleet.failed(watch.node, "bad_answer", self._wall_clock(), str(error))
        else:
            self._fleet.observed(watch.node, seen, self._wall_clock())

    def _get(self, node: Node, path: str) -> Deferred[bytes]:
        return fetch(
            self._agent,
            self._clock,
            (node.address.url + path).encode("ascii"),
            timeout_seconds=self._settings.timeout_seconds,
            max_bytes=MAX_ANSWER_BYTES,
        )
