"""`/api/generate` and `/api/chat`: from a request's fields to its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import json_requests as shapes
from . import options
from .answers import NdjsonStream, answer_failure, answer_json
from .failures import ApiFailure, Style
from .generation import Generation, Phases
from .json_requests import Fields
from .models import Model
from .native_events import NativeWords, Usage
from .simulation import Simulation, carried, mapping, sequence, text
from .site import SimulatedRequest
from .tokens import Plan, Token, planned


class TextRoutes:
    """The routes that make text.

    Args:
        simulation: what the routes share.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def generate(self, request: SimulatedRequest) -> None:
        """`POST /api/generate`."""
        fields = shapes.read(request.body(), shapes.GENERATE)
        name = request.account.model = text(fields, "model")
        model = self._simulation.found(name)
        words = NativeWords("generate", name, top_logprobs=self._top_logprobs(fields))
        prompt = text(fields, "prompt")
        if not prompt and fields.get("keep_alive") == 0:
            self._unload(request, model, words)
            return
        needed = ["completion", *(["insert"] if text(fields, "suffix") else [])]
        self._check(model, name, needed, thinks=_thinks(fields), verb="generate")
        raw = fields.get("raw") is True
        whole_prompt = "\n".join(each for each in (text(fields, "system"), prompt, text(fields, "suffix")) if each)
        await self._answer(request, fields, model, words, whole_prompt if prompt else "", raw=raw)

    async def chat(self, request: SimulatedRequest) -> None:
        """`POST /api/chat`."""
        fields = shapes.read(request.body(), shapes.CHAT)
        name = request.account.model = text(fields, "model")
        if not name:
            raise ApiFailure(400, "model is required")
        model = self._simulation.found(name)
        messages = sequence(fields, "messages")
        tools = sequence(fields, "tools")
        words = NativeWords("chat", name, tools=tools, top_logprobs=self._top_logprobs(fields))
        if not messages and fields.get("keep_alive") == 0:
            self._unload(request, model, words)
            return
        needed = ["completion", *(["tools"] if tools else [])]
        self._check(model, name, needed, thinks=_thinks(fields), verb="chat")
        prompt = " ".join(text(each, "content") for each in messages if isinstance(each, Mapping))
        await self._answer(request, fields, model, words, prompt if messages else None, raw=False)

    def _check(self, model: Model, name: str, needed: Sequence[str], *, thinks: bool, verb: str) -> None:
        """Whether the model can do what is asked (`routes.go`, `scheduleRunner`)."""
        for capability in needed:
            if capability not in model.capabilities:
                if capability == "completion":
                    raise ApiFailure(400, f'"{name}" does not support {verb}')
                raise ApiFailure(400, f"{model.name.full} does not support {capability}")
        if thinks and "thinking" not in model.capabilities:
            raise ApiFailure(400, f'"{name}" does not support thinking')

    def _unload(self, request: SimulatedRequest, model: Model, words: NativeWords) -> None:
        self._simulation.runners.expire(model.weights.digest)
        request.account.done_reason = "unload"
        answer_json(request, words.without_text(self._simulation.now(), "unload"))

    async def _answer(
        self,
        request: SimulatedRequest,
        fields: Fields,
        model: Model,
        words: NativeWords,
        prompt: str | None,
        *,
        raw: bool,
    ) -> None:
        """Load the model, and where there is a prompt say what it gets."""
        simulation = self._simulation
        in_force = options.merged(model.parameters, mapping(fields, "options"))
        job = simulation.job(model, fields, in_force)
        if not prompt and (prompt is None or words.route == "generate"):
            await carried(request, Generation(simulation.clock, simulation.runners, job))
            request.account.done_reason = "load"
            answer_json(request, words.without_text(simulation.now(), "load"))
            return
        plan = self._planned(prompt, model, fields, in_force, templated=not raw)
        request.account.prompt_tokens = plan.prompt_tokens
        streaming = fields.get("stream") is not False
        receiver = _Streaming(simulation, request, words) if streaming else _Collecting()
        generation = Generation(
            simulation.clock,
            simulation.runners,
            job,
            plan=plan,
            receiver=receiver,
            tokens_per_second=simulation.settings.tokens_per_second,
            prompt_seconds=simulation.settings.prompt_time(plan.prompt_tokens),
        )
        if isinstance(receiver, _Streaming):
            request.registerProducer(generation, True)
        try:
            phases = await carried(request, generation)
        except ApiFailure as failure:
            request.account.broken = True
            if isinstance(receiver, _Streaming):
                receiver.fail(failure)
                return
            raise
        length = options.context_length(in_force, model.weights.context_length)
        tokens = generation.progress.tokens
        context = () if raw or words.route != "generate" else range(1, min(plan.prompt_tokens + tokens, length))
        usage = _usage(plan, phases, tokens, context)
        request.account.done_reason = plan.done_reason
        if isinstance(receiver, _Streaming):
            receiver.finish(usage)
        else:
            answer_json(request, words.whole(simulation.now(), receiver.said, usage))

    def _planned(
        self, prompt: str | None, model: Model, fields: Fields, in_force: Mapping[str, object], *, templated: bool
    ) -> Plan:
        settings = self._simulation.settings
        return planned(
            prompt or "",
            templated=templated,
            num_predict=options.integer(in_force, "num_predict", -1),
            natural_end=settings.profile.natural_end,
            seed=(settings.seed, in_force.get("seed"), model.weights.digest),
            token_bytes=settings.token_bytes,
            marked=settings.marked,
            can_think="thinking" in model.capabilities and fields.get("think") is not False,
            has_tools=bool(fields.get("tools")),
            json=bool(fields.get("format")),
        )

    def _top_logprobs(self, fields: Fields) -> int | None:
        told = self._simulation.settings.profile.logprobs and fields.get("logprobs") is True
        return options.integer(fields, "top_logprobs", 0) if told else None


class _Collecting:
    """Keeps what is said for a whole answer."""

    def __init__(self) -> None:
        self.said: list[Token] = []

    def token_made(self, token: Token) -> None:
        """Keep it."""
        self.said.append(token)


class _Streaming:
    """Sends each token on its own line."""

    def __init__(self, simulation: Simulation, request: SimulatedRequest, words: NativeWords) -> None:
        self._simulation = simulation
        self._request = request
        self._words = words
        self._stream = NdjsonStream(request)

    def token_made(self, token: Token) -> None:
        """Send it."""
        if token.kind != "silent":
            self._stream.line(self._words.chunk(token, self._simulation.now()))

    def finish(self, usage: Usage) -> None:
        """Send the last line."""
        self._request.unregisterProducer()
        self._stream.line(self._words.final(self._simulation.now(), usage))

    def fail(self, failure: ApiFailure) -> None:
        """Say that it failed: as an answer before the first line, as a last line after it."""
        self._request.unregisterProducer()
        if self._stream.started:
            self._stream.line(failure.document())
            return
        style: Style = "whole" if failure.status == 503 else "chunked"
        answer_failure(self._request, ApiFailure(failure.status, failure.message, style=style))


def _usage(plan: Plan, phases: Phases, tokens: int, context: Sequence[int]) -> Usage:
    return Usage(
        plan.done_reason,
        phases.load,
        phases.slot,
        phases.prompt,
        phases.output,
        plan.prompt_tokens,
        tokens,
        context,
    )


def _thinks(fields: Fields) -> bool:
    return bool(fields.get("think"))
