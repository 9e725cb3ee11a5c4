"""What a check is, and how it says that a promise is not kept."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import attrs

from ollamamax.caller import Answer
from ollamamax.verify.server import Server


class Failed(Exception):
    """A promise that is not kept; the text is what was expected and seen."""


@attrs.frozen
class Check:
    """One promise.

    Attributes:
        number: its number in the requirements, `R2`.
        promise: what holds, in a few words.
        run: raises `Failed` where it does not; returns what else is worth telling, or nothing.
    """

    number: str
    promise: str
    run: Callable[[Server], Awaitable[str]]


def expect(condition: bool, text: str) -> None:
    """Raises `Failed` with a text unless a condition holds."""
    if not condition:
        raise Failed(text)


def unknown_model() -> str:
    """A model's name that no node has, another each time."""
    return f"verify-{secrets.token_hex(8)}"


async def get_unknown_model(server: Server) -> Answer:
    """Asks for a model that no node has: a request that is routed, measured and answered without a node."""
    return await server.get(f"/api/v1/models/{unknown_model()}")
