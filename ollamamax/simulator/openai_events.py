"""Chat completions and completions: chunks, whole answers and usage (`openai/openai.go`, `middleware/openai.go`). Pure.

Ollama writes the finish, the usage and `[DONE]` at one go, so they are one HTTP chunk. Once a stream has begun, the
engine's failure is translated like any other line, of which nothing fits: a chunk without a model, text and finish.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .dialects import openai_error
from .failures import ApiFailure
from .frames import DONE, data_event, line, to_json
from .native_events import Event, log_probability, tool_call
from .tokens import Token
from .words import BARE_JSON, EVENT_STREAM, Usage, made_up_number, text_of, thinking_of

FINGERPRINT = "fp_ollama"
_IDENTITIES = 999


def usage_counts(usage: Usage) -> Event:
    """Tokens as OpenAI's older formats count them."""
    prompt, completion = usage.prompt_tokens, usage.output_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def function_call(tools: Sequence[object]) -> Event:
    """A tool call with its arguments as a text."""
    call = tool_call(tools)
    function = call["function"]
    assert isinstance(function, dict)
    return {
        "id": call["id"],
        "index": function["index"],
        "type": "function",
        "function": {"name": function["name"], "arguments": to_json(function["arguments"]).decode()},
    }


@attrs.define
class ChatCompletionWords:
    """One chat completion.

    Attributes:
        identity: what its made-up name depends on.
        model: the model's name as the client sent it.
        tools: the tools that were offered.
        include_usage: whether a stream ends with its usage.
        chunk_roles: whether each chunk names its role (0.24), or the first alone.
        top_logprobs: alternatives to tell with each log probability; None: none are told.
    """

    identity: str
    model: str
    tools: Sequence[object] = ()
    include_usage: bool = False
    chunk_roles: bool = False
    top_logprobs: int | None = None
    _begun: bool = attrs.field(default=False, init=False)
    _called: bool = attrs.field(default=False, init=False)
    _created: int | None = attrs.field(default=None, init=False)

    stream_type = EVENT_STREAM
    whole_type = BARE_JSON

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """A chunk for a token that is seen."""
        if token.kind == "silent":
            return ()
        delta: Event = {"content": token.text if token.kind == "content" else ""}
        if token.kind == "thinking":
            delta["reasoning"] = token.text
        if token.kind == "tool":
            self._called = True
            delta["tool_calls"] = [function_call(self.tools)]
        choice = self._choice(delta)
        if self.top_logprobs is not None and token.kind == "content":
            choice["logprobs"] = {"content": [log_probability(token.text, self.top_logprobs)]}
        return (data_event(self._chunk(now, [choice])),)

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """The finish, the usage if it is wanted, and the end, in one."""
        reason = (
            "tool_calls" if self._called and (self.chunk_roles or usage.done_reason == "stop") else usage.done_reason
        )
        parts = []
        if self.chunk_roles:
            finish = self._choice({"content": ""}, reason)
        else:
            if not self._begun:
                parts.append(data_event(self._chunk(now, [self._choice({"content": ""})])))
            finish = {"index": 0, "delta": {}, "finish_reason": reason}
        parts.append(data_event(self._chunk(now, [finish])))
        if self.include_usage:
            parts.append(data_event({**self._chunk(now, []), "usage": usage_counts(usage)}))
        return (b"".join([*parts, DONE]),)

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The answer that is not streamed."""
        thinking = thinking_of(said)
        calls = [function_call(self.tools) for token in said if token.kind == "tool"]
        message: Event = {"role": "assistant", "content": text_of(said)}
        if thinking:
            message["reasoning"] = thinking
        if calls:
            message["tool_calls"] = calls
        reason = "tool_calls" if calls and (self.chunk_roles or usage.done_reason == "stop") else usage.done_reason
        choice: Event = {"index": 0, "message": message, "finish_reason": reason}
        if self.top_logprobs is not None:
            told = [log_probability(token.text, self.top_logprobs) for token in said if token.text]
            choice["logprobs"] = {"content": told}
        return line({**self._head("chat.completion", int(now)), "choices": [choice], "usage": usage_counts(usage)})

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """A chunk with nothing in it."""
        return (data_event({**self._chunk(now, [self._choice({"content": ""})]), "model": ""}),)

    def in_band(self, failure: ApiFailure) -> bytes:
        """An event with the error."""
        return data_event(openai_error(failure))

    def _choice(self, delta: Event, reason: str | None = None) -> Event:
        named = self.chunk_roles or not self._begun
        self._begun = True
        return {"index": 0, "delta": {"role": "assistant", **delta} if named else delta, "finish_reason": reason}

    def _chunk(self, now: float, choices: list[Event]) -> Event:
        """One stream has one creation time (0.33); before that each chunk had its own."""
        if self._created is None or self.chunk_roles:
            self._created = int(now)
        return {**self._head("chat.completion.chunk", self._created), "choices": choices}

    def _head(self, kind: str, created: int) -> Event:
        return {
            "id": f"chatcmpl-{made_up_number(self.identity, _IDENTITIES)}",
            "object": kind,
            "created": created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


@attrs.frozen
class CompletionWords:
    """One completion.

    With usage asked for, each chunk of a stream carries one of zeros, and one more the real one.

    Attributes:
        identity: what its made-up name depends on.
        model: the model's name as the client sent it.
        include_usage: whether a stream tells usage.
    """

    identity: str
    model: str
    include_usage: bool = False

    stream_type = EVENT_STREAM
    whole_type = BARE_JSON

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """A chunk, also for a token of which this API shows nothing."""
        return (data_event(self._chunk(now, token.text if token.kind == "content" else "")),)

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """The finish, the usage if it is wanted, and the end, in one."""
        parts = [data_event(self._chunk(now, "", usage.done_reason))]
        if self.include_usage:
            parts.append(data_event({**self._chunk(now, ""), "choices": [], "usage": usage_counts(usage)}))
        return (b"".join([*parts, DONE]),)

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The answer that is not streamed."""
        return line(
            {
                "id": self._name(),
                "object": "text_completion",
                "created": int(now),
                "model": self.model,
                "system_fingerprint": FINGERPRINT,
                "choices": [{"text": text_of(said), "index": 0, "finish_reason": usage.done_reason}],
                "usage": usage_counts(usage),
            }
        )

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """A chunk with nothing in it."""
        return (data_event({**self._chunk(now, ""), "model": ""}),)

    def in_band(self, failure: ApiFailure) -> bytes:
        """An event with the error."""
        return data_event(openai_error(failure))

    def _chunk(self, now: float, text: str, reason: str | None = None) -> Event:
        chunk: Event = {
            "id": self._name(),
            "object": "text_completion",
            "created": int(now),
            "choices": [{"text": text, "index": 0, "finish_reason": reason}],
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }
        return {**chunk, "usage": usage_counts(Usage(""))} if self.include_usage else chunk

    def _name(self) -> str:
        return f"cmpl-{made_up_number(self.identity, _IDENTITIES)}"
