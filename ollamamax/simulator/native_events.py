"""Ollama's own words for what a generation says: the lines of a stream and the whole answer. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from .durations import instant, nanoseconds
from .failures import ApiFailure
from .frames import line, to_json
from .tokens import Token
from .words import JSON, NDJSON, Usage, text_of, thinking_of

Event = dict[str, object]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def usage_members(usage: Usage) -> Event:
    """Usage as members of the final chunk; zeros are left out, and the parts add up to the whole to the nanosecond."""
    load, slot, prompt, output = (nanoseconds(each) for each in (usage.load, usage.slot, usage.prompt, usage.output))
    counted = {
        "total_duration": load + slot + prompt + output,
        "load_duration": load,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": prompt,
        "eval_count": usage.output_tokens,
        "eval_duration": output,
    }
    members: Event = {"done_reason": usage.done_reason}
    if usage.context:
        members["context"] = list(usage.context)
    return {**members, **{name: count for name, count in counted.items() if count}}


@attrs.frozen
class NativeWords:
    """One route's way to say it.

    Attributes:
        route: `generate` or `chat`.
        model: the model's name as the client sent it.
        tools: the tools that were offered.
        top_logprobs: alternatives to tell with each log probability; None: none are told.
    """

    route: Literal["generate", "chat"]
    model: str
    tools: Sequence[object] = ()
    top_logprobs: int | None = None

    stream_type = NDJSON
    whole_type = JSON

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """A line; `generate` has one for a token that nobody sees, too (0.33)."""
        if token.kind == "silent" and self.route == "chat":
            return ()
        text, thinking = (token.text, "") if token.kind == "content" else ("", token.text)
        if token.kind == "silent":
            thinking = ""
        calls = [tool_call(self.tools)] if token.kind == "tool" else []
        event = self._event(now, text, thinking, calls)
        event["done"] = False
        if self.top_logprobs is not None and token.kind == "content":
            event["logprobs"] = [log_probability(token.text, self.top_logprobs)]
        return (line(event),)

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """The last line."""
        return (line({**self._event(now, "", "", []), "done": True, **usage_members(usage)}),)

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The answer that is not streamed."""
        calls = [tool_call(self.tools) for token in said if token.kind == "tool"]
        members = usage_members(usage)
        event = {
            **self._event(now, text_of(said), thinking_of(said), calls),
            "done": True,
            "done_reason": members.pop("done_reason"),
        }
        if "context" in members:
            event["context"] = members.pop("context")
        if self.top_logprobs is not None:
            event["logprobs"] = [log_probability(token.text, self.top_logprobs) for token in said if token.text]
        return to_json({**event, **members})

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """A line with the error, as any that comes in the middle."""
        return (self.in_band(failure),)

    def in_band(self, failure: ApiFailure) -> bytes:
        """A line with the error."""
        return line(failure.document())

    def without_text(self, now: float, done_reason: str) -> Event:
        """The answer to a request that only loads or unloads."""
        return {**self._event(now, "", "", []), "done": True, "done_reason": done_reason}

    def _event(self, now: float, text: str, thinking: str, calls: list[Event]) -> Event:
        event: Event = {"model": self.model, "created_at": instant(now)}
        if self.route == "generate":
            event["response"] = text
            return {**event, "thinking": thinking} if thinking else event
        message: Event = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = calls
        return {**event, "message": message}


def tool_call(tools: Sequence[object]) -> Event:
    """A call of the first tool, its arguments made up from the schema."""
    function = _member(tools[0] if tools else {}, "function")
    name = function.get("name")
    name = name if isinstance(name, str) else ""
    parameters = _member(function, "parameters")
    properties = _member(parameters, "properties")
    required = parameters.get("required")
    wanted = required if isinstance(required, list) and required else list(properties)
    arguments = {str(each): _value(_member(properties, str(each))) for each in wanted}
    digest = hashlib.sha256(json.dumps([name, arguments], sort_keys=True, default=str).encode()).digest()
    identity = "call_" + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:8])
    return {"id": identity, "function": {"index": 0, "name": name, "arguments": arguments}}


def log_probability(text: str, alternatives: int) -> Event:
    """A made-up log probability of a token, and of some others in its place."""
    likely = _likelihood(text)
    entry: Event = {"token": text, "logprob": likely, "bytes": list(text.encode())}
    if alternatives > 0:
        others = [text, *(f" {'abcdefghijklmnopqrstuvwxyz'[place]}" for place in range(min(alternatives, 20) - 1))]
        entry["top_logprobs"] = [
            {"token": other, "logprob": likely - place, "bytes": list(other.encode())}
            for place, other in enumerate(others)
        ]
    return entry


def _likelihood(text: str) -> float:
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    return round(math.log(0.3 + 0.6 * share), 9)


def _member(value: object, name: str) -> Mapping[str, object]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _value(schema: Mapping[str, object]) -> object:
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    kind = schema.get("type")
    by_type: dict[str, object] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    return by_type.get(kind, "Paris") if isinstance(kind, str) else "Paris"
