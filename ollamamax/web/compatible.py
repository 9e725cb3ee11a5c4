"""The routes under /v1, as OpenAI's and Anthropic's clients call them: inference, and the models from memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from klein import Klein

from ollamamax.errors import ModelNotFound
from ollamamax.fleet.instants import parse_instant
from ollamamax.fleet.nodes import Fleet
from ollamamax.names import normalized, owner, shortest
from ollamamax.web.answers import PLAIN_JSON, respond
from ollamamax.web.failures import answers_failures
from ollamamax.web.inference import Inference
from ollamamax.web.operations import (
    CHAT_COMPLETIONS,
    COMPLETIONS,
    MESSAGES,
    RESPONSES,
    TRANSCRIPTIONS,
    V1_EMBEDDINGS,
)
from ollamamax.web.site import GatewayRequest


class _Entry(msgspec.Struct):
    """What is read again of an entry of `/api/tags`."""

    name: str
    model: str = ""
    modified_at: str = ""


class _Tags(msgspec.Struct):
    models: Sequence[_Entry]


class _Model(msgspec.Struct, frozen=True):
    """A model as OpenAI's API describes it; the order of the members is Ollama's."""

    id: str
    object: str
    created: int
    owned_by: str


class CompatibleRoutes:
    """The routes under /v1.

    Args:
        fleet: answers the lists from memory.
        inference: answers what costs a node's time.
    """

    app = answers_failures(Klein())

    def __init__(self, fleet: Fleet, inference: Inference) -> None:
        self._fleet = fleet
        self._inference = inference

    # Models, from memory.

    @app.route("/v1/models", methods=["GET"], endpoint="models")
    def models(self, request: GatewayRequest) -> bytes:
        """Every model of every node, once, in the order of `/api/tags`."""
        entries = msgspec.json.decode(self._fleet.tags(), type=_Tags).models
        models = [_model(entry.model or entry.name, entry.modified_at) for entry in entries]
        return _respond(request, {"object": "list", "data": models})

    @app.route("/v1/models/<path:model>", methods=["GET"], endpoint="model")
    def model(self, request: GatewayRequest, model: str) -> bytes:
        """One model, by the name that it was asked for by."""
        summary = self._fleet.model_summary(normalized(model))
        if summary is None:
            # As Ollama 0.33 says it: with its tag.
            raise ModelNotFound(shortest(model))
        return _respond(request, _model(model, summary["modified_at"] or ""))

    # Inference, as OpenAI's clients ask for it.

    @app.route("/v1/chat/completions", methods=["POST"], endpoint="chat_completions")
    async def chat_completions(self, request: GatewayRequest) -> None:
        """A chat's next message."""
        await self._inference.serve(request, CHAT_COMPLETIONS)

    @app.route("/v1/completions", methods=["POST"], endpoint="completions")
    async def completions(self, request: GatewayRequest) -> None:
        """A prompt's completion."""
        await self._inference.serve(request, COMPLETIONS)

    @app.route("/v1/embeddings", methods=["POST"], endpoint="embeddings")
    async def embeddings(self, request: GatewayRequest) -> None:
        """Embeddings of one or many texts."""
        await self._inference.serve(request, V1_EMBEDDINGS)

    @app.route("/v1/responses", methods=["POST"], endpoint="responses")
    async def responses(self, request: GatewayRequest) -> None:
        """A response to an input."""
        await self._inference.serve(request, RESPONSES)

    @app.route("/v1/audio/transcriptions", methods=["POST"], endpoint="transcriptions")
    async def transcriptions(self, request: GatewayRequest) -> None:
        """The words of a recording."""
        await self._inference.serve(request, TRANSCRIPTIONS)

    # Inference, as Anthropic's clients ask for it.

    @app.route("/v1/messages", methods=["POST"], endpoint="messages")
    async def messages(self, request: GatewayRequest) -> None:
        """A chat's next message."""
        await self._inference.serve(request, MESSAGES)


def _model(name: str, modified_at: str) -> _Model:
    modified = parse_instant(modified_at)
    return _Model(name, "model", 0 if modified is None else modified.seconds, owner(name))


def _respond(request: GatewayRequest, value: object) -> bytes:
    # Go's encoder, which Ollama uses here, ends a line.
    return respond(request, msgspec.json.encode(value) + b"\n", content_type=PLAIN_JSON)
