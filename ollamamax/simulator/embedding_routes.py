"""`/api/embed` and `/api/embeddings`, and what they share with the compatible route."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from . import json_requests as shapes
from . import options
from .durations import nanoseconds
from .embeddings import raw_vector, unit_vector
from .failures import ApiFailure
from .faults import LOST, Fault, Injected
from .frames import to_json
from .generation import Generation, Phases
from .json_requests import Fields
from .models import Model
from .simulation import Simulation, carried, ended_by, mapping, text
from .site import SimulatedRequest
from .speaking import WholeAnswer
from .tokens import Plan, steering
from .words import JSON


@attrs.frozen
class Embedded:
    """What an embedding gave.

    Attributes:
        model: the model's name as it was sent.
        vectors: one for each input.
        tokens: of all inputs.
        phases: where the time went; None while it is not known.
    """

    model: str
    vectors: Sequence[Sequence[float]]
    tokens: int
    phases: Phases | None = None


class Embedding:
    """What makes embeddings.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def embed(
        self, request: SimulatedRequest, fields: Fields, media_type: bytes, written: Callable[[Embedded], bytes]
    ) -> None:
        """Answer with one vector of length one for each input.

        Args:
            request: the request that is answered.
            fields: as `/api/embed` takes them.
            media_type: of the answer.
            written: how it is written.
        """
        name = request.account.model = text(fields, "model")
        inputs = _inputs(fields.get("input"))
        model = self._found(name)
        length = model.weights.context_length
        if fields.get("truncate") is False and any(len(each.split()) > length for each in inputs):
            raise ApiFailure(400, "the input length exceeds the context length")
        seed, dimensions = self._simulation.settings.seed, model.weights.embedding_length
        keep = options.integer(fields, "dimensions", 0)

        def body(phases: Phases | None = None) -> bytes:
            vectors = [unit_vector(each, dimensions=dimensions, seed=seed, keep=keep) for each in inputs]
            return written(Embedded(name, vectors, _count(inputs), phases))

        await self._computed(request, model, fields, inputs, media_type=media_type, body=body)

    async def embed_one(self, request: SimulatedRequest, fields: Fields) -> None:
        """Answer with one vector as the model gives it, and no usage."""
        name = request.account.model = text(fields, "model")
        if not name:
            raise ApiFailure(400, "model is required")
        model = self._found(name)
        prompt = text(fields, "prompt")
        seed, dimensions = self._simulation.settings.seed, model.weights.embedding_length

        def body(_: Phases | None = None) -> bytes:
            return to_json({"embedding": raw_vector(prompt, dimensions=dimensions, seed=seed) if prompt else []})

        await self._computed(request, model, fields, [prompt] if prompt else [], media_type=JSON, body=body)

    def _found(self, name: str) -> Model:
        """The model of this name; one that is absent is missed later than elsewhere, in other words (0.33)."""
        try:
            return self._simulation.found(name)
        except ApiFailure as failure:
            if failure.status == 404 and name:
                raise ApiFailure(404, f'model "{name}" not found, try pulling it first') from None
            raise

    async def _computed(
        self,
        request: SimulatedRequest,
        model: Model,
        fields: Fields,
        inputs: Sequence[str],
        *,
        media_type: bytes,
        body: Callable[[Phases | None], bytes],
    ) -> None:
        """Have the model, and a slot for as long as the prompts take; then answer."""
        simulation = self._simulation
        in_force = options.merged(model.parameters, mapping(fields, "options"))
        tokens = request.account.prompt_tokens = _count(inputs)
        plan = Plan(tokens, 0, "stop", "", fault=self._fault(inputs)) if inputs else None
        whole = WholeAnswer(request, media_type, lambda: body(None))
        generation = Generation(
            simulation.clock,
            simulation.runners,
            simulation.job(model, fields, in_force),
            plan=plan,
            receiver=whole,
            prompt_seconds=simulation.settings.prompt_time(tokens),
        )
        try:
            phases = await carried(request, generation)
        except Injected as injected:
            await ended_by(injected.fault, request, simulation.clock)
            return
        whole.send(body(phases))

    def _fault(self, inputs: Sequence[str]) -> Fault | None:
        """What goes wrong; an engine that breaks off has said nothing yet, and without tokens nothing is slow."""
        fault = self._simulation.fault(steering(" ".join(inputs)).fault)
        if fault is not None and fault.kind == "slow":
            return None
        return Fault("http500") if fault is not None and fault.kind in LOST else fault


class EmbeddingRoutes:
    """The routes of Ollama's own API that make embeddings.

    Args:
        embedding: what makes them.
    """

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    async def embed(self, request: SimulatedRequest) -> None:
        """`POST /api/embed`."""
        fields = shapes.read(request.body(), shapes.EMBED)
        await self._embedding.embed(request, fields, JSON, native_document)

    async def embeddings(self, request: SimulatedRequest) -> None:
        """`POST /api/embeddings`, the older one."""
        await self._embedding.embed_one(request, shapes.read(request.body(), shapes.EMBEDDINGS))


def native_document(embedded: Embedded) -> bytes:
    """As `/api/embed` answers; without inputs there is no usage."""
    document: dict[str, object] = {"model": embedded.model, "embeddings": embedded.vectors}
    if embedded.vectors and embedded.phases is not None:
        document["total_duration"] = nanoseconds(embedded.phases.total)
        document["load_duration"] = nanoseconds(embedded.phases.load)
        document["prompt_eval_count"] = embedded.tokens
    return to_json(document)


def _count(inputs: Sequence[str]) -> int:
    """Tokens: the words, and one for the template of each."""
    return sum(len(each.split()) + 1 for each in inputs)


def _inputs(value: object) -> list[str]:
    """The texts to embed; an empty one is none."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [str(each) for each in value]
    raise ApiFailure(400, "invalid input type")
