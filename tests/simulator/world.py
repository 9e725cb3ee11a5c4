"""A simulated server in memory whose time passes only when a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from fidelity import Exchange, MemoryConnection, request_bytes
from twisted.internet.task import Clock

from ollamamax.simulator.accounts import Account
from ollamamax.simulator.service import simulated_site
from ollamamax.simulator.settings import ModelSpec, SimulatorSettings, parsed_model

START = 1_800_000_000.0
LOAD = 2.27
FIRST, SECOND = parsed_model("first"), parsed_model("second")


class World:
    """One server, its clock and its connections.

    Args:
        models: what it has.
        settings: whatever differs from 40 tokens/s, a load of 2.27 s, no overhead and prompts in 5 ms.
    """

    def __init__(self, models: Sequence[ModelSpec] = (FIRST, SECOND), **settings: object) -> None:
        self.clock = Clock()
        chosen: dict[str, Any] = {
            "load_seconds": LOAD,
            "tokens_per_second": 40.0,
            "overhead_seconds": 0.002,
            **settings,
        }
        self.settings = attrs.evolve(SimulatorSettings(models=tuple(models)), **chosen)
        self.site, self.simulation = simulated_site(
            self.clock, self.settings, wall=lambda: START + self.clock.seconds()
        )
        self.first_byte: dict[MemoryConnection, float] = {}
        self._connections: list[MemoryConnection] = []

    def ask(self, path: str, document: object = None, method: str = "POST", *, close: bool = True) -> MemoryConnection:
        """Send a request now."""
        return self.send(request_bytes(method, path, document, close=close))

    def send(self, request: bytes) -> MemoryConnection:
        """Send these bytes now."""
        connection = MemoryConnection(self.site, request)
        self._connections.append(connection)
        self._look()
        return connection

    def generate(self, prompt: str = "LIMIT 40", model: str = "first", **fields: object) -> MemoryConnection:
        """Ask for tokens; models here have no bound of their own on them."""
        options = {"num_predict": -1, **_mapping(fields.pop("options", {}))}
        return self.ask("/api/generate", {"model": model, "prompt": prompt, "options": options, **fields})

    def pass_until(self, seconds: float) -> None:
        """Let the time pass, timer by timer, until the clock shows this."""
        while due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= seconds]:
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
            self._look()
        self.clock.advance(max(0.0, seconds - self.clock.seconds()))

    def warmed(self, model: str = "first", **fields: object) -> None:
        """Load a model, and start the clock's next second with it in memory."""
        self.ask("/api/generate", {"model": model, **fields})
        self.pass_until(self.clock.seconds() + 10.0)

    def ps(self) -> list[str]:
        """The names of the loaded models."""
        return [str(entry["name"]) for entry in self.ps_entries()]

    def ps_entries(self) -> list[dict[str, object]]:
        """What `/api/ps` lists."""
        document = self.ask("/api/ps", method="GET").exchange().documents[0]
        assert isinstance(document, dict)
        return list(document["models"])

    def accounts(self) -> list[Account]:
        """The accounts of requests for inference."""
        return [account for account in self.site.accounts if account.method == "POST"]

    def _look(self) -> None:
        for connection in self._connections:
            if connection.data and connection not in self.first_byte:
                self.first_byte[connection] = self.clock.seconds()


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def final(connection: MemoryConnection) -> dict[str, float]:
    """The final chunk's durations in seconds, and the rest: the wait for a slot."""
    document = connection.exchange().documents[-1]
    assert isinstance(document, dict)
    assert document["done"] is True
    told = {name: document.get(f"{name}_duration", 0) / 1e9 for name in ("total", "load", "prompt_eval", "eval")}
    told["slot"] = round(told["total"] - told["load"] - told["prompt_eval"] - told["eval"], 9)
    return told


def errors(exchange: Exchange) -> list[object]:
    """What the lines of an answer complain of."""
    return [document["error"] for document in exchange.documents if isinstance(document, dict) and "error" in document]
