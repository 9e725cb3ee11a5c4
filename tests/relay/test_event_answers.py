"""Streams of the `/v1` routes through a crossing: as `test_relay`, in memory, from recordings where there is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from relay.bodies import Body
from twisted.internet.defer import Deferred

from ollamamax.errors import NodeTruncated, ShuttingDown
from ollamamax.relay.relay import Answer, RelayTimeouts
from ollamamax.relay.usage import NO_USAGE, Usage

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    Answer.CHAT_COMPLETIONS,
    Answer.COMPLETIONS,
    Answer.RESPONSES,
    Answer.MESSAGES,
)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
END = b"0\r\n\r\n"
TOKENS = {
    CHAT: TOKEN,
    COMPLETIONS: b'data: {"choices":[{"text":"a","finish_reason":null}]}\n\n',
    RESPONSES: b'event: response.output_text.delta\ndata: {"delta":"a","sequence_number":4,'
    b'"type":"response.output_text.delta"}\n\n',
    MESSAGES: b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a"}}\n\n',
}


def chunk(data: bytes) -> bytes:
    """A chunk on the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def frame_of(answer: Answer, code: str, message: str) -> tuple[bytes, dict[str, object]]:
    """The name line and the data of the frame that ends a stream."""
    if answer is RESPONSES:
        error = {"message": message, "code": code}
        return b"event: error\n", {"type": "error", **error, "error": error, "sequence_number": 5}
    if answer is MESSAGES:
        return b"event: error\n", {"type": "error", "error": {"type": "api_error", "message": message}}
    return b"", {"error": {"message": message, "type": "api_error", "param": None, "code": code}}


@pytest.mark.parametrize("cut", [1, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (CHAT, "v1-chat-stream-usage"),
        (COMPLETIONS, "v1-completions-stream-usage"),
        (RESPONSES, "v1-responses-stream"),
        (MESSAGES, "v1-messages-stream"),
    ],
)
def test_recordings_pass_unchanged(
    setting: Any, recorded: dict[tuple[str, str], Any], answer: Answer, name: str, cut: int
) -> None:
    """A recorded stream passes, the same bytes, however the node's bytes arrive, and its head as it is."""
    setting.carry(answer=answer)
    raw = recorded["0.33", name].raw
    for at in range(0, len(raw), cut):
        setting.wire.deliver(raw[at : at + cut])
    assert b"".join(setting.browser.chunks) == b"".join(Body(raw).pieces)
    assert b"Content-Type: text/event-stream" in setting.browser.head
    assert (setting.report.outcome, setting.report.error_code) == ("success", None)
    assert (setting.report.usage.input_tokens, setting.report.usage.output_tokens) == (4, 6)
    assert setting.report.first_token_at is not None


def test_each_chunk_is_one_write(setting: Any, recorded: dict[tuple[str, str], Any]) -> None:
    """After each read the client has what was in it, chunk by chunk as the node wrote it."""
    setting.carry(answer=CHAT)
    exchange = recorded["0.33", "v1-chat-think-stream"]
    for read in exchange.reads:
        setting.wire.deliver(read)
    assert setting.browser.chunks == [*Body(exchange.raw).pieces, b""]


@pytest.mark.parametrize(
    ("answer", "name"), [(CHAT, "v1-chat-stream-usage"), (COMPLETIONS, "v1-completions-stream-usage")]
)
def test_usage_that_was_added(setting: Any, recorded: dict[tuple[str, str], Any], answer: Answer, name: str) -> None:
    """The client gets a stream without usage, the report has it."""
    setting.carry(answer=answer, usage_added=True)
    setting.wire.deliver(recorded["0.33", name].raw)
    body = b"".join(setting.browser.chunks)
    assert b"usage" not in body
    assert b'"choices":[]' not in body
    assert body.endswith(b"data: [DONE]\n\n")
    assert body.count(b"\n\n") == 8
    assert setting.report.usage == Usage(4, 6)
    assert setting.report.bytes_out == len(body)


def test_an_edited_stream_announces_no_length(setting: Any) -> None:
    """Where a node told the length of a stream, what is left of it has another one."""
    setting.carry(answer=COMPLETIONS, usage_added=True)
    body = b'data: {"choices":[{"text":"","finish_reason":"load"}],"usage":{}}\n\ndata: {"choices":[],"usage":{}}\n\n'
    body += b"data: [DONE]\n\n"
    setting.wire.deliver(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert b"Content-Length" not in setting.browser.head
    left = b'data: {"choices":[{"text":"","finish_reason":"load"}]}\n\ndata: [DONE]\n\n'
    assert setting.browser.chunks == [left, b""]
    assert (setting.report.outcome, setting.report.loaded, setting.report.usage) == ("success", True, NO_USAGE)


# Streams that end badly.


@pytest.mark.parametrize("how", ["fin", "reset", "clean end", "garbage", "idle", "shutdown"])
@pytest.mark.parametrize("answer", TOKENS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_stream_without_its_terminal(setting: Any, how: str, answer: Answer, inside: bool) -> None:
    """However a stream ends without its terminal: whole events, an error in its own words, a broken end."""
    setting.carry(answer=answer, timeouts=RelayTimeouts(2.0, idle=5.0))
    token = TOKENS[answer]
    setting.wire.deliver(STREAM + chunk(token) + (chunk(token[:-1]) if inside else b""))
    outcome, code, message = (
        "incomplete",
        "node_stream_incomplete",
        "the node ended the response before it was complete",
    )
    if how in ("fin", "reset"):
        setting.wire.lose(reset=how == "reset")
    elif how == "clean end":
        setting.wire.deliver(END)
    elif how == "garbage":
        setting.wire.deliver(b"zz\r\n")
        outcome, code, message = "node_error", "node_protocol_error", "the node sent an invalid response"
    elif how == "idle":
        setting.clock.advance(5)
        outcome, code, message = "timeout", "node_timeout", "the node did not answer in time (idle: 5 s)"
    else:
        setting.relay.abort_all(ShuttingDown())
        outcome, code, message = "unavailable", "shutting_down", "the gateway is shutting down"
    assert setting.browser.chunks[0] == token
    assert len(setting.browser.chunks) == 2
    assert setting.browser.closing
    name, data = frame_of(answer, code, message)
    frame = setting.browser.chunks[1]
    assert frame.startswith(name + b"data: ")
    assert frame.endswith(b"}\n\n")
    assert json.loads(frame[len(name) + 6 :]) == data
    setting.browser.gone()
    assert (setting.report.outcome, setting.report.error_code, setting.report.status) == (outcome, code, 200)
    assert setting.report.first_token_at == 0.0
    assert not setting.ticking


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (CHAT, "v1-chat-cut-mid-stream"),
        (CHAT, "v1-chat-engine-dies-mid-stream"),
        (RESPONSES, "v1-responses-cut-mid-stream"),
        (MESSAGES, "v1-messages-cut-mid-stream"),
    ],
)
def test_recorded_failures(setting: Any, recorded: dict[tuple[str, str], Any], answer: Answer, name: str) -> None:
    """What a real node ends cleanly in the middle gets a frame behind it and no clean end, and never `[DONE]`."""
    setting.carry(answer=answer)
    setting.wire.deliver(recorded["0.33", name].raw)
    body = Body(recorded["0.33", name].raw)
    assert setting.browser.chunks[:-1] == body.pieces
    frame = setting.browser.chunks[-1]
    assert b'"error"' in frame
    assert b"[DONE]" not in frame
    if answer is RESPONSES:
        assert b'"sequence_number":10}' in frame
    setting.browser.gone()
    assert setting.report.outcome == "incomplete"


@pytest.mark.parametrize("answer", [Answer.TRANSCRIPTIONS, CHAT])
def test_a_whole_answer_without_a_byte_is_none(setting: Any, answer: Answer) -> None:
    """So Ollama ends a transcription whose engine has failed: a head and nothing. The client can still be told."""
    setting.carry(answer=answer, streaming=False)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    setting.wire.deliver(head)
    setting.wire.deliver(b"0\r\n\r\n")
    assert isinstance(setting.error, NodeTruncated)
    assert setting.browser.received == b""


def test_half_an_event_is_no_answer_yet(setting: Any) -> None:
    """A node that breaks off inside of its first event has told the client nothing: the failure is the caller's."""
    setting.carry(answer=CHAT)
    setting.wire.deliver(STREAM + chunk(TOKEN[:20]))
    setting.wire.lose()
    assert isinstance(setting.error, NodeTruncated)
    assert setting.browser.received == b""


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (CHAT, b'data: {"error":{"message":"engine"}}\n\n'),
        (COMPLETIONS, b'data: {"error":{"message":"engine"}}\n\n'),
        (RESPONSES, b'event: error\ndata: {"type":"error","message":"engine"}\n\n'),
        (MESSAGES, b'event: error\ndata: {"type":"error","error":{"message":"engine"}}\n\n'),
    ],
)
def test_an_in_band_error_breaks_the_end(setting: Any, answer: Answer, last: bytes) -> None:
    """The node's own error is passed on, not doubled, and its clean end becomes a broken one."""
    setting.carry(answer=answer)
    setting.wire.deliver(STREAM + chunk(TOKENS[answer]) + chunk(last) + END)
    assert setting.browser.chunks == [TOKENS[answer], last]
    assert setting.browser.closing
    setting.browser.gone()
    assert (setting.report.outcome, setting.report.error_code) == ("stream_error", "node_stream_error")


def test_a_response_that_failed_ends_as_it_is(setting: Any) -> None:
    """It says itself that it is no success, as its API does: nothing is damaged."""
    setting.carry(answer=RESPONSES)
    last = b'event: response.failed\ndata: {"type":"response.failed","response":{"status":"failed"}}\n\n'
    setting.wire.deliver(STREAM + chunk(last) + END)
    assert setting.browser.chunks == [last, b""]
    assert not setting.browser.closing
    assert setting.report.outcome == "stream_error"


@pytest.mark.parametrize("how", ["fin", "reset", "garbage", "idle"])
def test_what_happens_after_the_terminal_does_not_matter(setting: Any, how: str) -> None:
    """A stream whose terminal came is whole, and ends cleanly; one without its blank line, too."""
    setting.carry(answer=CHAT, timeouts=RelayTimeouts(2.0, idle=5.0))
    setting.wire.deliver(STREAM + chunk(TOKEN) + chunk(LAST[:-2]))
    if how == "garbage":
        setting.wire.deliver(b"zz\r\n")
    elif how == "idle":
        setting.clock.advance(5)
    else:
        setting.wire.lose(reset=how == "reset")
    assert b"".join(setting.browser.chunks) == TOKEN + LAST[:-2]
    assert setting.browser.chunks[-1] == b""
    assert setting.report.outcome == "success"


# Answers to requests for a stream that are none.


@pytest.mark.parametrize("framing", [b"Content-Length: 27", b"Transfer-Encoding: chunked"])
def test_one_object_instead_of_a_stream(setting: Any, framing: bytes) -> None:
    """It passes as it comes, unchanged and with nothing behind it."""
    setting.carry(answer=CHAT, usage_added=True)
    body = b'{"error":{"message":"odd"}}'
    pieces = [body[:7], body[7:]]
    sized = framing.startswith(b"Content")
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n")
    setting.wire.deliver(pieces[0] if sized else chunk(pieces[0]))
    assert setting.browser.received.count(pieces[0]) == 1
    setting.wire.deliver(pieces[1] if sized else chunk(pieces[1]) + END)
    found = setting.browser.received.partition(b"\r\n\r\n")[2] if sized else b"".join(setting.browser.chunks)
    assert found == body
    assert not setting.browser.closing
    assert (setting.report.outcome, setting.report.error_code) == ("stream_error", "node_stream_error")


@pytest.mark.parametrize(
    ("answer", "name", "status"),
    [
        (CHAT, "v1-chat-engine-500", 500),
        (MESSAGES, "v1-messages-engine-500", 500),
        (CHAT, "v1-chat-absent", 404),
        (RESPONSES, "v1-responses-absent", 404),
    ],
)
def test_refusals(setting: Any, recorded: dict[tuple[str, str], Any], answer: Answer, name: str, status: int) -> None:
    """A node's refusal passes unchanged."""
    setting.carry(answer=answer, usage_added=True)
    body = Body(recorded["0.33", name].raw)
    setting.wire.deliver(recorded["0.33", name].raw)
    assert setting.browser.head.startswith(b"HTTP/1.1 %d " % status)
    for piece in body.pieces:
        assert piece in setting.browser.received
    assert (setting.report.status, setting.report.error_code) == (status, f"node_status_{status}")


# What has to be done before the client knows.


@pytest.mark.parametrize(
    ("answer", "events", "held"),
    [
        (CHAT, [TOKEN, LAST], 1),
        (RESPONSES, [TOKENS[RESPONSES], b'event: response.completed\ndata: {"type":"response.completed"}\n\n'], 1),
        (MESSAGES, [TOKENS[MESSAGES], b'event: message_stop\ndata: {"type":"message_stop"}\n\n'], 1),
    ],
)
def test_the_last_event_waits(setting: Any, answer: Answer, events: list[bytes], held: int) -> None:
    """A cold model's first stream is told at once but for its last event, in whatever pieces that comes."""
    ready: Deferred[None] = Deferred()

    async def act() -> None:
        await ready

    setting.carry(answer=answer, before_end=act)
    last = events[-1]
    setting.wire.deliver(STREAM + chunk(events[0]) + chunk(last[:10]) + chunk(last[10:]) + END)
    assert setting.browser.chunks == events[:-held]
    ready.callback(None)
    assert setting.browser.chunks == [*events, b""]
    assert setting.report.outcome == "success"


# The client goes away.


@pytest.mark.parametrize("answer", TOKENS)
def test_the_client_leaves(setting: Any, answer: Answer) -> None:
    """The node's connection is closed in the same turn; what was seen by then is reported."""
    setting.carry(answer=answer)
    setting.wire.deliver(STREAM + chunk(TOKENS[answer]) + chunk(b"data: "))
    setting.cancel()
    assert setting.wire.aborted
    assert (setting.report.outcome, setting.report.first_token_at) == ("client_disconnected", 0.0)
    assert setting.browser.chunks == [TOKENS[answer]]
