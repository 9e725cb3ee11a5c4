"""What every API has words for: tokens, the end, the whole, and what goes wrong in the middle. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import attrs

from .failures import ApiFailure
from .tokens import Token

NDJSON = b"application/x-ndjson"
EVENT_STREAM = b"text/event-stream"
JSON = b"application/json; charset=utf-8"
BARE_JSON = b"application/json"
PLAIN = b"text/plain"


@attrs.frozen
class Usage:
    """What a generation took; durations in seconds."""

    done_reason: str
    load: float = 0.0
    slot: float = 0.0
    prompt: float = 0.0
    output: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    context: Sequence[int] = ()


class Words(Protocol):
    """One request's way to say it; it may remember what it has said. Times are seconds since 1970.

    Each of the byte strings that a method returns is sent as an HTTP chunk of its own.
    """

    @property
    def stream_type(self) -> bytes:
        """The media type of a stream."""
        ...

    @property
    def whole_type(self) -> bytes:
        """The media type of a whole answer."""
        ...

    def token(self, token: Token, now: float) -> Sequence[bytes]:
        """What a token is told with; the head goes out with the first one that is not silent, whatever this gives."""
        ...

    def final(self, now: float, usage: Usage) -> Sequence[bytes]:
        """The end of a stream."""
        ...

    def whole(self, now: float, said: Sequence[Token], usage: Usage) -> bytes:
        """The answer that is not streamed."""
        ...

    def lost(self, failure: ApiFailure, now: float) -> Sequence[bytes]:
        """What a stream that has begun says when the engine fails."""
        ...

    def in_band(self, failure: ApiFailure) -> bytes:
        """An error within a stream, as clients of this API know it; Ollama has it in its own API alone."""
        ...


def text_of(said: Sequence[Token]) -> str:
    """All of the text."""
    return "".join(token.text for token in said if token.kind == "content")


def thinking_of(said: Sequence[Token]) -> str:
    """All of the thinking."""
    return "".join(token.text for token in said if token.kind == "thinking")


def made_up_number(source: str, below: int) -> int:
    """A number that looks drawn, for identities; the same for the same source."""
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big") % below


def made_up_hexadecimal(source: str) -> str:
    """Twelve bytes likewise."""
    return hashlib.sha256(source.encode()).hexdigest()[:24]
