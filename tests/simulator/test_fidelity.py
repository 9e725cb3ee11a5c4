"""The simulator against the recordings of real servers, exchange by exchange."""

from __future__ import annotations

import json

import attrs
import pytest
import pytest_twisted
from fidelity import (
    EVENT_STREAM,
    FAST,
    Exchange,
    MemoryConnection,
    Recorded,
    advance_until_finished,
    differences,
    exchanged,
    recordings,
    request_bytes,
)
from simulator.spoken import BY_PATH, spoken
from twisted.internet import reactor
from twisted.internet.task import Clock

from ollamamax.simulator.accounts import Account
from ollamamax.simulator.service import SimulatorService, simulated_site
from ollamamax.simulator.settings import THINKER, TINY

WITH_STREAM_OPTIONS = ("/v1/chat/completions", "/v1/completions")
INFERENCE = ("generate-", "chat-", "embed", "v1-chat-", "v1-completions-", "v1-responses-", "v1-messages-", "v1-embed")


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
    if "max_output_tokens" in changed:
        return {**changed, "max_output_tokens": 11, "input": "another prompt altogether, LIMIT 17"}
    if "max_tokens" in changed:
        return {**changed, "max_tokens": 11}
    return {**changed, "options": {"num_predict": 11}}


def assert_accounted_for(path: str, document: dict[str, object], exchange: Exchange, account: Account) -> None:
    """On a compatible route, the tokens told are those that were sent."""
    if path == "/v1/embeddings":
        usage = exchange.documents[0]["usage"]  # type: ignore[index]
        assert usage == {"prompt_tokens": account.prompt_tokens, "total_tokens": account.prompt_tokens}
        assert account.prompt_tokens == len(["another", "text", "and", "one", "more"]) + 2
        return
    said = spoken(BY_PATH[path], exchange)
    bounded = "max_tokens" in document or "max_output_tokens" in document
    count = 11 if bounded else 17
    assert (len(said.text.split()), account.tokens) == (count, count)
    streamed = exchange.header("content-type") == EVENT_STREAM
    assert said.ended == streamed
    assert len(said.pieces) == (count if streamed else 1)
    if not streamed or path not in WITH_STREAM_OPTIONS or "stream_options" in document:
        assert (said.prompt_tokens, said.output_tokens) == (account.prompt_tokens, count)
    else:
        assert said.output_tokens is None
    assert said.reason in (("length", "max_tokens", "completed") if bounded else ("stop", "end_turn"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("version", ["0.33", "0.24"])
def test_compatible_requests_are_accounted_for_too(version: str, stream: bool) -> None:
    """Other prompts, models, lengths and streams: the tokens told are those that were sent."""
    requests = [each for each in inference_requests() if each[0] == version and each[1].startswith("v1-")]
    assert len(requests) > 8
    for _, _, path, document in requests:
        clock = Clock()
        settings = attrs.evolve(FAST, version=f"{version}.0", tokens_per_second=40.0)
        site, _ = simulated_site(clock, settings)
        connection = MemoryConnection(site, request_bytes("POST", path, varied(document, stream)))
        advance_until_finished(clock, [connection])
        account = next(iter(site.accounts))
        exchange = connection.exchange()
        assert (exchange.status, exchange.end, account.outcome) == (200, "fin", "finished")
        assert_accounted_for(path, document, exchange, account)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("version", "name", "path", "document"), [each for each in inference_requests() if not each[1].startswith("v1-")]
)
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


def sample(name: str = "chat-stream") -> Exchange:
    """A recorded stream to damage."""
    return next(each.exchange for each in recordings("0.33") if each.name == name)


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


def planted_in_events() -> dict[str, tuple[str, Exchange]]:
    """Likewise for event streams: the name of the sample, and what differs from it in one way."""
    chat, response = sample("v1-chat-stream-usage"), sample("v1-responses-stream")
    message = sample("v1-messages-tools-stream")
    last = chat.parts[-1]
    finish, usage, done, _ = last.split(b"\n\n")
    apart = (*chat.parts[:-1], finish + b"\n\n", usage + b"\n\n", done + b"\n\n")
    swapped = (*response.parts[:2], response.parts[3], response.parts[2], *response.parts[4:])
    return {
        "no end": ("v1-chat-stream-usage", _replaced(chat, b"data: [DONE]\n\n", b"")),
        "another end": ("v1-chat-stream-usage", _replaced(chat, b"[DONE]", b"[END]")),
        "a document as the end": ("v1-chat-stream-usage", _replaced(chat, b"[DONE]", b"{}")),
        "the end apart": ("v1-chat-stream-usage", attrs.evolve(chat, parts=apart)),
        "a chunk less": ("v1-chat-stream-usage", attrs.evolve(chat, parts=chat.parts[1:])),
        "no usage": ("v1-chat-stream-usage", attrs.evolve(chat, parts=(*chat.parts[:-1], finish + b"\n\n" + done))),
        "another line end": ("v1-chat-stream-usage", _replaced(chat, b"\n\n", b"\r\n\r\n")),
        "one line end less": ("v1-chat-stream-usage", _replaced(chat, b"}\n\n", b"}\n")),
        "another finish": ("v1-chat-stream-usage", _replaced(chat, b'"stop"', b'"length"')),
        "a role more": ("v1-chat-stream-usage", _replaced(chat, b'"delta":{}', b'"delta":{"role":"assistant"}')),
        "a null": ("v1-chat-stream-usage", _replaced(chat, b'"choices":[]', b'"choices":null')),
        "no JSON": ("v1-chat-stream-usage", _replaced(chat, b'"object":"chat', b'"object:"chat')),
        "a name less": ("v1-responses-stream", _replaced(response, b"event: response.created\n", b"")),
        "another name": ("v1-responses-stream", _replaced(response, b"event: response.created", b"event: created")),
        "another order": ("v1-responses-stream", attrs.evolve(response, parts=swapped)),
        "another number": ("v1-responses-stream", _replaced(response, b'"sequence_number":4', b'"sequence_number":5')),
        "another status": ("v1-responses-stream", _replaced(response, b'"status":"completed"', b'"status":"failed"')),
        "members in another order": (
            "v1-responses-stream",
            _replaced(response, b'"annotations":[],"logprobs":[]', b'"logprobs":[],"annotations":[]'),
        ),
        "another index": ("v1-messages-tools-stream", _replaced(message, b'"index":0', b'"index":1')),
        "another reason": ("v1-messages-tools-stream", _replaced(message, b'"tool_use"}', b'"end_turn"}')),
        "other arguments": ("v1-messages-tools-stream", _replaced(message, b"Paris", b"Rome")),
    }


def test_an_exchange_is_like_itself() -> None:
    """The comparison finds nothing where nothing is."""
    assert differences(sample(), sample()) == []


@pytest.mark.parametrize("way", planted())
def test_a_planted_difference_is_found(way: str) -> None:
    """Each way in which an answer can be wrong is seen."""
    assert differences(sample(), planted()[way]) != []


def test_every_planted_difference_in_an_event_stream_is_found() -> None:
    """Names, order, number, framing and data of events, each for itself; the sample itself is like itself."""
    missed = []
    for way, (name, damaged) in planted_in_events().items():
        assert differences(sample(name), sample(name)) == []
        assert damaged != sample(name), way
        if not differences(sample(name), damaged):
            missed.append(way)
    assert missed == []
