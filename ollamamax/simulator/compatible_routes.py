"""The routes that speak as OpenAI's and Anthropic's servers do: requests translated, then as for Ollama's own API.

A request passes three layers as in Ollama: a proxy for the cloud's models, which decodes the body; the dialect's own
checks; and the native route, whose findings are translated back. Which one refuses decides the words and the framing.
"""

from __future__ import annotations

import base64
import struct

from . import anthropic_requests, openai_requests, responses_requests
from . import json_requests as shapes
from .answers import answer
from .anthropic_events import MessagesWords
from .embedding_routes import Embedded, Embedding
from .encoded_bodies import decoded
from .failures import ApiFailure
from .frames import line
from .inference import Inference
from .json_requests import Fields, Shape
from .models import Model, parsed_name
from .openai_events import ChatCompletionWords, CompletionWords
from .responses_events import ResponsesWords
from .simulation import Simulation, absent_in_show, cloud_refusal, is_cloud, sequence, text
from .site import SimulatedRequest
from .transcription import TranscriptionWords, read_form
from .words import BARE_JSON


class CompatibleRoutes:
    """What `/v1/…` answers.

    Args:
        simulation: what the routes share.
        inference: what makes text.
        embedding: what makes embeddings.
    """

    def __init__(self, simulation: Simulation, inference: Inference, embedding: Embedding) -> None:
        self._simulation = simulation
        self._inference = inference
        self._embedding = embedding

    async def chat_completions(self, request: SimulatedRequest) -> None:
        """`POST /v1/chat/completions`."""
        request.dialect = "openai"
        fields = self._read(request, openai_requests.CHAT_COMPLETION)
        native = openai_requests.native_chat(fields)
        profile = self._simulation.settings.profile
        top = fields.get("top_logprobs", 0)
        if not isinstance(top, int) or not 0 <= top <= 20:
            raise ApiFailure(400, "top_logprobs must be between 0 and 20")
        words = ChatCompletionWords(
            request.identity,
            text(fields, "model"),
            tools=sequence(fields, "tools"),
            include_usage=openai_requests.wants_usage(fields),
            chunk_roles=profile.chunk_roles,
            top_logprobs=top if profile.logprobs and fields.get("logprobs") is True else None,
        )
        await self._inference.chat(request, native, words)

    async def completions(self, request: SimulatedRequest) -> None:
        """`POST /v1/completions`."""
        request.dialect = "openai"
        fields = self._read(request, openai_requests.COMPLETION)
        native = openai_requests.native_generate(fields)
        include_usage = openai_requests.wants_usage(fields)
        await self._inference.generate(
            request, native, CompletionWords(request.identity, text(fields, "model"), include_usage=include_usage)
        )

    async def responses(self, request: SimulatedRequest) -> None:
        """`POST /v1/responses`."""
        request.dialect = "openai"
        fields = self._read(request, responses_requests.RESPONSES)
        native = responses_requests.native_chat(fields)
        _announce_stream(request, native)
        words = ResponsesWords(
            request.identity, responses_requests.echo_of(fields), responses_requests.native_tools(fields)
        )
        await self._inference.chat(request, native, words)

    async def messages(self, request: SimulatedRequest) -> None:
        """`POST /v1/messages`."""
        request.dialect = "anthropic"
        fields = self._read(request, anthropic_requests.MESSAGES)
        native = anthropic_requests.native_chat(fields)
        _announce_stream(request, native)
        words = MessagesWords(
            request.identity,
            text(fields, "model"),
            anthropic_requests.estimated_tokens(fields),
            anthropic_requests.native_tools(fields),
        )
        await self._inference.chat(request, native, words, thinking_optional=True)

    async def transcriptions(self, request: SimulatedRequest) -> None:
        """`POST /v1/audio/transcriptions`."""
        request.dialect = "openai"
        form = read_form(request.body(), (request.getHeader(b"content-type") or b"").decode("latin-1"))
        await self._inference.chat(request, form.chat(), TranscriptionWords(form.plain))

    async def embeddings(self, request: SimulatedRequest) -> None:
        """`POST /v1/embeddings`."""
        request.dialect = "openai"
        fields = self._read(request, openai_requests.EMBEDDING)
        native = openai_requests.native_embed(fields)
        packed = text(fields, "encoding_format").casefold() == "base64"
        await self._embedding.embed(request, native, BARE_JSON, lambda embedded: _embedding_list(embedded, packed))

    def models(self, request: SimulatedRequest) -> None:
        """`GET /v1/models`."""
        request.dialect = "openai"
        listed = [_entry(model.name.shortest, model) for model in self._simulation.store]
        answer(request, line({"object": "list", "data": listed or None}), BARE_JSON)

    def model(self, request: SimulatedRequest, name: str) -> None:
        """`GET /v1/models/:model`."""
        request.dialect = "openai"
        request.account.model = name
        if is_cloud(name):
            raise self._cloud("remote model details are unavailable")
        model = self._simulation.store.find(name) if parsed_name(name) else None
        if model is None:
            raise absent_in_show(name, self._simulation.settings.profile)
        answer(request, line(_entry(name, model)), BARE_JSON)

    def _read(self, request: SimulatedRequest, shape: Shape) -> Fields:
        """A request's fields, once the proxy has let it pass."""
        body = decoded(request.body(), (request.getHeader(b"content-encoding") or b"").decode("latin-1"))
        try:
            fields = shapes.read(body, shape, without_body="EOF")
        except ApiFailure as failure:
            failure.layer = "dialect"
            raise
        if is_cloud(text(fields, "model")):
            request.account.model = text(fields, "model")
            raise self._cloud("remote model is unavailable")
        return fields

    def _cloud(self, what: str) -> ApiFailure:
        refusal = cloud_refusal(self._simulation.settings, what)
        refusal.layer = "proxy"
        return refusal


def _announce_stream(request: SimulatedRequest, native: Fields) -> None:
    """Set what these routes set before they know how it ends, so that it is in the head of failures as well."""
    if native.get("stream") is True:
        request.setHeader(b"Cache-Control", b"no-cache")
        if not request.responseHeaders.hasHeader(b"Connection"):
            request.setHeader(b"Connection", b"keep-alive")


def _entry(name: str, model: Model) -> dict[str, object]:
    parsed = parsed_name(name)
    owner = parsed.namespace if parsed is not None else ""
    return {"id": name, "object": "model", "created": int(model.modified_at), "owned_by": owner}


def _embedding_list(embedded: Embedded, packed: bool) -> bytes:
    """As OpenAI answers, the vectors as numbers or as the base64 of little-endian 32-bit floats."""
    data: list[dict[str, object]] = []
    for place, vector in enumerate(embedded.vectors):
        told = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if packed else vector
        data.append({"object": "embedding", "embedding": told, "index": place})
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return line({"object": "list", "data": data, "model": embedded.model, "usage": usage})
