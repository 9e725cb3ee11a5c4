"""Answers that are no success, in the words and the framing of Ollama. Pure."""

from __future__ import annotations

from typing import Literal

Style = Literal["whole", "bare", "chunked"]
Layer = Literal["native", "dialect", "proxy"]


class ApiFailure(Exception):
    """An answer `{"error": …}`.

    Args:
        status: of the answer.
        message: what `error` says.
        style: `whole` is what most routes do; `bare` has no charset (routes that could have streamed); `chunked` too,
            and no Content-Length either.
        extra: further members of the object.
        layer: who found it, of those that a request to a compatible route passes: `proxy` looks first, at the encoding
            and for the cloud's models, and speaks as the native API does; `dialect` checks and translates the request;
            what the `native` route finds is translated back.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        style: Style = "whole",
        extra: dict[str, str] | None = None,
        layer: Layer = "native",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.style: Style = style
        self.extra = extra or {}
        self.layer: Layer = layer

    def document(self) -> dict[str, object]:
        """What is sent."""
        return {"error": self.message, **self.extra}


def model_absent(name: str) -> ApiFailure:
    """The usual words for a model that is not there."""
    return ApiFailure(404, f"model '{name}' not found")


def not_understood(message: str) -> ApiFailure:
    """A compatible API's own refusal of a request."""
    return ApiFailure(400, message, layer="dialect")


def server_busy() -> ApiFailure:
    """The queue before the loads is full."""
    return ApiFailure(503, "server busy, please try again.  maximum pending requests exceeded")


def engine_refused() -> ApiFailure:
    """The engine answered 500."""
    return ApiFailure(500, '{"error": {"code": 500, "message": "engine says no", "type": "server_error"}}')


def engine_lost() -> ApiFailure:
    """The engine went away in the middle."""
    return ApiFailure(500, "an error was encountered while running the model: unexpected EOF")
