"""OpenAI's Responses: the events of a stream and the whole answer (`openai/responses.go`). Pure.

Each event is an HTTP chunk of its own. A response is `completed` also when the bound on its tokens ended it: Ollama
knows no `response.incomplete`. Once a stream has begun, it just ends when the engine fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from .dialects import openai_error
from .failures import ApiFailure
from .frames import line, named_event
from .native_events import Event
from .openai_events import function_call
from .tokens import Token
from .words import BARE_JSON, EVENT_STREAM, Usage, made_up_number, text_of, thinking_of

_IDENTITIES = 999_999


def whole_number(value: object) -> object:
    """A number as Go writes it: without decimals where there are none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@attrs.frozen
class Echo:
    """What a response repeats of its request; None where the request said nothing."""

    model: str
    instructions: str | None = None
    tools: Sequence[Mapping[str, object]] = ()
    truncation: str | None = None
    text_format: Mapping[str, object] | None = None
    temperature: object = None
    top_p: object = None
    effort: str | None = None
    summary: str | None = None
    max_output_tokens: int | None = None
    background: bool = False

    def reasoning(self, *, streamed: bool) -> Event | None:
        """What was said of reasoning; in a stream with a null for what was not."""
        told = {"effort": self.effort, "summary": self.summary}
        if not any(told.values()):
            return None
        return {name: value for name, value in told.items() if streamed or value}


@attrs.define
class ResponsesWords:
    """One response.

    Attributes:
        identity: what its made-up names depend on.
        echo: what it repeats of the request.
        function_tools: the tools that were offered, as Ollama's own API has them.
    """

    identity: str
    echo: Echo
    function_tools: Sequence[object] = ()
    _sequence: int = attrs.field(default=0, init=False)
    _output: list[Event] = attrs.field(factory=list, init=False)
    _thought: list[str] = attrs.field(factory=list, init=False)
    _text: list[str] = attrs.field(factory=list, init=False)

    stream_type = EVENT_STREAM
    whole_type = BARE_JSON

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """What a token adds."""
        if token.kind == "silent":
            return ()
        opened = self._opening(now)
        if token.kind == "thinking":
            return [*opened, *self._thinking(token.text)]
        closed = self._thinking_done()
        if token.kind == "tool":
            return [*opened, *closed, *self._call()]
        return [*opened, *closed, *self._content(token.text)] if token.text else opened

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """What is still open is closed, then the response is completed."""
        opened = self._opening(now)
        closed = [*self._thinking_done(), *self._content_done()]
        response = self._response("completed", now, self._output or None, usage_details(usage))
        response["completed_at"] = int(now)
        return [*opened, *closed, self._event("response.completed", response=response)]

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The answer that is not streamed."""
        thought, calls = thinking_of(said), [token for token in said if token.kind == "tool"]
        output: list[Event] = []
        if thought:
            summary = [{"type": "summary_text", "text": thought}]
            name = f"rs_{self._name('resp')}"
            output.append({"id": name, "type": "reasoning", "summary": summary, "encrypted_content": thought})
        for place, _ in enumerate(calls):
            call = self._function_call("completed")
            output.append({"id": f"fc_{self._name('resp')}_{place}", **call})
        if not calls:
            message = {"id": self._name("msg"), "type": "message", "status": "completed", "role": "assistant"}
            part = {"type": "output_text", "text": text_of(said), "annotations": [], "logprobs": []}
            output.append({**message, "content": [part]})
        return line(self._document("completed", now, output, usage_details(usage), streamed=False))

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """Nothing."""
        return ()

    def in_band(self, failure: ApiFailure) -> bytes:
        """`response.failed` with the error."""
        error = openai_error(failure)["error"]
        assert isinstance(error, dict)
        failed = {"id": self._name("resp"), "object": "response", "status": "failed", "model": self.echo.model}
        told = {"code": error["type"], "message": error["message"]}
        return self._event("response.failed", response={**failed, "output": [], "error": told, "usage": None})

    # The parts of a stream.

    def _opening(self, now: float) -> list[bytes]:
        if self._sequence:
            return []
        kinds = ("response.created", "response.in_progress")
        return [self._event(kind, response=self._response("in_progress", now, [], None)) for kind in kinds]

    def _thinking(self, text: str) -> list[bytes]:
        events = []
        name, place = self._name("rs"), len(self._output)
        if not self._thought:
            item = {"id": name, "type": "reasoning", "summary": []}
            events.append(self._event("response.output_item.added", output_index=place, item=item))
        self._thought.append(text)
        kind = "response.reasoning_summary_text.delta"
        return [*events, self._event(kind, item_id=name, output_index=place, summary_index=0, delta=text)]

    def _thinking_done(self) -> list[bytes]:
        if not self._thought:
            return []
        name, place, thought = self._name("rs"), len(self._output), "".join(self._thought)
        self._thought.clear()
        summary = [{"type": "summary_text", "text": thought}]
        item: Event = {"id": name, "type": "reasoning", "summary": summary, "encrypted_content": thought}
        self._output.append(item)
        kind = "response.reasoning_summary_text.done"
        return [
            self._event(kind, item_id=name, output_index=place, summary_index=0, text=thought),
            self._event("response.output_item.done", output_index=place, item=item),
        ]

    def _call(self) -> list[bytes]:
        place = len(self._output)
        name = f"{self._name('fc')}_0"
        item: Event = {"id": name, **self._function_call("completed")}
        self._output.append(item)
        begun = {**item, "status": "in_progress", "arguments": ""}
        arguments = item["arguments"]
        where = {"item_id": name, "output_index": place}
        return [
            self._event("response.output_item.added", output_index=place, item=begun),
            self._event("response.function_call_arguments.delta", **where, delta=arguments),
            self._event("response.function_call_arguments.done", **where, arguments=arguments),
            self._event("response.output_item.done", output_index=place, item=item),
        ]

    def _content(self, text: str) -> list[bytes]:
        events = []
        place = len(self._output)
        where = {"item_id": self._name("msg"), "output_index": place, "content_index": 0}
        if not self._text:
            item = {**self._message("in_progress"), "content": []}
            events = [
                self._event("response.output_item.added", output_index=place, item=item),
                self._event("response.content_part.added", **where, part=_part("")),
            ]
        self._text.append(text)
        return [*events, self._event("response.output_text.delta", **where, delta=text, logprobs=[])]

    def _content_done(self) -> list[bytes]:
        if not self._text:
            return []
        place, text = len(self._output), "".join(self._text)
        where = {"item_id": self._name("msg"), "output_index": place, "content_index": 0}
        item: Event = {**self._message("completed"), "content": [_part(text)]}
        self._output.append(item)
        return [
            self._event("response.output_text.done", **where, text=text, logprobs=[]),
            self._event("response.content_part.done", **where, part=_part(text)),
            self._event("response.output_item.done", output_index=place, item=item),
        ]

    # What they are made of.

    def _event(self, kind: str, **members: object) -> bytes:
        event = {**members, "type": kind, "sequence_number": self._sequence}
        self._sequence += 1
        return named_event(kind, event, sort_keys=True)

    def _message(self, status: str) -> Event:
        return {"id": self._name("msg"), "type": "message", "status": status, "role": "assistant"}

    def _function_call(self, status: str) -> Event:
        call = function_call(self.function_tools)
        function = call["function"]
        assert isinstance(function, dict)
        return {"type": "function_call", "status": status, "call_id": call["id"], **function}

    def _response(self, status: str, now: float, output: list[Event] | None, usage: Event | None) -> Event:
        return {**self._document(status, now, output, usage, streamed=True), "completed_at": None}

    def _document(
        self, status: str, now: float, output: list[Event] | None, usage: Event | None, *, streamed: bool
    ) -> Event:
        echo = self.echo
        return {
            "id": self._name("resp"),
            "object": "response",
            "created_at": int(now),
            "completed_at": int(now),
            "status": status,
            "incomplete_details": None,
            "model": echo.model,
            "previous_response_id": None,
            "instructions": echo.instructions,
            "output": output,
            "error": None,
            "tools": list(echo.tools),
            "tool_choice": "auto",
            "truncation": echo.truncation or "disabled",
            "parallel_tool_calls": True,
            "text": {"format": echo.text_format or {"type": "text"}},
            "top_p": 1 if echo.top_p is None else whole_number(echo.top_p),
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": 0,
            "temperature": 1 if echo.temperature is None else whole_number(echo.temperature),
            "reasoning": echo.reasoning(streamed=streamed),
            "usage": usage,
            "max_output_tokens": echo.max_output_tokens,
            "max_tool_calls": None,
            "store": False,
            "background": echo.background,
            "service_tier": "default",
            "metadata": {},
            "safety_identifier": None,
            "prompt_cache_key": None,
        }

    def _name(self, kind: Literal["resp", "msg", "rs", "fc"]) -> str:
        return f"{kind}_{made_up_number(f'{kind} {self.identity}', _IDENTITIES)}"


def usage_details(usage: Usage) -> Event:
    """Tokens as the Responses API counts them; Ollama tells neither cached nor reasoning ones."""
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _part(text: str) -> Event:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
