"""Ollama's routes, each a line: Klein finds them, the route objects answer.

Importing Klein installs a reactor, so this module is imported only once one was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .answers import answer, answer_failure
from .compatible_routes import CompatibleRoutes
from .embedding_routes import Embedding, EmbeddingRoutes
from .failures import ApiFailure
from .guard import GuardedResource
from .inference import Inference
from .management import InventoryRoutes, ServerRoutes, TransferRoutes
from .simulation import Simulation
from .site import SimulatedRequest
from .text_routes import TextRoutes
from .words import PLAIN

Answering = Coroutine[object, object, None]
_HEAD_TOO = ("/", "/api/version", "/api/tags")
"""Ollama answers HEAD only where it says so; Werkzeug does wherever GET is."""


class OllamaRoutes:
    """All routes.

    Args:
        simulation: what they share.
    """

    app = Klein()

    def __init__(self, simulation: Simulation) -> None:
        inference, embedding = Inference(simulation), Embedding(simulation)
        self._text = TextRoutes(inference, simulation.settings.profile)
        self._embedding = EmbeddingRoutes(embedding)
        self._compatible = CompatibleRoutes(simulation, inference, embedding)
        self._inventory = InventoryRoutes(simulation)
        self._transfers = TransferRoutes(simulation)
        self._server = ServerRoutes(simulation)

    @app.route("/", methods=["GET"], endpoint="root", strict_slashes=False)
    def root(self, request: SimulatedRequest) -> None:
        self._server.root(request)

    @app.route("/api/version", methods=["GET"], endpoint="version")
    def version(self, request: SimulatedRequest) -> None:
        self._server.version(request)

    @app.route("/api/status", methods=["GET"], endpoint="status")
    def status(self, request: SimulatedRequest) -> None:
        _no_head(request)
        self._server.status(request)

    @app.route("/api/generate", methods=["POST"], endpoint="generate")
    def generate(self, request: SimulatedRequest) -> Answering:
        return self._text.generate(request)

    @app.route("/api/chat", methods=["POST"], endpoint="chat")
    def chat(self, request: SimulatedRequest) -> Answering:
        return self._text.chat(request)

    @app.route("/api/embed", methods=["POST"], endpoint="embed")
    def embed(self, request: SimulatedRequest) -> Answering:
        return self._embedding.embed(request)

    @app.route("/api/embeddings", methods=["POST"], endpoint="embeddings")
    def embeddings(self, request: SimulatedRequest) -> Answering:
        return self._embedding.embeddings(request)

    @app.route("/api/tags", methods=["GET"], endpoint="tags")
    def tags(self, request: SimulatedRequest) -> None:
        self._inventory.tags(request)

    @app.route("/api/ps", methods=["GET"], endpoint="ps")
    def ps(self, request: SimulatedRequest) -> None:
        _no_head(request)
        self._inventory.ps(request)

    @app.route("/api/show", methods=["POST"], endpoint="show")
    def show(self, request: SimulatedRequest) -> None:
        self._inventory.show(request)

    @app.route("/api/copy", methods=["POST"], endpoint="copy")
    def copy(self, request: SimulatedRequest) -> None:
        self._inventory.copy(request)

    @app.route("/api/delete", methods=["DELETE"], endpoint="delete")
    def delete(self, request: SimulatedRequest) -> None:
        self._inventory.delete(request)

    @app.route("/api/blobs/<digest>", methods=["HEAD"], endpoint="blob_exists")
    def blob_exists(self, request: SimulatedRequest, digest: str) -> None:
        self._inventory.blob_exists(request, digest)

    @app.route("/api/blobs/<digest>", methods=["POST"], endpoint="blob_upload")
    def blob_upload(self, request: SimulatedRequest, digest: str) -> None:
        self._inventory.blob_upload(request, digest)

    @app.route("/api/pull", methods=["POST"], endpoint="pull")
    def pull(self, request: SimulatedRequest) -> Answering:
        return self._transfers.pull(request)

    @app.route("/api/push", methods=["POST"], endpoint="push")
    def push(self, request: SimulatedRequest) -> Answering:
        return self._transfers.push(request)

    @app.route("/api/create", methods=["POST"], endpoint="create")
    def create(self, request: SimulatedRequest) -> Answering:
        return self._transfers.create(request)

    @app.route("/api/me", methods=["POST"], endpoint="me")
    def me(self, request: SimulatedRequest) -> None:
        self._server.account(request)

    @app.route("/api/signout", methods=["POST"], endpoint="signout")
    def signout(self, request: SimulatedRequest) -> None:
        self._server.account(request)

    @app.route("/api/experimental/web_search", methods=["POST"], endpoint="web_search")
    def web_search(self, request: SimulatedRequest) -> None:
        self._server.cloud_feature(request, "web search")

    @app.route("/api/experimental/web_fetch", methods=["POST"], endpoint="web_fetch")
    def web_fetch(self, request: SimulatedRequest) -> None:
        self._server.cloud_feature(request, "web fetch")

    @app.route("/v1/chat/completions", methods=["POST"], endpoint="v1_chat_completions")
    def chat_completions(self, request: SimulatedRequest) -> Answering:
        return self._compatible.chat_completions(request)

    @app.route("/v1/completions", methods=["POST"], endpoint="v1_completions")
    def completions(self, request: SimulatedRequest) -> Answering:
        return self._compatible.completions(request)

    @app.route("/v1/embeddings", methods=["POST"], endpoint="v1_embeddings")
    def openai_embeddings(self, request: SimulatedRequest) -> Answering:
        return self._compatible.embeddings(request)

    @app.route("/v1/models", methods=["GET"], endpoint="v1_models")
    def models(self, request: SimulatedRequest) -> None:
        _no_head(request)
        self._compatible.models(request)

    @app.route("/v1/models/<model>", methods=["GET"], endpoint="v1_model")
    def model(self, request: SimulatedRequest, model: str) -> None:
        _no_head(request)
        self._compatible.model(request, model)

    @app.route("/v1/responses", methods=["POST"], endpoint="v1_responses")
    def responses(self, request: SimulatedRequest) -> Answering:
        return self._compatible.responses(request)

    @app.route("/v1/audio/transcriptions", methods=["POST"], endpoint="v1_transcriptions")
    def transcriptions(self, request: SimulatedRequest) -> Answering:
        return self._compatible.transcriptions(request)

    @app.route("/v1/messages", methods=["POST"], endpoint="v1_messages")
    def messages(self, request: SimulatedRequest) -> Answering:
        return self._compatible.messages(request)

    @app.handle_errors(ApiFailure)  # type: ignore[arg-type]  # of an own request class
    def failed(self, request: SimulatedRequest, failure: Failure) -> None:
        if isinstance(failure.value, ApiFailure):
            answer_failure(request, failure.value, request.dialect, request.identity)

    @app.handle_errors(MethodNotAllowed)  # type: ignore[arg-type]  # of an own request class
    def wrong_method(self, request: SimulatedRequest, failure: Failure) -> None:
        methods = self.allowed_methods(request.path.decode("latin-1"))
        request.setHeader(b"Allow", ", ".join(methods).encode("ascii"))
        answer(request, b"405 method not allowed", PLAIN, 405)

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]  # of an own request class
    def no_route(self, request: SimulatedRequest, failure: Failure) -> None:
        answer(request, b"404 page not found", PLAIN, 404)

    def allowed_methods(self, path: str) -> list[str]:
        """The methods that a path's route takes; none for an unknown path."""
        methods = self.app.url_map.bind("").allowed_methods(path)
        without_head = path not in _HEAD_TOO and not path.startswith("/api/blobs/")
        return sorted(method for method in methods if not (method == "HEAD" and without_head))


def _no_head(request: SimulatedRequest) -> None:
    if request.method == b"HEAD":
        raise MethodNotAllowed(["GET"])


def ollama_resource(simulation: Simulation) -> IResource:
    """The whole server as a resource: the guard before the routes."""
    routes = OllamaRoutes(simulation)
    allowed: Callable[[str], list[str]] = routes.allowed_methods
    return GuardedResource(routes.app.resource(), allowed)
