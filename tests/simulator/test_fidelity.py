"""The simulator against the recordings of real servers, exchange by exchange."""

from __future__ import annotations

import json

import attrs
import pytest
import pytest_twisted
from fidelity import (
    Exchange,
    MemoryConnection,
    Recorded,
    advance_until_finished,
    differences,
    exchanged,
    recordings,
    request_bytes,
)
from twisted.internet import reactor
from twisted.internet.task import Clock

from ollamamax.simulator.service import SimulatorService, simulated_site
from ollamamax.simulator.settings import THINKER, TINY, SimulatorSettings

FAST = SimulatorSettings(
    load_seconds=0.02,
    prompt_seconds=0.001,
    tokens_per_second=2000.0,
    overhead_seconds=0.001,
    pull_bytes_per_second=590_000.0,
    registry=(TINY, attrs.evolve(TINY, name="127.0.0.1:5055/x/tiny")),
)
INFERENCE = ("generate-", "chat-", "embed")


def parts_of(version: str) -> dict[str, list[Recorded]]:
    """The requests by the server that they were recorded from: the last three of 0.33 had an empty store."""
    all_of_them = recordings(version)
    names = [each.name for each in all_of_them]
    cut = names.index("tags-empty") if "tags-empty" in names else len(names)
    return {"full": all_of_them[:cut], "empty": all_of_them[cut:]}


@pytest.mark.parametrize(("version", "part"), [("0.33", "full"), ("0.33", "empty"), ("0.24", "full")])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_every_recorded_request_gets_the_recorded_answer(version: str, part: str) -> None:
    """Status, headers, framing, end and the bodies' keys and types are those of the real server, without exception."""
    models = (TINY, THINKER) if part == "full" else ()
    settings = attrs.evolve(FAST, version=f"{version}.0", models=models)
    service = SimulatorService(reactor, settings=settings)
    service.privilegedStartService()
    service.startService()
    told: dict[str, list[str]] = {}
    try:
        port = int(service.url.rpartition(":")[2])
        requests = parts_of(version)[part]
        assert requests
        for recorded in requests:
            found = await exchanged(reactor, "127.0.0.1", port, recorded.request)
            if unlike := differences(recorded.exchange, found):
                told[recorded.name] = unlike
    finally:
        await service.stopService()
    assert told == {}


def inference_requests() -> list[tuple[str, str, str, dict[str, object]]]:
    """The recorded inference requests that were answered with tokens or vectors."""
    found = []
    for version in ("0.33", "0.24"):
        for each in recordings(version):
            path = each.request.split(b" ")[1].decode()
            if not each.name.startswith(INFERENCE) or each.exchange.status != 200 or "cut" in each.name:
                continue
            if "dies" in each.name or b"\r\n\r\n{" not in each.request:
                continue
            found.append((version, each.name, path, json.loads(each.request.split(b"\r\n\r\n", 1)[1])))
    return found


def varied(document: dict[str, object], stream: bool) -> dict[str, object]:
    """The same request with another prompt, model and length, and with or without a stream."""
    changed = {name: value for name, value in document.items() if name.lower() != "model"}
    other = "thinker" if document["model"] == "tiny" or "tools" in document else "tiny"
    changed = {**changed, "model": other, "stream": stream}
    changed.pop("think", None)
    if "prompt" in changed:
        changed["prompt"] = "another prompt altogether, LIMIT 17"
    if changed.get("messages"):
        changed["messages"] = [{"role": "user", "content": "another question altogether, LIMIT 17"}]
    if "input" in changed:
        changed["input"] = ["another text", "and one more"]
    return {**changed, "options": {"num_predict": 11}}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("version", "name", "path", "document"), inference_requests())
def test_other_prompts_models_lengths_and_streams_are_accounted_for(
    version: str, name: str, path: str, document: dict[str, object], stream: bool
) -> None:
    """The tokens told are the tokens sent, and the phases are the wall time, to the nanosecond of the clock."""
    clock = Clock()
    site, _ = simulated_site(
        clock, attrs.evolve(FAST, version=f"{version}.0", tokens_per_second=40.0), wall=lambda: 1.8e9 + clock.seconds()
    )
    if name == "generate-unload":
        document = {**document, "keep_alive": 5}
    connection = MemoryConnection(site, request_bytes("POST", path, varied(document, stream)))
    advance_until_finished(clock, [connection])
    account = next(iter(site.accounts))
    exchange = connection.exchange()
    assert (exchange.status, exchange.end, account.outcome) == (200, "fin", "finished")
    final = exchange.documents[-1]
    assert isinstance(final, dict)
    if path in ("/api/embed", "/api/embeddings") or final.get("done_reason") == "load":
        return
    json_wanted = "format" in document
    assert final["eval_count"] == account.tokens == (2 if json_wanted else 11)
    if stream:
        assert len(exchange.documents) == final["eval_count"] + 1
        assert all(len(part.splitlines()) == 1 for part in exchange.parts)
    elif not json_wanted:
        text = final["response"] if path == "/api/generate" else final["message"]["content"]
        assert len(text.split()) == 11
    took = clock.seconds()
    parts = [final[f"{phase}_duration"] for phase in ("load", "prompt_eval", "eval")]
    assert final["total_duration"] == sum(parts) == pytest.approx(took * 1e9, abs=2)
    assert parts == pytest.approx([0.021e9, 0.001e9, final["eval_count"] / 40 * 1e9], abs=2)


def sample() -> Exchange:
    """A recorded stream to damage."""
    return next(each.exchange for each in recordings("0.33") if each.name == "chat-stream")


def _replaced(exchange: Exchange, old: bytes, new: bytes) -> Exchange:
    return attrs.evolve(exchange, parts=tuple(part.replace(old, new) for part in exchange.parts))


def planted() -> dict[str, Exchange]:
    """Exchanges that differ from the sample in one way each."""
    good = sample()
    joined = (good.parts[0] + good.parts[1], *good.parts[2:])
    return {
        "status": attrs.evolve(good, status=201),
        "reason": attrs.evolve(good, reason="Fine"),
        "a header less": attrs.evolve(good, headers=good.headers[1:]),
        "a header more": attrs.evolve(good, headers=(*good.headers, ("server", "x"))),
        "a header twice": attrs.evolve(good, headers=(*good.headers, good.headers[0])),
        "another media type": attrs.evolve(
            good, headers=tuple((n, v.replace("x-ndjson", "json")) for n, v in good.headers)
        ),
        "framing": attrs.evolve(good, framing="length"),
        "end": attrs.evolve(good, end="rst"),
        "a line less": attrs.evolve(good, parts=good.parts[1:]),
        "two lines in a chunk": attrs.evolve(good, parts=(*joined, b"")),
        "no line end": attrs.evolve(good, parts=tuple(part.rstrip() for part in good.parts)),
        "another type": _replaced(good, b'"content":""', b'"content":null'),
        "another key": _replaced(good, b'"eval_count"', b'"evaluated"'),
        "another value that matters": _replaced(good, b'"done_reason":"stop"', b'"done_reason":"length"'),
        "no JSON": _replaced(good, b'"eval_count"', b"eval_count"),
    }


def test_an_exchange_is_like_itself() -> None:
    """The comparison finds nothing where nothing is."""
    assert differences(sample(), sample()) == []


@pytest.mark.parametrize("way", planted())
def test_a_planted_difference_is_found(way: str) -> None:
    """Each way in which an answer can be wrong is seen."""
    assert differences(sample(), planted()[way]) != []
