"""Who hears a generation's tokens: a stream that tells each, or a whole answer that waits for the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .answers import BUFFER_BYTES, answer, answer_failure
from .failures import ApiFailure, Style, engine_lost
from .faults import Fault
from .generation import TokenReceiver
from .site import SimulatedRequest
from .tokens import Token
from .words import Usage, Words

GARBAGE = b"data: \xff\xfe\x00}{garbage\n\n"
"""What no API has a meaning for, wherever a line or an event may stand."""


class Speaking(TokenReceiver, Protocol):
    """An answer made of a generation."""

    def finish(self, usage: Usage) -> None:
        """All is said."""

    def fail(self, failure: ApiFailure) -> None:
        """It failed."""


class Streaming:
    """Sends each token as it comes; the head goes out with the first one.

    Args:
        request: the request that is answered.
        words: how it is said.
        wall: the time of day, in seconds since 1970.
    """

    def __init__(self, request: SimulatedRequest, words: Words, wall: Callable[[], float]) -> None:
        self._request = request
        self._words = words
        self._wall = wall
        self._started = False

    def token_made(self, token: Token) -> None:
        """Send it."""
        parts = self._words.token(token, self._wall())
        if parts and token.kind != "silent":
            self._request.token_shown()
        if parts or token.kind != "silent":
            self._send(parts)

    def disturbed(self, fault: Fault) -> None:
        """Send what the fault adds, and nothing more where it ends the answer."""
        if fault.kind == "garbage":
            self._send([GARBAGE])
        elif fault.kind == "inband":
            self._send([self._words.in_band(engine_lost())])
        elif fault.kind == "noend":
            self._send(())
        if fault.kind not in ("garbage", "stall"):
            self._request.unregisterProducer()

    def finish(self, usage: Usage) -> None:
        """Send the end."""
        self._request.unregisterProducer()
        self._send(self._words.final(self._wall(), usage))

    def fail(self, failure: ApiFailure) -> None:
        """Say that it failed: as an answer before the first token, in the stream after it."""
        self._request.unregisterProducer()
        if self._started:
            self._send(self._words.lost(failure, self._wall()))
            return
        style: Style = "whole" if failure.status == 503 else "chunked"
        told = ApiFailure(failure.status, failure.message, style=style)
        answer_failure(self._request, told, self._request.dialect, self._request.identity)

    def _send(self, parts: Sequence[bytes]) -> None:
        if not self._started:
            self._started = True
            self._request.setHeader(b"Content-Type", self._words.stream_type)
            if not parts:
                self._request.write(b"")
        for part in parts:
            self._request.write(part)


class WholeAnswer:
    """Sends one body at the end.

    Args:
        request: the request that is answered.
        media_type: of the body.
        so_far: the body that there would be now, for a fault that breaks it.
    """

    def __init__(self, request: SimulatedRequest, media_type: bytes, so_far: Callable[[], bytes]) -> None:
        self._request = request
        self._media_type = media_type
        self._so_far = so_far
        self._garbled = False

    def token_made(self, token: Token) -> None:
        """None has to be told."""

    def disturbed(self, fault: Fault) -> None:
        """Send half of the body, under a head that promises all of it but for one that is to look complete."""
        if fault.kind == "garbage":
            self._garbled = True
            return
        body = self._so_far()
        half = body[: len(body) // 2] if fault.number else b""
        if fault.kind == "noend":
            answer(self._request, half, self._media_type)
        elif fault.kind != "inband" and half:
            self._request.setHeader(b"Content-Type", self._media_type)
            if len(body) <= BUFFER_BYTES:
                self._request.setHeader(b"Content-Length", b"%d" % len(body))
            self._request.write(half)

    def send(self, body: bytes) -> None:
        """Send all of it."""
        if self._garbled:
            middle = len(body) // 2
            body = body[:middle] + GARBAGE + body[middle:]
        answer(self._request, body, self._media_type)


class Collecting(WholeAnswer):
    """Keeps what is said for a whole answer.

    Args:
        request: the request that is answered.
        words: how it is said.
        wall: the time of day, in seconds since 1970.
    """

    def __init__(self, request: SimulatedRequest, words: Words, wall: Callable[[], float]) -> None:
        super().__init__(request, words.whole_type, lambda: self._whole(Usage("stop", output_tokens=len(self._said))))
        self._words = words
        self._wall = wall
        self._said: list[Token] = []

    def token_made(self, token: Token) -> None:
        """Keep it."""
        self._said.append(token)

    def finish(self, usage: Usage) -> None:
        """Send the answer."""
        self.send(self._whole(usage))

    def fail(self, failure: ApiFailure) -> None:
        """Answer with the failure instead."""
        raise failure

    def _whole(self, usage: Usage) -> bytes:
        return self._words.whole(self._wall(), self._said, usage)
