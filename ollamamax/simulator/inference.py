"""From a request's fields, as Ollama's own API has them, to its answer in whatever words it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from . import options
from .answers import answer, answer_json
from .failures import ApiFailure
from .faults import Injected
from .generation import Generation, Phases
from .json_requests import Fields
from .models import Model
from .native_events import NativeWords
from .simulation import Simulation, carried, ended_by, mapping, sequence, text
from .site import SimulatedRequest
from .speaking import Collecting, Speaking, Streaming
from .tokens import Plan, planned
from .words import Usage, Words


class Inference:
    """What makes text.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def generate(self, request: SimulatedRequest, fields: Fields, words: Words) -> None:
        """Go on with a prompt."""
        name = request.account.model = text(fields, "model")
        model = self._simulation.found(name)
        prompt = text(fields, "prompt")
        if not prompt and fields.get("keep_alive") == 0:
            self._unload(request, model, words)
            return
        needed = ["completion", *(["insert"] if text(fields, "suffix") else [])]
        self._check(model, name, needed, thinks=bool(fields.get("think")), verb="generate")
        raw = fields.get("raw") is True
        whole_prompt = "\n".join(each for each in (text(fields, "system"), prompt, text(fields, "suffix")) if each)
        await self._answer(request, fields, model, words, whole_prompt if prompt else None, raw=raw, with_context=True)

    async def chat(
        self, request: SimulatedRequest, fields: Fields, words: Words, *, thinking_optional: bool = False
    ) -> None:
        """Answer to messages.

        Args:
            request: the request that is answered.
            fields: as `/api/chat` takes them.
            words: how it is said.
            thinking_optional: whether a model that cannot think may be asked to (0.33, for Anthropic's API).
        """
        name = request.account.model = text(fields, "model")
        if not name:
            raise ApiFailure(400, "model is required")
        model = self._simulation.found(name)
        messages = sequence(fields, "messages")
        tools = sequence(fields, "tools")
        if not messages and fields.get("keep_alive") == 0:
            self._unload(request, model, words)
            return
        needed = ["completion", *(["tools"] if tools else [])]
        thinks = bool(fields.get("think")) and not thinking_optional
        self._check(model, name, needed, thinks=thinks, verb="chat")
        prompt = " ".join(text(each, "content") for each in messages if isinstance(each, Mapping))
        await self._answer(request, fields, model, words, prompt if messages else None)

    def _check(self, model: Model, name: str, needed: Sequence[str], *, thinks: bool, verb: str) -> None:
        """Whether the model can do what is asked (`routes.go`, `scheduleRunner`)."""
        for capability in needed:
            if capability not in model.capabilities:
                if capability == "completion":
                    raise ApiFailure(400, f'"{name}" does not support {verb}')
                raise ApiFailure(400, f"{model.name.full} does not support {capability}")
        if thinks and "thinking" not in model.capabilities:
            raise ApiFailure(400, f'"{name}" does not support thinking')

    def _unload(self, request: SimulatedRequest, model: Model, words: Words) -> None:
        self._simulation.runners.expire(model.weights.digest)
        self._without_text(request, words, "unload", streaming=False)

    def _without_text(self, request: SimulatedRequest, words: Words, reason: str, *, streaming: bool) -> None:
        """Answer a request that only loads or unloads; Ollama's own API does so in one piece, whatever was asked."""
        request.account.done_reason = reason
        now, usage = self._simulation.wall(), Usage(reason)
        if isinstance(words, NativeWords):
            answer_json(request, words.without_text(now, reason))
        elif not streaming:
            answer(request, words.whole(now, (), usage), words.whole_type)
        else:
            parts = words.final(now, usage)
            if len(parts) == 1:
                answer(request, parts[0], words.stream_type)
                return
            request.setHeader(b"Content-Type", words.stream_type)
            for part in parts:
                request.write(part)

    async def _answer(
        self,
        request: SimulatedRequest,
        fields: Fields,
        model: Model,
        words: Words,
        prompt: str | None,
        *,
        raw: bool = False,
        with_context: bool = False,
    ) -> None:
        """Load the model, and where there is a prompt say what it gets."""
        simulation = self._simulation
        in_force = options.merged(model.parameters, mapping(fields, "options"))
        job = simulation.job(model, fields, in_force)
        streaming = fields.get("stream") is not False
        if prompt is None:
            await carried(request, Generation(simulation.clock, simulation.runners, job))
            self._without_text(request, words, "load", streaming=streaming)
            return
        plan = self._planned(prompt, model, fields, in_force, templated=not raw)
        request.account.prompt_tokens = plan.prompt_tokens
        speaking: Speaking = (Streaming if streaming else Collecting)(request, words, simulation.wall)
        generation = Generation(
            simulation.clock,
            simulation.runners,
            job,
            plan=plan,
            receiver=speaking,
            tokens_per_second=simulation.settings.tokens_per_second,
            prompt_seconds=simulation.settings.prompt_time(plan.prompt_tokens),
        )
        if streaming:
            request.registerProducer(generation, True)
        try:
            phases = await carried(request, generation)
        except ApiFailure as failure:
            request.account.broken = True
            speaking.fail(failure)
            return
        except Injected as injected:
            await ended_by(injected.fault, request, simulation.clock)
            return
        progress = generation.progress
        length = options.context_length(in_force, model.weights.context_length)
        known = range(1, min(plan.prompt_tokens + progress.tokens, length)) if with_context and not raw else ()
        usage = _usage(plan, phases, progress.tokens, progress.done_reason, known)
        request.account.done_reason = progress.done_reason
        speaking.finish(usage)

    def _planned(
        self, prompt: str, model: Model, fields: Fields, in_force: Mapping[str, object], *, templated: bool
    ) -> Plan:
        settings = self._simulation.settings
        plan = planned(
            prompt,
            templated=templated,
            num_predict=options.integer(in_force, "num_predict", -1),
            natural_end=settings.profile.natural_end,
            seed=(settings.seed, in_force.get("seed"), model.weights.digest),
            token_bytes=settings.token_bytes,
            marked=settings.marked,
            can_think="thinking" in model.capabilities and fields.get("think") is not False,
            has_tools=bool(fields.get("tools")),
            json=bool(fields.get("format")),
            stop=[each for each in sequence(in_force, "stop") if isinstance(each, str)],
        )
        return attrs.evolve(plan, fault=self._simulation.fault(plan.fault))


def _usage(plan: Plan, phases: Phases, tokens: int, done_reason: str, context: Sequence[int]) -> Usage:
    return Usage(
        done_reason,
        phases.load,
        phases.slot,
        phases.prompt,
        phases.output,
        plan.prompt_tokens,
        tokens,
        context,
    )
