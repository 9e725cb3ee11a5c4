"""Anthropic's Messages: the events of a stream and the whole answer (`anthropic/anthropic.go`). Pure.

Each event is an HTTP chunk of its own. A stream begins with an estimate of the prompt's tokens and ends with their
number. Once it has begun, it just ends when the engine fails.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .dialects import anthropic_error
from .failures import ApiFailure
from .frames import line, named_event, to_json
from .native_events import Event, tool_call
from .tokens import Token
from .words import BARE_JSON, EVENT_STREAM, Usage, made_up_hexadecimal, text_of, thinking_of


@attrs.define
class MessagesWords:
    """One message.

    Attributes:
        identity: what its made-up name depends on.
        model: the model's name as the client sent it.
        estimated_tokens: of the prompt.
        tools: the tools that were offered, as Ollama's own API has them.
    """

    identity: str
    model: str
    estimated_tokens: int = 0
    tools: Sequence[object] = ()
    _begun: bool = attrs.field(default=False, init=False)
    _block: str = attrs.field(default="", init=False)
    _index: int = attrs.field(default=0, init=False)
    _called: bool = attrs.field(default=False, init=False)

    stream_type = EVENT_STREAM
    whole_type = BARE_JSON

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """What a token adds."""
        if token.kind == "silent":
            return ()
        started = self._started(self.estimated_tokens)
        if token.kind == "tool":
            return [*started, *self._call()]
        if not token.text:
            return started
        if token.kind == "thinking":
            return [*started, *self._delta("thinking", "thinking", token.text)]
        return [*started, *self._delta("text", "text", token.text)]

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """What is still open is closed, then the reason, the usage and the end."""
        started = self._started(usage.prompt_tokens or self.estimated_tokens)
        delta = {"stop_reason": stop_reason(usage.done_reason, called=self._called)}
        return [
            *started,
            *self._block_done(),
            _event("message_delta", delta=delta, usage=usage_counts(usage)),
            _event("message_stop"),
        ]

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The answer that is not streamed."""
        thinking, text = thinking_of(said), text_of(said)
        content: list[Event] = []
        if thinking:
            content.append({"type": "thinking", "thinking": thinking})
        if text:
            content.append({"type": "text", "text": text})
        calls = [self._tool_use(arguments=True) for token in said if token.kind == "tool"]
        content += calls
        return line(
            {
                **self._message(content or None),
                "stop_reason": stop_reason(usage.done_reason, called=bool(calls)),
                "usage": usage_counts(usage),
            }
        )

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """Nothing."""
        return ()

    def in_band(self, failure: ApiFailure) -> bytes:
        """An `error` event."""
        return named_event("error", anthropic_error(failure))

    # The parts of a stream.

    def _started(self, input_tokens: int) -> list[bytes]:
        if self._begun:
            return []
        self._begun = True
        usage = {"input_tokens": input_tokens, "output_tokens": 0}
        return [_event("message_start", message={**self._message([]), "usage": usage})]

    def _delta(self, block: str, member: str, text: str) -> list[bytes]:
        events = []
        if self._block != block:
            events = [*self._block_done(), self._block_start({"type": block, member: ""})]
            self._block = block
        delta = {"type": f"{block}_delta", member: text}
        return [*events, _event("content_block_delta", index=self._index, delta=delta)]

    def _call(self) -> list[bytes]:
        closed = self._block_done()
        self._called = True
        arguments = to_json(self._tool_use(arguments=True)["input"]).decode()
        delta = {"type": "input_json_delta", "partial_json": arguments}
        events = [
            self._block_start(self._tool_use(arguments=False)),
            _event("content_block_delta", index=self._index, delta=delta),
            _event("content_block_stop", index=self._index),
        ]
        self._index += 1
        return [*closed, *events]

    def _block_start(self, block: Event) -> bytes:
        return _event("content_block_start", index=self._index, content_block=block)

    def _block_done(self) -> list[bytes]:
        if not self._block:
            return []
        self._block = ""
        self._index += 1
        return [_event("content_block_stop", index=self._index - 1)]

    # What they are made of.

    def _message(self, content: list[Event] | None) -> Event:
        name = f"msg_{made_up_hexadecimal(self.identity)}"
        return {"id": name, "type": "message", "role": "assistant", "model": self.model, "content": content}

    def _tool_use(self, *, arguments: bool) -> Event:
        call = tool_call(self.tools)
        function = call["function"]
        assert isinstance(function, dict)
        told = function["arguments"] if arguments else {}
        return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": told}


def usage_counts(usage: Usage) -> Event:
    """Tokens as this API counts them."""
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.output_tokens}


def stop_reason(done_reason: str, *, called: bool) -> str:
    """Why it ended, in this API's words."""
    if called:
        return "tool_use"
    return {"stop": "end_turn", "length": "max_tokens"}.get(done_reason, "stop_sequence")


def _event(kind: str, **members: object) -> bytes:
    return named_event(kind, {"type": kind, **members})
