"""Every route that makes text, how it is asked, and what its answers say, in one form for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from fidelity import EVENT_STREAM, Exchange


@attrs.frozen
class Spoken:
    """What an answer says.

    Attributes:
        pieces: the text as it came, thinking apart.
        thinking: likewise.
        calls: names of the tools that were called.
        prompt_tokens: what is told of the prompt.
        output_tokens: what is told of the text; None where nothing is.
        reason: why it ended, in the API's words; empty where it did not.
        ended: whether the last thing that the API sends is there.
    """

    pieces: list[str]
    thinking: list[str]
    calls: list[str]
    prompt_tokens: int | None
    output_tokens: int | None
    reason: str
    ended: bool

    @property
    def text(self) -> str:
        """All of the text."""
        return "".join(self.pieces)


@attrs.frozen
class Api:
    """One route.

    Attributes:
        path: of the route.
        body: a request's body from a model, a prompt and a bound on the tokens.
        read: what a document of an answer says: kind and value, each of `piece`, `thinking`, `call`, `usage`, `reason`.
        last: whether an event or a line is the last one.
    """

    path: str
    body: Callable[[str, str, int], dict[str, Any]]
    read: Callable[[Any], list[tuple[str, Any]]]
    last: Callable[[Any], bool]


def spoken(api: Api, exchange: Exchange) -> Spoken:
    """What an answer says; bytes that are neither a line nor an event are passed over."""
    if exchange.header("content-type") == EVENT_STREAM:
        documents = [event.document for event in exchange.events]
    else:
        documents = exchange.documents
    told: dict[str, list[Any]] = {kind: [] for kind in ("piece", "thinking", "call", "usage", "reason")}
    for document in documents:
        for kind, value in api.read(document) if isinstance(document, Mapping) else ():
            if value:
                told[kind].append(value)
    prompt, output = told["usage"][-1] if told["usage"] else (None, None)
    reason = told["reason"][-1] if told["reason"] else ""
    ended = bool(documents) and api.last(documents[-1])
    return Spoken(told["piece"], told["thinking"], told["call"], prompt, output, reason, ended)


def _native(document: Any) -> list[tuple[str, Any]]:
    message = document.get("message") or {"content": document.get("response"), "thinking": document.get("thinking")}
    told = [("piece", message.get("content")), ("thinking", message.get("thinking"))]
    told += [("call", call["function"]["name"]) for call in message.get("tool_calls", [])]
    if document.get("done"):
        told += [("usage", (document.get("prompt_eval_count", 0), document.get("eval_count", 0)))]
        told += [("reason", document.get("done_reason"))]
    return told


def _chat_completion(document: Any) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    for choice in document.get("choices", []):
        said = choice.get("delta") or choice.get("message") or {}
        told += [("piece", said.get("content")), ("thinking", said.get("reasoning"))]
        told += [("call", call["function"]["name"]) for call in said.get("tool_calls", [])]
        told += [("piece", choice.get("text")), ("reason", choice["finish_reason"])]
    usage = document.get("usage")
    return [*told, ("usage", (usage["prompt_tokens"], usage["completion_tokens"]))] if usage else told


def _response(document: Any) -> list[tuple[str, Any]]:
    kind = document.get("type")
    if kind == "response.output_text.delta":
        return [("piece", document["delta"])]
    if kind == "response.reasoning_summary_text.delta":
        return [("thinking", document["delta"])]
    response = document.get("response", document)
    told: list[tuple[str, Any]] = []
    if response.get("status") == "completed":
        for item in response["output"] or []:
            if item["type"] == "function_call":
                told.append(("call", item["name"]))
            if kind is None and item["type"] == "reasoning":
                told.append(("thinking", item["summary"][0]["text"]))
            if kind is None and item["type"] == "message":
                told.append(("piece", item["content"][0]["text"]))
        usage = response["usage"]
        told += [("usage", (usage["input_tokens"], usage["output_tokens"])), ("reason", "completed")]
    return told


def _message(document: Any) -> list[tuple[str, Any]]:
    if "content" in document:
        told: list[tuple[str, Any]] = []
        for block in document["content"] or []:
            told += [("piece", block.get("text")), ("thinking", block.get("thinking"))]
            told += [("call", block.get("name"))]
    else:
        delta = document.get("delta", {})
        told = [("piece", delta.get("text")), ("thinking", delta.get("thinking"))]
        told += [("call", document.get("content_block", {}).get("name"))]
    reason = document.get("stop_reason") or document.get("delta", {}).get("stop_reason")
    usage = document.get("usage")
    if usage and reason:
        told += [("usage", (usage["input_tokens"], usage["output_tokens"])), ("reason", reason)]
    return told


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _done(document: Any) -> bool:
    return isinstance(document, Mapping) and document.get("done") is True


def _closed(document: Any) -> bool:
    return bool(document == "[DONE]")


WITH_USAGE = {"include_usage": True}

APIS: dict[str, Api] = {
    "generate": Api(
        "/api/generate",
        lambda model, prompt, bound: {"model": model, "prompt": prompt, "options": {"num_predict": bound}},
        _native,
        _done,
    ),
    "chat": Api(
        "/api/chat",
        lambda model, prompt, bound: {
            "model": model,
            "messages": _messages(prompt),
            "options": {"num_predict": bound},
        },
        _native,
        _done,
    ),
    "chat completions": Api(
        "/v1/chat/completions",
        lambda model, prompt, bound: {
            "model": model,
            "messages": _messages(prompt),
            "max_tokens": bound,
            "stream_options": WITH_USAGE,
        },
        _chat_completion,
        _closed,
    ),
    "completions": Api(
        "/v1/completions",
        lambda model, prompt, bound: {
            "model": model,
            "prompt": prompt,
            "max_tokens": bound,
            "stream_options": WITH_USAGE,
        },
        _chat_completion,
        _closed,
    ),
    "responses": Api(
        "/v1/responses",
        lambda model, prompt, bound: {"model": model, "input": prompt, "max_output_tokens": bound},
        _response,
        lambda document: isinstance(document, Mapping) and document.get("type") == "response.completed",
    ),
    "messages": Api(
        "/v1/messages",
        lambda model, prompt, bound: {"model": model, "messages": _messages(prompt), "max_tokens": bound},
        _message,
        lambda document: document == {"type": "message_stop"},
    ),
}

BY_PATH: dict[str, Api] = {api.path: api for api in APIS.values()}
