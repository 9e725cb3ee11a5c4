"""What can be asked of real nodes, with the models and the words in prompts that the engine of the tests knows."""

from __future__ import annotations

from collections.abc import Iterator

from truth.asks import EMBEDS, NATIVE_TEXT, TEXT, V1_TEXT, Plot, Plots, client_errors, each, lengths, successes

MODEL, MORTAL = "tiny", "senses"
"""The model that cannot think, and one with weights of its own: where an engine's answer breaks off, Ollama ends the
engine, and everybody's answer with it (`Close` upon an unexpected EOF in its llm/llama_server.go)."""

SETTINGS = """
trusted_networks = ["127.0.0.0/8"]
[timeouts]
whole_response_seconds = 3
"""

_LONG = {"prompt": "LIMIT 400", "most_tokens": 400}
"""Eight seconds, at 50 tokens in one."""
_SIMULATED = ("GARBAGE", "SLOW")


def _successes() -> Iterator[Plot]:
    for dialect, stream, fields in successes():
        if not any(word in fields.get("prompt", "") for word in _SIMULATED):
            yield dialect, stream, fields


def _departures() -> Iterator[Plot]:
    yield from each(TEXT, False, **_LONG, leaves="before")
    yield from each(TEXT, True, **_LONG, leaves="within")


def _timeouts() -> Iterator[Plot]:
    yield from each(TEXT, False, **_LONG)


def _node_errors() -> Iterator[Plot]:
    yield from each((*TEXT, *EMBEDS), False, prompt="HTTP500")
    yield from each(TEXT, True, prompt="HTTP500")
    yield from each(TEXT, False, model=MORTAL, prompt="CUT LIMIT 9")


def _stream_errors() -> Iterator[Plot]:
    yield from each(NATIVE_TEXT, True, model=MORTAL, prompt="CUT LIMIT 9")


def _incomplete() -> Iterator[Plot]:
    yield from each(V1_TEXT, True, model=MORTAL, prompt="CUT LIMIT 9")
    yield from each(("transcriptions",), False, model=MORTAL, prompt="CUT LIMIT 9")


def _of_its_models(plots: Iterator[Plot]) -> Iterator[Plot]:
    for dialect, stream, fields in plots:
        yield dialect, stream, {"model": MODEL, **fields}


REAL: Plots = {
    outcome: lambda plots=plots: _of_its_models(plots())  # type: ignore[misc]
    for outcome, plots in {
        "success": _successes,
        "length": lengths,
        "client_error": client_errors,
        "client_disconnected": _departures,
        "timeout": _timeouts,
        "node_error": _node_errors,
        "stream_error": _stream_errors,
        "incomplete": _incomplete,
    }.items()
}
"""What can be asked; a node that is busy is none of it."""
