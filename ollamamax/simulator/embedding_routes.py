"""`/api/embed` and `/api/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence

from . import json_requests as shapes
from . import options
from .answers import answer_json
from .durations import nanoseconds
from .embeddings import raw_vector, unit_vector
from .failures import ApiFailure
from .generation import Generation, Phases
from .json_requests import Fields
from .models import Model
from .simulation import Simulation, carried, mapping, text
from .site import SimulatedRequest
from .tokens import Plan, steering


class EmbeddingRoutes:
    """The routes that make embeddings.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def embed(self, request: SimulatedRequest) -> None:
        """`POST /api/embed`: one vector of length one for each input."""
        fields = shapes.read(request.body(), shapes.EMBED)
        name = request.account.model = text(fields, "model")
        inputs = _inputs(fields.get("input"))
        model = self._simulation.found(name)
        length = model.weights.context_length
        if fields.get("truncate") is False and any(len(each.split()) > length for each in inputs):
            raise ApiFailure(400, "the input length exceeds the context length")
        phases, tokens = await self._computed(request, model, fields, inputs)
        seed, dimensions = self._simulation.settings.seed, model.weights.embedding_length
        keep = options.integer(fields, "dimensions", 0)
        answer: dict[str, object] = {
            "model": name,
            "embeddings": [unit_vector(each, dimensions=dimensions, seed=seed, keep=keep) for each in inputs],
        }
        if inputs:
            answer["total_duration"] = nanoseconds(phases.total)
            answer["load_duration"] = nanoseconds(phases.load)
            answer["prompt_eval_count"] = tokens
        answer_json(request, answer)

    async def embeddings(self, request: SimulatedRequest) -> None:
        """`POST /api/embeddings`, the older one: one vector as the model gives it, and no usage."""
        fields = shapes.read(request.body(), shapes.EMBEDDINGS)
        name = request.account.model = text(fields, "model")
        if not name:
            raise ApiFailure(400, "model is required")
        model = self._simulation.found(name)
        prompt = text(fields, "prompt")
        await self._computed(request, model, fields, [prompt] if prompt else [])
        vector = raw_vector(prompt, dimensions=model.weights.embedding_length, seed=self._simulation.settings.seed)
        answer_json(request, {"embedding": vector if prompt else []})

    async def _computed(
        self, request: SimulatedRequest, model: Model, fields: Fields, inputs: Sequence[str]
    ) -> tuple[Phases, int]:
        """Have the model, and a slot for as long as the prompts take."""
        simulation = self._simulation
        in_force = options.merged(model.parameters, mapping(fields, "options"))
        tokens = sum(len(each.split()) + 1 for each in inputs)
        failure = steering(" ".join(inputs)).failure
        plan = Plan(tokens, 0, "stop", "", failure="refused" if failure else None) if inputs else None
        request.account.prompt_tokens = tokens
        generation = Generation(
            simulation.clock,
            simulation.runners,
            simulation.job(model, fields, in_force),
            plan=plan,
            prompt_seconds=simulation.settings.prompt_time(tokens),
        )
        return await carried(request, generation), tokens


def _inputs(value: object) -> list[str]:
    """The texts to embed; an empty one is none."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [str(each) for each in value]
    raise ApiFailure(400, "invalid input type")
