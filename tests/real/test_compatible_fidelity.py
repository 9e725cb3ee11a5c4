"""The recordings of the compatible APIs, sent through the gateway: a client sees what it saw there, the ledger more.

The usage of streams, which the gateway asks for where nobody else does, is seen by the node and the ledger alone.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
import httpx
import pytest
import pytest_twisted
from fidelity import EVENT_STREAM, FAST, Exchange, Recorded, differences, events_of, parsed, recordings, request_bytes
from real.processes import Processes
from real.recorded import Judgement, assert_like_the_recorded, told_by_the_gateway, unlike
from real.simulated import PROBED, OverheardEndpoint, gateway_before
from real.wire import sent
from twisted.internet.threads import deferToThread

from ollamamax.simulator.accounts import Account

VERSIONS = ("0.33", "0.24")
MISSING = "the node ended the response before it was complete"
CODE = "node_stream_incomplete"


# What differs, and in nothing but this.


def refused(status: int, message: str, kind: str, *, allow: str = "") -> Judgement:
    """In the words of OpenAI's API, for its clients look into JSON; Ollama answers in plain text here."""
    error = {"message": message, "type": kind, "param": None, "code": None}
    return told_by_the_gateway(status, {"error": error}, content_type="application/json", allow=allow)


def broken_end(name: str, document: dict[str, Any], *, numbered: bool = False) -> Judgement:
    """All that the node sent, then an error in the API's own form; no terminating chunk, so that nobody goes on.

    The real server ends such a stream as if it were whole, and lets its clients take a part of a text for all of it.

    Args:
        name: of the event; empty where events have none.
        document: the error.
        numbered: whether events are, so that this one has the number after the last.
    """

    def judge(recorded: Recorded, found: Exchange) -> None:
        *parts, last = found.parts
        assert unlike(recorded, attrs.evolve(found, parts=tuple(parts))) == ["end: 'broken' instead of 'fin'"]
        (event,) = events_of(last)
        number: dict[str, Any] = {}
        if numbered:
            before: Any = recorded.exchange.events[-1].document
            number = {"sequence_number": before["sequence_number"] + 1}
        assert (event.name, event.document) == (name, {**document, **number})

    return judge


BROKEN_CHAT = broken_end("", {"error": {"message": MISSING, "type": "api_error", "param": None, "code": CODE}})
DIFFERENT: dict[str, Judgement] = {
    "v1-unknown": refused(404, "there is no such route", "not_found_error"),
    "v1-wrong-method": refused(405, "method not allowed", "invalid_request_error", allow="POST"),
    "v1-chat-cut-mid-stream": BROKEN_CHAT,
    "v1-chat-engine-dies-mid-stream": BROKEN_CHAT,
    "v1-responses-cut-mid-stream": broken_end(
        "error",
        {"type": "error", "code": CODE, "message": MISSING, "error": {"message": MISSING, "code": CODE}},
        numbered=True,
    ),
    "v1-messages-cut-mid-stream": broken_end(
        "error", {"type": "error", "error": {"type": "api_error", "message": MISSING}}
    ),
}

# Refused here as there, in the same shape; the gateway has read the body before a node has.
_BROKEN_JSON = "part 1.error.message: 'invalid JSON: Input data was truncated' instead of 'unexpected EOF'"
# Models are answered from memory, whatever the versions of the nodes, and their absence is told as the newest tells it.
_ABSENT = "part 1.error.message: \"model 'absent:latest' not found\" instead of \"model 'absent' not found\""
IN_OTHER_WORDS: dict[str, dict[str, str]] = {
    "0.33": {"v1-chat-broken-json": _BROKEN_JSON},
    "0.24": {"v1-chat-broken-json": _BROKEN_JSON, "v1-model-absent": _ABSENT},
}

# Streams of completions that nobody asked usage of, and such as somebody did.
UNASKED = {
    "0.33": ["v1-chat-stream", "v1-chat-think-stream", "v1-chat-tools-stream", "v1-completions-stream"],
    "0.24": ["v1-chat-stream", "v1-completions-stream"],
}
ASKED = ["v1-chat-stream-usage", "v1-completions-stream-usage"]
_TELLING = [
    *("v1-chat-whole", "v1-chat-stream-usage", "v1-completions-whole", "v1-completions-stream-usage"),
    *("v1-embeddings", "v1-embeddings-base64", "v1-responses-whole", "v1-responses-stream"),
    *("v1-messages-whole", "v1-messages-stream"),
]
TELLING = {"0.33": [*_TELLING, "v1-messages-think-stream", "v1-messages-tools-stream"], "0.24": _TELLING}
"""All answers that tell their client what they cost."""


# How they are sent.


@attrs.frozen
class Passed:
    """One request that went through the gateway.

    Attributes:
        recorded: the request, and what came of it at a real server.
        found: what came of it here.
        end: how TCP ended: `fin` or `rst`.
        heard: the body that the node was sent; empty if it was not asked.
        accounts: the node's own, of this request.
        row: the ledger's, of an answer of inference with status 200.
    """

    recorded: Recorded
    found: Exchange
    end: str
    heard: bytes
    accounts: list[Account]
    row: dict[str, Any]

    @property
    def body(self) -> bytes:
        """What the client sent."""
        return self.recorded.request.partition(b"\r\n\r\n")[2]

    @property
    def counted(self) -> tuple[int, int]:
        """The tokens that the node took and gave, by its own account."""
        (account,) = self.accounts
        return account.prompt_tokens, account.tokens

    @property
    def booked(self) -> tuple[int | None, int | None]:
        """The tokens in the ledger."""
        return self.row["input_tokens"], self.row["output_tokens"]


@attrs.frozen
class Run:
    """All recorded requests of one version, and the one that follows from another.

    Attributes:
        version: of Ollama.
        passed: by their names, in order.
        log: the gateway's.
    """

    version: str
    passed: dict[str, Passed]
    log: str


def not_asked_for_usage(recorded: Recorded) -> Recorded:
    """What a stream with usage would have been, had nobody asked for that: without the member, without the event."""
    head, _, body = recorded.request.partition(b"\r\n\r\n")
    method, path, _ = head.decode().split(" ", 2)
    document = json.loads(body)
    assert document.pop("stream_options") == {"include_usage": True}
    parts = []
    for part in recorded.exchange.parts:
        kept = b""
        for event in events_of(part):
            data: Any = event.document
            if isinstance(data, dict) and data.pop("usage", None) is not None and data["choices"] == []:
                continue
            kept += b"data: %b\n\n" % (data if isinstance(data, str) else json.dumps(data)).encode()
        parts.append(kept)
    return Recorded(
        recorded.name.removesuffix("-usage"),
        recorded.version,
        request_bytes(method, path, document),
        attrs.evolve(recorded.exchange, parts=tuple(parts)),
    )


def recorded_compatibly(version: str) -> dict[str, Recorded]:
    """The recorded requests of the compatible APIs, by name."""
    return {each.name: each for each in recordings(version) if each.name.startswith("v1-")}


@pytest_twisted.async_fixture(scope="module", params=VERSIONS)  # type: ignore[untyped-decorator]
async def run(request: pytest.FixtureRequest, shared_processes: Processes) -> Run:
    """All of a version's, sent one after the other."""
    wanted = recorded_compatibly(request.param)
    derived = not_asked_for_usage(wanted["v1-completions-stream-usage"])
    settings = attrs.evolve(FAST, version=f"{request.param}.0")
    node = OverheardEndpoint()
    passed = {}
    async with gateway_before(settings, shared_processes, listen=node) as (gateway, simulator):
        for recorded in [*wanted.values(), derived]:
            known = len(simulator.accounts)
            node.heard.clear()
            data, end = await deferToThread(sent, gateway.url, recorded.request)
            found = parsed(data, end)
            # Probes are of one piece; what else came since is this request.
            heard = b"".join(piece for piece in node.heard if not piece.startswith(b"GET "))
            accounts = [each for each in list(simulator.accounts)[known:] if each.path not in PROBED]
            row = {}
            if found.status == 200 and recorded.request.startswith(b"POST "):
                url = f"{gateway.url}/api/v1/inference/requests/{found.header('x-request-id')}"
                row = (await deferToThread(httpx.get, url)).json()
            body = heard.partition(b"\r\n\r\n")[2]
            passed[recorded.name] = Passed(recorded, found, end, body, accounts, row)
        log = gateway.text()
    return Run(request.param, passed, log)


def usage_told(exchange: Exchange) -> dict[str, Any] | None:
    """The last usage that an answer tells its client, wherever its API puts it."""
    streamed = exchange.header("content-type") == EVENT_STREAM
    documents: list[Any] = [event.document for event in exchange.events] if streamed else exchange.documents
    told = None
    for document in documents:
        if isinstance(document, dict):
            told = document.get("usage") or document.get("response", {}).get("usage") or told
    return told


def tokens_told(exchange: Exchange) -> tuple[int, int | None]:
    """The tokens of that usage, in the words of either API."""
    usage = usage_told(exchange)
    assert usage is not None
    if "input_tokens" in usage:
        return usage["input_tokens"], usage["output_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage.get("completion_tokens", 0)
    return usage["prompt_tokens"], usage.get("completion_tokens")


# What has to be.


def test_every_recorded_compatible_request_gets_the_recorded_answer(run: Run) -> None:
    """Status, headers, framing, chunks, events, keys and types are the real server's; what is listed differs.

    Every connection is ended in order, so that all that was sent arrives, an error as the last of it.
    """
    names = recorded_compatibly(run.version).keys()
    assert_like_the_recorded(
        {name: run.passed[name].recorded for name in names},
        {name: run.passed[name].found for name in names},
        different=DIFFERENT,
        in_other_words=IN_OTHER_WORDS[run.version],
    )
    assert {each.end for each in run.passed.values()} == {"fin"}
    assert "Traceback" not in run.log


def test_usage_that_nobody_asked_for_is_for_the_ledger_alone(run: Run) -> None:
    """The client's events are the recorded ones, in their chunks; the node was asked for it, and the ledger has it."""
    for name in UNASKED[run.version]:
        passed = run.passed[name]
        assert unlike(passed.recorded, passed.found) == [], name
        assert b"usage" not in passed.found.body
        finish, done = events_of(passed.found.parts[-1])
        assert b'"finish_reason":"' in finish.data.encode()
        assert done.data == "[DONE]"
        assert json.loads(passed.heard) == {**json.loads(passed.body), "stream_options": {"include_usage": True}}
        assert passed.booked == passed.counted, name
        assert min(passed.counted) > 0


def test_usage_that_was_asked_for_is_told_as_it_came(run: Run) -> None:
    """The client has the recorded events, that of the usage among them; the node has the client's own words."""
    for name in ASKED:
        passed = run.passed[name]
        assert unlike(passed.recorded, passed.found) == [], name
        _, usage, done = events_of(passed.found.parts[-1])
        document: Any = usage.document
        assert (document["choices"], done.data) == ([], "[DONE]")
        assert document["usage"] == usage_told(passed.found)
        assert passed.heard == passed.body


def test_the_ledger_has_the_tokens_that_clients_are_told(run: Run) -> None:
    """Whole answers and streams of each API: what was told, booked and counted is the same; embeddings give none."""
    telling = [name for name, each in run.passed.items() if each.row and usage_told(each.found)]
    assert sorted(telling) == sorted(TELLING[run.version])
    for name in telling:
        passed = run.passed[name]
        assert passed.heard == passed.body, name
        taken, given = passed.counted
        assert passed.booked == tokens_told(passed.found) == (taken, given or None), name
        assert taken > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stream_without_usage_is_derived_as_it_was_recorded(version: str) -> None:
    """Of chats both were recorded, and the one follows from the other, as is taken for granted of completions."""
    wanted = recorded_compatibly(version)
    derived = not_asked_for_usage(wanted["v1-chat-stream-usage"])
    recorded = wanted["v1-chat-stream"]
    assert derived.name == recorded.name
    assert differences(recorded.exchange, derived.exchange) == []
    assert derived.request.partition(b"\r\n\r\n")[2] == recorded.request.partition(b"\r\n\r\n")[2]


def test_what_may_differ_was_recorded() -> None:
    """Each listed case is there, so that none of them is a case that no longer exists."""
    assert DIFFERENT.keys() <= recorded_compatibly("0.33").keys()
    for version, words in IN_OTHER_WORDS.items():
        assert words.keys() <= recorded_compatibly(version).keys()
