"""Which object knows which: the house put together once, in the order of its rooms."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import attrs
from twisted.internet import defer
from twisted.internet.defer import Deferred

from ollamamax import __version__
from ollamamax.address import NodeAddress
from ollamamax.fleet.dialling import probe_agent
from ollamamax.fleet.dispatch import SimpleDispatcher
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.fleet.probe import Prober
from ollamamax.fleet.retries import AttemptCounts, RetryBudget
from ollamamax.fleet.work import NodeWork
from ollamamax.metrics.catalogue import NODE_MODEL_LOADS, NODE_SLOT_BUSY
from ollamamax.metrics.inference import InferenceMetrics
from ollamamax.metrics.models import REMEMBERED_SECONDS, ModelLabels
from ollamamax.metrics.registry import Metrics
from ollamamax.metrics.ticks import ReactorTicks
from ollamamax.relay.client import NodeClient
from ollamamax.relay.relay import Relay
from ollamamax.settings import LoadedSettings, NodeSettings
from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.inventory import SeenModel, SeenNode
from ollamamax.store.store import Store
from ollamamax.web.answers import rfc3339
from ollamamax.web.carrying import Carrier
from ollamamax.web.compatible import CompatibleRoutes
from ollamamax.web.control import ControlRoutes
from ollamamax.web.exposition import ExpositionResource
from ollamamax.web.guard import GuardResource
from ollamamax.web.inference import Inference
from ollamamax.web.management import Management
from ollamamax.web.native import NativeRoutes
from ollamamax.web.origins import OriginPolicy
from ollamamax.web.peers import PeerPolicy
from ollamamax.web.root import RootResource
from ollamamax.web.routes import RouteTable
from ollamamax.web.status import Readiness, health_resource, readiness_resource, statistics_resource, timestamp
from ollamamax.web.summaries import fleet_summary, inference_summary
from ollamamax.web.timing import TimingResource

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

_REFRESH_SECONDS = 1.0


@attrs.define
class Phase:
    """How far the process is; what `/ready` tells of it.

    Attributes:
        listening: the port is bound.
        probed: every node has been tried once.
        draining: the process is about to stop.
    """

    listening: bool = False
    probed: bool = False
    draining: bool = False


@attrs.frozen
class House:
    """Everything that the service starts and stops.

    Attributes:
        fleet: the nodes.
        prober: learns what they have.
        client: the connections to them.
        relay: the requests under way.
        budget: the inference requests under way, and which of them are being tried again.
        inference: what is counted of inference requests.
        exposition: renders `/metrics` on threads of its own.
        ticks: watches the event loop.
        root: the resource that answers every request.
    """

    fleet: Fleet
    prober: Prober
    client: NodeClient
    relay: Relay
    budget: RetryBudget
    inference: InferenceMetrics
    exposition: ExpositionResource
    ticks: ReactorTicks
    root: TimingResource


def assemble(loaded: LoadedSettings, reactor: ReactorBase, store: Store, metrics: Metrics, phase: Phase) -> House:
    """Puts a server together; nothing is started yet.

    Args:
        loaded: the settings in force.
        reactor: the reactor that everything runs on.
        store: the open store.
        metrics: the server's own metrics; the store reports its queries to them already.
        phase: how far the process is, kept true by the service.
    """
    settings = loaded.settings
    started_at = time.time()
    fleet = Fleet([_node(node) for node in settings.nodes])
    work = NodeWork(
        fleet,
        clock=reactor.seconds,
        wall_clock=time.time,
        least_wait=settings.metrics.cold_start_seconds,
        slot_folded=lambda: metrics.overflow.add(NODE_SLOT_BUSY),
        load_folded=lambda: metrics.overflow.add(NODE_MODEL_LOADS),
    )
    prober = Prober(fleet, probe_agent(reactor), reactor, settings.probe)
    client = NodeClient(reactor)
    relay = Relay(client, reactor)

    def refresh(node: str) -> Deferred[None]:
        learnt = prober.probe_now(node).addTimeout(_REFRESH_SECONDS, reactor)
        return learnt.addErrback(lambda failure: failure.trap(defer.TimeoutError) and None)

    routes = RouteTable([app.url_map for app in (ControlRoutes.app, CompatibleRoutes.app, NativeRoutes.app)])
    budget = RetryBudget(settings.retries.budget_ratio, settings.retries.budget_minimum)
    counts = AttemptCounts()
    labels = ModelLabels(fleet.has_model, settings.models)
    counted = InferenceMetrics(
        labels,
        metrics.overflow,
        cold_start_seconds=settings.metrics.cold_start_seconds,
        resident=partial(_resident, fleet),
    )
    carrier = Carrier(
        dispatcher=SimpleDispatcher(fleet, work),
        relay=relay,
        ledger=store.ledger,
        settings=settings,
        budget=budget,
        counts=counts,
        metrics=counted,
        peers=PeerPolicy.of(settings.trusted_networks, settings.client_address),
        endpoint_of=lambda request: routes.endpoint(request.method, request.path),
        now=time.time,
        clock=reactor.seconds,
        suspect=prober.suspect,
        refresh=refresh,
    )
    inference = Inference(carrier)

    def readiness() -> Readiness:
        nodes = list(fleet.nodes.values())
        return Readiness(
            listening=phase.listening,
            store_open=True,
            probed=phase.probed,
            draining=phase.draining,
            nodes_up=sum(node.up for node in nodes),
            nodes_total=len(nodes),
        )

    def stats() -> Mapping[str, object]:
        nodes = list(fleet.nodes.values())
        return {
            "version": __version__,
            "started_at": rfc3339(started_at),
            "uptime_seconds": round(time.time() - started_at, 3),
            "http": {"requests_in_flight": len(metrics.http.live)},
            "nodes": {"up": sum(node.up for node in nodes), "total": len(nodes)},
            "models": len(fleet.model_summaries()),
            "inference": {"in_flight": sum(len(node.in_flight) for node in nodes)},
            "ledger": {"pending": store.ledger.pending, "dropped": store.ledger.dropped},
            "database": store.statistics.as_json(),
        }

    health = health_resource(__version__)
    routed = RootResource(
        native=NativeRoutes(fleet, inference, Management(carrier), health, readiness_resource(readiness)),
        compatible=CompatibleRoutes(fleet, inference),
        control=ControlRoutes(
            fleet=fleet,
            inference=inference,
            ledger=store.ledger,
            health=health,
            stats=stats,
            configuration=loaded.public(),
            now=time.time,
        ),
        metrics=(exposition := ExpositionResource(metrics, reactor)),
        statistics=statistics_resource(
            store.statistics.as_json,
            {
                "fleet": lambda: fleet_summary(fleet.nodes.values()),
                "inference": lambda: inference_summary(counted, since=timestamp(started_at)),
            },
            time.time,
        ),
    )
    policy = OriginPolicy.of(settings.allowed_hosts, settings.allowed_origins, socket.gethostname())
    root = TimingResource(GuardResource(routed, policy, routes), metrics.http, routes, reactor.seconds)

    metrics.watch_database(store.statistics.snapshot)
    metrics.watch_ledger(lambda: store.ledger)
    metrics.watch_size(lambda: store.size)
    metrics.watch_fleet(fleet.nodes.values)
    metrics.watch_work(lambda: work)
    metrics.watch_attempts(lambda: counts)
    metrics.watch_inference(counted)
    metrics.watch_reactor(ticks := ReactorTicks(reactor, time.time))
    metrics.watch_threads(
        lambda: {"reactor": reactor.getThreadPool(), **store.thread_pools, "exposition": exposition.thread_pool}
    )
    fleet.changed.append(lambda node, _appeared, _disappeared: _remember(store, node))
    fleet.changed.append(lambda _node, _appeared, disappeared: labels.left(disappeared, time.time()))
    return House(
        fleet=fleet,
        prober=prober,
        client=client,
        relay=relay,
        budget=budget,
        inference=counted,
        exposition=exposition,
        ticks=ticks,
        root=root,
    )


def remember_all(store: Store, fleet: Fleet) -> None:
    """Notes in the store that the nodes and their models are still there; what is news is noted as it comes."""
    for node in fleet.nodes.values():
        if node.up:
            _remember(store, node)


async def recall_models(store: Store, inference: InferenceMetrics) -> None:
    """Learns which models some node had within the last days, whose names are labels; never fails.

    Series of models that none had for so long are dropped: what they counted stays where it was scraped.
    """
    now = time.time()
    try:
        models = await store.inventory.models_seen_since(now - REMEMBERED_SECONDS)
    except StoreUnavailable:
        return
    inference.labels.remembered(models, now)
    inference.forget_models()


def _resident(fleet: Fleet) -> Iterator[tuple[str, Collection[str] | None]]:
    for node in fleet.nodes.values():
        for name in node.resident:
            entry = node.models.get(name)
            yield name, None if entry is None else entry.get("capabilities")


def _remember(store: Store, node: Node) -> None:
    now = time.time()
    seen = SeenNode(name=node.name, url=node.address.url, simulated=node.simulated, version=node.version, seen_at=now)
    models = [
        SeenModel(node=node.name, model=name, digest=_text(entry.get("digest")), seen_at=now)
        for name, entry in node.models.items()
    ]
    store.inventory.record([seen], models)


def _node(given: NodeSettings) -> Node:
    return Node(
        given.name,
        NodeAddress.from_url(given.url),
        memory_setting=given.memory_bytes,
        disk_bytes=given.disk_bytes,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
