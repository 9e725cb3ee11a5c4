"""Ollama's native API: inference, lists from memory, management on one node, and what is never carried."""

from __future__ import annotations

from klein import Klein
from twisted.web.resource import IResource

from ollamamax.errors import ForbiddenRequest, Unavailable
from ollamamax.fleet.nodes import Fleet
from ollamamax.web.answers import TEXT, respond, respond_json
from ollamamax.web.failures import answers_failures
from ollamamax.web.inference import Inference
from ollamamax.web.management import Management
from ollamamax.web.operations import CHAT, EMBED, EMBEDDINGS, GENERATE
from ollamamax.web.site import GatewayRequest


class NativeRoutes:
    """The routes at the root of the server.

    Args:
        fleet: answers the lists from memory.
        inference: answers what costs a node's time.
        management: answers what changes or describes a node's models.
        health: says that the process answers.
        readiness: says whether this server should be sent requests.
    """

    app = answers_failures(Klein())

    def __init__(
        self, fleet: Fleet, inference: Inference, management: Management, health: IResource, readiness: IResource
    ) -> None:
        self._fleet = fleet
        self._inference = inference
        self._management = management
        self._health = health
        self._readiness = readiness

    # The process.

    @app.route("/", methods=["GET"], endpoint="root")
    def root(self, request: GatewayRequest) -> bytes:
        """What clients look for to know that a server is there."""
        return respond(request, b"Ollama is running", content_type=TEXT)

    @app.route("/health", methods=["GET"], endpoint="health")
    def health(self, request: GatewayRequest) -> IResource:
        """The process answers."""
        return self._health

    @app.route("/ready", methods=["GET"], endpoint="ready")
    def ready(self, request: GatewayRequest) -> IResource:
        """Whether this server should be sent requests."""
        return self._readiness

    # Lists, from memory.

    @app.route("/api/version", methods=["GET"], endpoint="version")
    def version(self, request: GatewayRequest) -> bytes:
        """The lowest version of the nodes."""
        version = self._fleet.version()
        if version is None:
            raise Unavailable("no node has told its version yet")
        return respond_json(request, {"version": version})

    @app.route("/api/tags", methods=["GET"], endpoint="tags")
    def tags(self, request: GatewayRequest) -> bytes:
        """The models of all nodes."""
        return respond(request, self._fleet.tags())

    @app.route("/api/ps", methods=["GET"], endpoint="ps")
    def resident(self, request: GatewayRequest) -> bytes:
        """The models that are loaded on some node."""
        return respond(request, self._fleet.ps())

    # Inference.

    @app.route("/api/chat", methods=["POST"], endpoint="chat")
    async def chat(self, request: GatewayRequest) -> None:
        """A chat's next message."""
        await self._inference.serve(request, CHAT)

    @app.route("/api/generate", methods=["POST"], endpoint="generate")
    async def generate(self, request: GatewayRequest) -> None:
        """A prompt's completion."""
        await self._inference.serve(request, GENERATE)

    @app.route("/api/embed", methods=["POST"], endpoint="embed")
    async def embed(self, request: GatewayRequest) -> None:
        """Embeddings of one or many texts."""
        await self._inference.serve(request, EMBED)

    @app.route("/api/embeddings", methods=["POST"], endpoint="embeddings")
    async def embeddings(self, request: GatewayRequest) -> None:
        """The embedding of one text, as older clients ask for it."""
        await self._inference.serve(request, EMBEDDINGS)

    # Models on a node.

    @app.route("/api/status", methods=["GET"], endpoint="status")
    async def status(self, request: GatewayRequest) -> None:
        """What a node tells of its use of Ollama's cloud."""
        await self._management.ask(request)

    @app.route("/api/show", methods=["POST"], endpoint="show")
    async def show(self, request: GatewayRequest) -> None:
        """A model's description."""
        await self._management.about(request, "model", "name")

    @app.route("/api/push", methods=["POST"], endpoint="push")
    async def push(self, request: GatewayRequest) -> None:
        """Uploads a model to a registry."""
        await self._management.about(request, "model", "name", streams=True)

    @app.route("/api/pull", methods=["POST"], endpoint="pull")
    async def pull(self, request: GatewayRequest) -> None:
        """Downloads a model from a registry."""
        await self._management.change(request, "model", "name", streams=True)

    @app.route("/api/create", methods=["POST"], endpoint="create")
    async def create(self, request: GatewayRequest) -> None:
        """Makes a model from another one or from uploaded files."""
        await self._management.change(request, "from", streams=True, optional=True)

    @app.route("/api/copy", methods=["POST"], endpoint="copy")
    async def copy(self, request: GatewayRequest) -> None:
        """Gives a model a second name."""
        await self._management.change(request, "source")

    @app.route("/api/delete", methods=["DELETE"], endpoint="delete")
    async def delete(self, request: GatewayRequest) -> None:
        """Removes a model."""
        await self._management.change(request, "model", "name")

    @app.route("/api/blobs/<digest>", methods=["POST"], endpoint="blob_upload")
    async def blob_upload(self, request: GatewayRequest, digest: str) -> None:
        """Uploads a file that a model will be made from."""
        await self._management.upload(request)

    @app.route("/api/blobs/<digest>", methods=["HEAD"], endpoint="blob")
    async def blob(self, request: GatewayRequest, digest: str) -> None:
        """Whether a file has been uploaded."""
        await self._management.ask(request)

    # Never carried: a node's account and what Ollama's cloud does in its name.

    @app.route("/api/me", methods=["POST"], endpoint="me")
    @app.route("/api/signout", methods=["POST"], endpoint="signout")
    @app.route("/api/experimental/web_search", methods=["POST"], endpoint="web_search")
    @app.route("/api/experimental/web_fetch", methods=["POST"], endpoint="web_fetch")
    def denied(self, request: GatewayRequest) -> bytes:
        """The nodes' accounts are their owner's."""
        raise ForbiddenRequest("this route is not available through the gateway")

    @app.route("/api/user/keys/<path:id>", methods=["DELETE"], endpoint="user_key")
    def denied_key(self, request: GatewayRequest, id: str) -> bytes:
        """The nodes' accounts are their owner's."""
        raise ForbiddenRequest("this route is not available through the gateway")
