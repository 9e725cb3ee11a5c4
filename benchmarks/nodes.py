"""Simulated nodes in one process: `nodes.py COUNT MODELS TOKENS_PER_SECOND`; prints where each listens."""

from __future__ import annotations

import sys

from twisted.internet import reactor

from ollamamax.simulator.service import SimulatorService
from ollamamax.simulator.settings import ModelSpec, SimulatorSettings


def main(count: int, models: int, tokens_per_second: float) -> None:
    """Starts them, and runs until it is ended."""
    specs = tuple(
        ModelSpec(f"model{number}:7b", capabilities=("completion", "embedding"), parameters=())
        for number in range(1, models + 1)
    )
    settings = SimulatorSettings(
        models=specs,
        load_seconds=0.2,
        prompt_seconds=0.0,
        tokens_per_second=tokens_per_second,
        parallel=8,
        max_loaded_models=models,
    )
    for _ in range(count):
        node = SimulatorService(reactor, settings=settings)
        node.startService()
        node.when_listening().addCallback(lambda url: print(f"listening on {url}", flush=True))
        reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
