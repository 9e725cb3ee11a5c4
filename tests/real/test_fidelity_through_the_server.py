"""The recordings of real servers, sent through the gateway: a client sees what it saw there, but for a listed few."""

from __future__ import annotations

import attrs
import pytest
import pytest_twisted
from fidelity import FAST, Exchange, Recorded, recordings
from real.processes import Processes
from real.recorded import Judgement, assert_like_the_recorded, told_by_the_gateway, unlike
from real.simulated import gateway_before
from real.wire import asked, sent
from twisted.internet.threads import deferToThread

from ollamamax.simulator.settings import THINKER, TINY

PARTS = [("0.33", "full"), ("0.33", "empty"), ("0.24", "full")]

# What differs, and in nothing but this.


def broken_end(recorded: Recorded, found: Exchange) -> None:
    """Everything up to the node's error line, which is not followed by a terminating chunk, so that nobody goes on."""
    assert unlike(recorded, found) == ["end: 'broken' instead of 'fin'"]
    last = found.documents[-1]
    assert isinstance(last, dict)
    assert list(last) == ["error"]


DIFFERENT: dict[str, Judgement] = {
    "chat-cut-mid-stream": broken_end,
    "generate-cut-mid-stream": broken_end,
    "chat-engine-dies-mid-stream": broken_end,
    "unknown-path": told_by_the_gateway(404, {"error": "there is no such route"}),
    "wrong-method": told_by_the_gateway(405, {"error": "method not allowed"}, allow="POST"),
    "me": told_by_the_gateway(403, {"error": "this route is not available through the gateway"}),
    "chat-duplicate-model-key": told_by_the_gateway(
        400, {"error": "invalid JSON: two keys of one object differ in nothing but their case"}
    ),
}


IN_OTHER_WORDS = {
    "chat-broken-json": "part 1.error: 'invalid JSON: Input data was truncated' instead of 'unexpected EOF'",
    "chat-wrong-type": "part 1.error: 'model: Expected `str | null`, got `int`' instead of "
    "'json: cannot unmarshal number into Go struct field ChatRequest.model of type string'",
}
"""Refused here as there, in the same shape; the text is the gateway's, which has read the body before a node has."""


# How they are sent.


def recorded_natively(version: str, part: str) -> list[Recorded]:
    """The recorded requests of Ollama's own API, by the server that they were sent to.

    Args:
        version: of Ollama.
        part: `empty` for the last of 0.33, whose server began with an empty store, `full` for all others.
    """
    found = [each for each in recordings(version) if not each.name.startswith("v1-")]
    names = [each.name for each in found]
    cut = names.index("tags-empty") if "tags-empty" in names else len(names)
    return found[:cut] if part == "full" else found[cut:]


@pytest.mark.parametrize(("version", "part"), PARTS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_every_recorded_native_request_gets_the_recorded_answer(
    version: str, part: str, processes: Processes
) -> None:
    """Status, headers, framing, end and the bodies' keys and types are the real server's; what is listed differs.

    Of the values those that programs look at (`fidelity.SAME_VALUE`) are the same as well, but for two error texts.
    """
    models = (TINY, THINKER) if part == "full" else ()
    found: dict[str, Exchange] = {}
    wanted = {recorded.name: recorded for recorded in recorded_natively(version, part)}
    async with gateway_before(attrs.evolve(FAST, version=f"{version}.0", models=models), processes) as (gateway, _):
        for name, recorded in wanted.items():
            found[name] = await deferToThread(asked, gateway.url, recorded.request)
        text = gateway.text()
    assert_like_the_recorded(wanted, found, different=DIFFERENT, in_other_words=IN_OTHER_WORDS)
    assert "Traceback" not in text


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_stream_that_its_engine_breaks_off_ends_by_fin(processes: Processes) -> None:
    """The last bytes are the error line's chunk; then the connection is closed, not reset, so that the line arrives."""
    broken = [each for each in recorded_natively("0.33", "full") if DIFFERENT.get(each.name) is broken_end]
    assert len(broken) == 3
    async with gateway_before(FAST, processes) as (gateway, _):
        for recorded in broken:
            data, end = await deferToThread(sent, gateway.url, recorded.request)
            assert end == "fin"
            assert data.endswith(b'"}\n\r\n')
            assert data.count(b'{"error":') == 1


def test_what_may_differ_was_recorded() -> None:
    """Each listed case is there, so that none of them is a case that no longer exists."""
    names = {each.name for version, part in PARTS for each in recorded_natively(version, part)}
    assert DIFFERENT.keys() <= names
