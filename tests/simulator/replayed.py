"""Recorded answers of the compatible routes, said again by the words that are to say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import attrs
from fidelity import EVENT_STREAM, Exchange, recordings

from ollamamax.simulator.tokens import Token
from ollamamax.simulator.words import Usage, Words

_IDENTITY = re.compile(rb'"(?:id|item_id|call_id|request_id)":"(?:chatcmpl-|cmpl-|resp_|msg_|call_|fc_|rs_|req_)[^"]*"')
_TIME = re.compile(rb'"(created|created_at|completed_at)":\d+')


def recorded(version: str, name: str) -> Exchange:
    """A recorded exchange."""
    return next(each.exchange for each in recordings(version) if each.name == name)


def comparable(data: bytes) -> bytes:
    """Without identities and times, which are made anew each time."""
    return _TIME.sub(rb'"\1":0', _IDENTITY.sub(b'"id":""', data))


def told_tokens(exchange: Exchange) -> list[Token]:
    """The tokens that a recorded stream tells; the thinking's marks, which nobody sees, are put back."""
    tokens: list[Token] = []
    for event in exchange.events:
        document: dict[str, Any] = json.loads(event.data) if event.data != "[DONE]" else {}
        delta: dict[str, Any] = document["delta"] if isinstance(document.get("delta"), dict) else {}
        for choice in document.get("choices", []):
            delta = choice.get("delta", choice)
        if event.name == "response.output_text.delta":
            delta = {"text": document["delta"]}
        if delta.get("partial_json") or delta.get("tool_calls"):
            tokens.append(Token("tool", ""))
        for kind, names in (("thinking", ("reasoning", "thinking")), ("content", ("content", "text"))):
            tokens += [Token(kind, delta[name]) for name in names if delta.get(name)]  # type: ignore[arg-type]
    return tokens


def spoken_again(words: Words, tokens: Sequence[Token], usage: Usage) -> tuple[bytes, ...]:
    """The chunks of a stream."""
    parts = [part for token in tokens for part in words.token(token, 1.0)]
    return tuple(comparable(part) for part in (*parts, *words.final(1.0, usage)))


def chunks(exchange: Exchange) -> tuple[bytes, ...]:
    """The chunks of a recorded stream."""
    assert exchange.header("content-type") == EVENT_STREAM
    return tuple(comparable(part) for part in exchange.parts)


def usage(reason: str, prompt: int, output: int) -> Usage:
    """What a recording tells."""
    return attrs.evolve(Usage(reason), prompt_tokens=prompt, output_tokens=output)
