"""The gateway's own API under /api/v1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs
from klein import Klein
from twisted.web.resource import IResource

from ollamamax.errors import ResourceNotFound
from ollamamax.fleet.failures import Failure
from ollamamax.fleet.inventory import ModelSummary
from ollamamax.fleet.nodes import Fleet, Node
from ollamamax.names import normalized
from ollamamax.store.ledger import Ledger
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.web.answers import listing, page, respond, respond_json, rfc3339
from ollamamax.web.failures import answers_failures
from ollamamax.web.inference import Inference
from ollamamax.web.operations import CHAT, GENERATE
from ollamamax.web.selections import cursor_of, format_of, selection_of, usage_query_of
from ollamamax.web.site import GatewayRequest
from ollamamax.web.usage import CSV, as_csv, as_json


class ControlRoutes:
    """The routes under /api/v1.

    Args:
        fleet: the nodes and their models.
        inference: answers chat and generate.
        ledger: the accounts of past requests.
        health: says that the process answers.
        stats: figures of the process, its nodes and its database.
        configuration: the settings in force, without secrets, as `system/config` shows them.
        now: the wall clock, Unix seconds.
    """

    app = answers_failures(Klein())

    def __init__(
        self,
        *,
        fleet: Fleet,
        inference: Inference,
        ledger: Ledger,
        health: IResource,
        stats: Callable[[], Mapping[str, object]],
        configuration: Mapping[str, object],
        now: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._inference = inference
        self._ledger = ledger
        self._health = health
        self._stats = stats
        self._configuration = configuration
        self._now = now

    @app.route("/api/v1/health", methods=["GET"], endpoint="health")
    def health(self, request: GatewayRequest) -> IResource:
        """The process answers."""
        return self._health

    # Models.

    @app.route("/api/v1/models", methods=["GET"], endpoint="models")
    def models(self, request: GatewayRequest) -> bytes:
        """Every model of every node, once."""
        return _respond_page(request, "models", self._fleet.model_summaries())

    @app.route("/api/v1/models/<path:id>", methods=["GET"], endpoint="model")
    def model(self, request: GatewayRequest, id: str) -> bytes:
        """One model."""
        return respond_json(request, self._summary(id))

    @app.route("/api/v1/models/<path:id>/replicas", methods=["GET"], endpoint="replicas")
    def replicas(self, request: GatewayRequest, id: str) -> bytes:
        """The nodes that have a model."""
        self._summary(id)
        return _respond_page(request, "replicas", self._fleet.replicas(normalized(id)))

    # Nodes.

    @app.route("/api/v1/nodes", methods=["GET"], endpoint="nodes")
    def nodes(self, request: GatewayRequest) -> bytes:
        """Every node."""
        return _respond_page(request, "nodes", [_node(node) for node in self._fleet.nodes.values()])

    @app.route("/api/v1/nodes/<id>", methods=["GET"], endpoint="node")
    def node(self, request: GatewayRequest, id: str) -> bytes:
        """One node."""
        return respond_json(request, _node(self._node(id)))

    @app.route("/api/v1/nodes/<id>/health", methods=["GET"], endpoint="node_health")
    def node_health(self, request: GatewayRequest, id: str) -> bytes:
        """What the last probe of a node found, and what speaks against it and its models."""
        return respond_json(request, _health(self._node(id)))

    # Inference.

    @app.route("/api/v1/inference/chat", methods=["POST"], endpoint="chat")
    async def chat(self, request: GatewayRequest) -> None:
        """As /api/chat."""
        await self._inference.serve(request, CHAT)

    @app.route("/api/v1/inference/generate", methods=["POST"], endpoint="generate")
    async def generate(self, request: GatewayRequest) -> None:
        """As /api/generate."""
        await self._inference.serve(request, GENERATE)

    @app.route("/api/v1/inference/requests", methods=["GET"], endpoint="requests")
    async def requests(self, request: GatewayRequest) -> bytes:
        """Past and running requests, the newest first."""
        selection = selection_of(request.args or {}, self._now())
        limit, offset = page(request)
        rows, total = await self._ledger.requests(limit, offset, selection)
        following = cursor_of(selection, selection.position_of(rows[-1])) if len(rows) == limit else None
        pagination = {"limit": limit, "offset": offset, "count": len(rows), "total": total, "next": following}
        return respond_json(request, {"requests": [_account(row) for row in rows], "pagination": pagination})

    @app.route("/api/v1/inference/requests/<id>", methods=["GET"], endpoint="request")
    async def request(self, request: GatewayRequest, id: str) -> bytes:
        """One request, by the id that its answer carried."""
        row = await self._ledger.request(id)
        if row is None:
            raise ResourceNotFound("there is no request with this id")
        return respond_json(request, _account(row))

    @app.route("/api/v1/usage", methods=["GET"], endpoint="usage")
    async def usage(self, request: GatewayRequest) -> bytes:
        """What finished requests used, added up."""
        now = self._now()
        query = usage_query_of(request.args or {}, now)
        accept = b",".join(request.requestHeaders.getRawHeaders(b"accept", ())).decode("latin-1")
        request.responseHeaders.addRawHeader(b"Vary", b"Accept")
        if format_of(request.args or {}, accept) == "csv":
            request.setHeader(b"Content-Disposition", b'attachment; filename="usage.csv"')
            return respond(request, await self._ledger.usage(query, as_csv), content_type=CSV)
        return respond(request, await self._ledger.usage(query, partial(as_json, now=now)))

    # The system.

    @app.route("/api/v1/system/stats", methods=["GET"], endpoint="stats")
    def stats(self, request: GatewayRequest) -> bytes:
        """Figures of the process, its nodes and its database."""
        return respond_json(request, self._stats())

    @app.route("/api/v1/system/config", methods=["GET"], endpoint="config")
    def config(self, request: GatewayRequest) -> bytes:
        """The settings in force, and where each comes from."""
        return respond_json(request, self._configuration)

    def _summary(self, name: str) -> ModelSummary:
        summary = self._fleet.model_summary(normalized(name))
        if summary is None:
            raise ResourceNotFound("no node has this model")
        return summary

    def _node(self, name: str) -> Node:
        node = self._fleet.nodes.get(name)
        if node is None:
            raise ResourceNotFound("there is no node of this name")
        return node


def _respond_page(request: GatewayRequest, name: str, items: Sequence[object]) -> bytes:
    limit, offset = page(request)
    return respond_json(request, listing(name, items[offset : offset + limit], limit, offset, len(items)))


def _state(node: Node) -> str:
    if node.probed_at is None:
        return "unknown"
    return "up" if node.up else "down"


def _node(node: Node) -> dict[str, object]:
    return {
        "id": node.name,
        "url": node.address.url,
        "status": _state(node),
        "error": node.error or None,
        "simulated": node.simulated,
        "version": node.version,
        "checked_at": rfc3339(node.probed_at),
        "in_flight": len(node.in_flight),
        "memory_bytes": node.memory_bytes,
        "disk_bytes": node.disk_bytes,
        "models_size_bytes": node.models_size_bytes,
        "models": sorted(node.models),
        "resident": sorted(node.resident),
    }


def _health(node: Node) -> dict[str, object]:
    found = node.failures
    return {
        "node": node.name,
        "status": _state(node),
        "error": node.error or None,
        "checked_at": rfc3339(node.probed_at),
        "consecutive_failures": found.consecutive,
        "last_failure": _failure(found.last),
        "models": [
            {
                "model": name,
                "consecutive_failures": streak.count,
                "clients": len(streak.clients),
                "last_failure": _failure(streak.last),
            }
            for name, streak in sorted(found.models.items())
        ],
    }


def _failure(failure: Failure | None) -> dict[str, object] | None:
    return None if failure is None else {"kind": failure.kind, "at": rfc3339(failure.at)}


def _account(row: LedgerRow) -> dict[str, object]:
    account = attrs.asdict(row)
    return account | {"started_at": rfc3339(row.started_at), "finished_at": rfc3339(row.finished_at)}
