"""The official clients of OpenAI and Anthropic, unmodified: asked before the gateway and before a node itself.

What they are asked is written once, as a function of a client; the blocking flavour calls it, the asynchronous one
awaits what it gives. Nothing is tried twice unless a test says so.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import anthropic
import attrs
import openai

Ask = Callable[[Any], Any]
"""What is asked of a client; the blocking one and the asynchronous one have the same methods."""

PATIENCE_SECONDS = 30.0
FLAVOURS = ("blocking", "asynchronous")
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one point: a PNG as base64."""

SOUND = (
    "silence.wav",
    b"RIFF,\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0\x80>\0\0\x02\0\x10\0data\x08\0\0\0" + bytes(8),
)
"""A recording of four samples of silence, as the file of a form."""

# What no two answers have in common: names that were drawn and times.
_VOLATILE = {"id", "item_id", "call_id", "created", "created_at", "completed_at"}


class Flavour(Protocol):
    """One way of calling a client."""

    @property
    def client(self) -> Any:
        """The client itself."""

    def answer(self, ask: Ask) -> Any:
        """What a call gives."""

    def events(self, ask: Ask, *, into: list[Any] | None = None) -> list[Any]:
        """All that a stream gives.

        Args:
            ask: gives the stream, or what a `with` block makes one of.
            into: takes the events as they come, for a stream that will fail.
        """

    def final(self, ask: Ask, method: str) -> Any:
        """What a stream's helper makes of all events, by one of its own methods."""


@attrs.frozen
class Blocking:
    """The client that blocks its thread.

    Attributes:
        client: the client.
    """

    client: Any

    def answer(self, ask: Ask) -> Any:
        return ask(self.client)

    def events(self, ask: Ask, *, into: list[Any] | None = None) -> list[Any]:
        events = [] if into is None else into
        with ask(self.client) as stream:
            events.extend(iter(stream))
        return events

    def final(self, ask: Ask, method: str) -> Any:
        with ask(self.client) as stream:
            return getattr(stream, method)()


@attrs.frozen
class Asynchronous:
    """The client that is awaited.

    Attributes:
        client: the client.
        loop: where it lives.
    """

    client: Any
    loop: Loop

    def answer(self, ask: Ask) -> Any:
        async def run() -> Any:
            asked = ask(self.client)
            # A list of models is awaitable, and can be iterated too.
            return await asked if inspect.isawaitable(asked) else asked

        return self.loop.run(run())

    def events(self, ask: Ask, *, into: list[Any] | None = None) -> list[Any]:
        events = [] if into is None else into

        async def run() -> None:
            asked = ask(self.client)
            async with await asked if inspect.isawaitable(asked) else asked as stream:
                async for event in stream:
                    events.append(event)

        self.loop.run(run())
        return events

    def final(self, ask: Ask, method: str) -> Any:
        async def run() -> Any:
            async with ask(self.client) as stream:
                return await getattr(stream, method)()

        return self.loop.run(run())


class Loop:
    """An asyncio loop on a thread of its own: under the asyncio reactor this thread's has a loop already."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs it there; what it gives or raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def close(self) -> None:
        """Ends the thread."""
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def openai_client(flavour: str, url: str, *, retries: int = 0) -> Iterator[Flavour]:
    """OpenAI's client before the server at a URL, in one of `FLAVOURS`."""
    settings: dict[str, Any] = {
        "base_url": f"{url}/v1",
        "api_key": "none",
        "max_retries": retries,
        "timeout": PATIENCE_SECONDS,
    }
    with _flavoured(flavour, openai.OpenAI, openai.AsyncOpenAI, settings) as client:
        yield client


@contextmanager
def anthropic_client(flavour: str, url: str, *, retries: int = 0) -> Iterator[Flavour]:
    """Anthropic's client before the server at a URL, in one of `FLAVOURS`."""
    settings: dict[str, Any] = {
        "base_url": url,
        "api_key": "none",
        "max_retries": retries,
        "timeout": PATIENCE_SECONDS,
    }
    with _flavoured(flavour, anthropic.Anthropic, anthropic.AsyncAnthropic, settings) as client:
        yield client


@contextmanager
def _flavoured(
    flavour: str, blocking: type[Any], asynchronous: type[Any], settings: dict[str, Any]
) -> Iterator[Flavour]:
    if flavour == "blocking":
        with blocking(**settings) as client:
            yield Blocking(client)
        return
    loop = Loop()
    try:
        client = asynchronous(**settings)
        yield Asynchronous(client, loop)
        loop.run(client.close())
    finally:
        loop.close()


@attrs.frozen
class Compared:
    """A client before the gateway and the same before a node: what they give has to be the same.

    Attributes:
        gateway: the one whose answers a test looks at.
        node: the one that they are compared with.
    """

    gateway: Flavour
    node: Flavour

    def answer(self, ask: Ask) -> Any:
        """What the gateway answers to a call."""
        through = self.gateway.answer(ask)
        assert plain(through) == plain(self.node.answer(ask))
        return through

    def events(self, ask: Ask) -> list[Any]:
        """What the gateway streams."""
        through = self.gateway.events(ask)
        assert plain(through) == plain(self.node.events(ask))
        assert through
        return through

    def final(self, ask: Ask, method: str) -> Any:
        """What a helper makes of what the gateway streams."""
        through = self.gateway.final(ask, method)
        assert plain(through) == plain(self.node.final(ask, method))
        return through


def plain(value: Any) -> Any:
    """What an answer holds, without what differs from one time to the next."""
    if hasattr(value, "model_dump"):
        # Without its warnings: an embedding as base64 and a parsed answer are not what the client's own types say.
        value = value.model_dump(warnings=False)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
