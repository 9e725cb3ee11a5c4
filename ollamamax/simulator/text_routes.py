"""`/api/generate` and `/api/chat`."""

from __future__ import annotations

from . import json_requests as shapes
from . import options
from .inference import Inference
from .json_requests import Fields
from .native_events import NativeWords
from .settings import Profile
from .simulation import sequence, text
from .site import SimulatedRequest


class TextRoutes:
    """The routes of Ollama's own API that make text.

    Args:
        inference: what makes it.
        profile: what the version does.
    """

    def __init__(self, inference: Inference, profile: Profile) -> None:
        self._inference = inference
        self._profile = profile

    async def generate(self, request: SimulatedRequest) -> None:
        """`POST /api/generate`."""
        fields = shapes.read(request.body(), shapes.GENERATE)
        words = NativeWords("generate", text(fields, "model"), top_logprobs=self._top_logprobs(fields))
        await self._inference.generate(request, fields, words)

    async def chat(self, request: SimulatedRequest) -> None:
        """`POST /api/chat`."""
        fields = shapes.read(request.body(), shapes.CHAT)
        tools = sequence(fields, "tools")
        words = NativeWords("chat", text(fields, "model"), tools=tools, top_logprobs=self._top_logprobs(fields))
        await self._inference.chat(request, fields, words)

    def _top_logprobs(self, fields: Fields) -> int | None:
        told = self._profile.logprobs and fields.get("logprobs") is True
        return options.integer(fields, "top_logprobs", 0) if told else None
