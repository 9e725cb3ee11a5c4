"""Requests carried to a node and answered, with real twisted.web requests over transports in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ollamamax.errors import (
    NodeTruncated,
    ShuttingDown,
)
from ollamamax.relay.client import RequestHead
from ollamamax.relay.relay import Answer, RelayTimeouts
from ollamamax.relay.verdict import NO_USAGE

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b'{"message":{"content":"a"},"done":false}\n'
FINAL = b'{"message":{"content":""},"done":true,"done_reason":"stop","total_duration":2000000000,"eval_count":3}\n'
ERROR = b'{"error":"engine"}\n'
END = b"0\r\n\r\n"
CUT = b'{"error":"the node ended the response before it was complete"}\n'


def chunk(data: bytes) -> bytes:
    """A chunk on the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_stream_chunk_by_chunk(setting: Any) -> None:
    """Each chunk of the node is one chunk for the client, at once and unchanged; the report has what was seen."""
    setting.clock.advance(10)
    setting.carry()
    setting.clock.advance(1)
    setting.wire.deliver(STREAM + chunk(TOKEN))
    assert setting.browser.chunks == [TOKEN]
    setting.clock.advance(1)
    setting.wire.deliver(chunk(TOKEN) + chunk(TOKEN))
    assert setting.browser.chunks == [TOKEN] * 3
    setting.clock.advance(1)
    setting.wire.deliver(chunk(FINAL))
    assert not setting.reports
    setting.wire.deliver(END)
    assert setting.browser.chunks == [TOKEN] * 3 + [FINAL, b""]
    report = setting.report
    assert (report.outcome, report.status, report.error_code, report.loaded) == ("success", 200, None, False)
    assert (report.started_at, report.head_at, report.first_token_at, report.finished_at) == (10, 11, 11, 13)
    assert report.bytes_out == len(TOKEN) * 3 + len(FINAL)
    assert (report.usage.output_tokens, report.usage.total_seconds) == (3, 2.0)
    assert not setting.browser.closing
    assert len(setting.relay) == 0
    assert not setting.ticking


def test_the_head_goes_out_with_the_first_chunk(setting: Any) -> None:
    """Until the body begins nothing reaches the client, so that a node that dies then can still be answered for."""
    setting.carry()
    setting.wire.deliver(STREAM)
    assert setting.browser.received == b""
    setting.wire.lose()
    assert isinstance(setting.error, NodeTruncated)
    assert setting.browser.received == b""


def test_headers_of_both_directions(setting: Any) -> None:
    """The node gets its own Host and no credential; the client gets the node's headers and the gateway's, once each."""
    head = RequestHead(
        b"POST",
        b"/api/chat?x=1",
        ((b"Host", b"gateway"), (b"Authorization", b"Bearer k"), (b"Content-Type", b"a/b"), (b"Content-Length", b"99")),
    )
    setting.carry(head=head, extra=((b"X-OllamaMax-Model", b"m"),))
    assert setting.wire.value() == (
        b"POST /api/chat?x=1 HTTP/1.1\r\nHost: 127.0.0.1:11434\r\nContent-Type: a/b\r\nContent-Length: 16\r\n\r\n"
        b'{"model":"tiny"}'
    )
    setting.wire.deliver(
        b"HTTP/1.1 404 Nowhere\r\nContent-Type: c/d\r\nServer: evil\r\nSet-Cookie: a=b\r\nX-Ollamamax-Model: forged\r\n"
        b"X-Two: 1\r\nX-Two: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\n{}"
    )
    lines = setting.browser.head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 404 Nowhere"
    assert {line.partition(b":")[0].lower() for line in lines[1:]} == {
        b"content-type", b"content-length", b"x-ollamamax-model", b"x-two", b"server", b"date"}  # fmt: skip
    assert b"evil" not in setting.browser.received
    assert b"forged" not in setting.browser.received
    assert setting.browser.head.count(b"X-Two") == 2
    assert (setting.report.outcome, setting.report.error_code) == ("client_error", "node_status_404")


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_recordings_pass_unchanged(setting: Any, recorded: dict[tuple[str, str], Any], cut: int) -> None:
    """A recorded stream passes chunk by chunk, the same bytes, however the node's bytes arrive."""
    setting.carry()
    raw = recorded["0.33", "chat-stream"].raw
    for at in range(0, len(raw), cut):
        setting.wire.deliver(raw[at : at + cut])
    bodies = b"".join(setting.browser.chunks)
    assert [json.loads(line)["done"] for line in bodies.splitlines()] == [False] * 6 + [True]
    assert bodies == b"".join(line + b"\n" for line in raw.split(b"\n") if line.startswith(b"{"))
    assert setting.report.outcome == "success"
    assert setting.report.usage.output_tokens == 6


def test_every_recorded_read_is_written_at_once(setting: Any, recorded: dict[tuple[str, str], Any]) -> None:
    """After each read from the node the client has every chunk that was in it."""
    setting.carry()
    seen = 0
    for read in recorded["0.33", "chat-think-stream"].reads:
        setting.wire.deliver(read)
        seen += read.count(b'"done":')
        assert sum(b'"done":' in piece for piece in setting.browser.chunks) == seen
    assert seen == 10


def test_one_write_per_chunk(setting: Any) -> None:
    """Three chunks in one read are three writes to the request, unjoined."""
    setting.carry()
    setting.wire.deliver(STREAM + chunk(TOKEN) + chunk(TOKEN) + chunk(FINAL) + END)
    assert setting.browser.chunks == [TOKEN, TOKEN, FINAL, b""]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("chat-cut-mid-stream", "stream_error"), ("chat-engine-dies-mid-stream", "stream_error")],
)
def test_an_in_band_error_breaks_the_end(
    setting: Any, recorded: dict[tuple[str, str], Any], name: str, outcome: str
) -> None:
    """The node's own error line is passed on, not doubled, and its clean end becomes a broken one."""
    setting.carry()
    setting.wire.deliver(recorded["0.33", name].raw)
    assert setting.browser.chunks[-1] == (
        b'{"error":"an error was encountered while running the model: unexpected EOF"}\n'
    )
    assert b"".join(setting.browser.chunks).count(b'"error"') == 1
    assert setting.browser.closing
    assert not setting.reports
    assert len(setting.relay) == 1
    setting.browser.gone()
    assert (setting.report.outcome, setting.report.status) == (outcome, 200)
    assert setting.report.error_code == "node_stream_error"
    assert setting.report.usage == NO_USAGE
    assert len(setting.relay) == 0


@pytest.mark.parametrize("how", ["fin", "reset", "clean end", "garbage", "idle", "shutdown"])
@pytest.mark.parametrize("mid_line", [False, True])
@pytest.mark.parametrize("breakable", [True, False])
def test_a_stream_without_its_terminal(
    setting: Any, stock_setting: Any, how: str, mid_line: bool, breakable: bool
) -> None:
    """However a stream ends without its terminal: an error line, no terminating chunk, the connection ends."""
    here = setting if breakable else stock_setting
    here.carry(timeouts=RelayTimeouts(2.0, idle=5.0))
    half = TOKEN[:10] if mid_line else b""
    here.wire.deliver(STREAM + chunk(TOKEN) + (chunk(half) if half else b""))
    expected, outcome, code = CUT, "incomplete", "node_stream_incomplete"
    if how in ("fin", "reset"):
        here.wire.lose(reset=how == "reset")
    elif how == "clean end":
        here.wire.deliver(END)
    elif how == "garbage":
        here.wire.deliver(b"zz\r\n")
        expected = b'{"error":"the node sent an invalid response"}\n'
        outcome, code = "node_error", "node_protocol_error"
    elif how == "idle":
        here.clock.advance(5)
        expected = b'{"error":"the node did not answer in time (idle: 5 s)"}\n'
        outcome, code = "timeout", "node_timeout"
        assert here.wire.aborted
    else:
        here.relay.abort_all(ShuttingDown())
        expected, outcome, code = b'{"error":"the gateway is shutting down"}\n', "unavailable", "shutting_down"
        assert here.wire.aborted
    body = b"".join(here.browser.chunks)
    assert body == TOKEN + half + (b"\n" if mid_line else b"") + expected
    assert here.browser.chunks[-1] != b""
    assert here.browser.closing
    assert getattr(here.request, "broken_off", None) is (True if breakable else None)
    assert not here.reports
    here.browser.gone()
    assert (here.report.outcome, here.report.error_code, here.report.status) == (outcome, code, 200)
    assert here.report.broke is (how != "clean end")
    assert here.report.bytes_out == len(body)
    assert not here.ticking


def test_a_request_that_had_ended_is_not_waited_for(setting: Any) -> None:
    """Where a break has nothing to wait for, the report is there at once."""
    setting.carry()
    setting.request.break_off = lambda: None
    setting.wire.deliver(STREAM + chunk(TOKEN))
    setting.wire.lose()
    assert setting.report.outcome == "incomplete"


@pytest.mark.parametrize("how", ["fin", "reset", "garbage", "idle"])
def test_what_happens_after_the_terminal_does_not_matter(setting: Any, how: str) -> None:
    """A stream whose terminal went out is whole, and ends cleanly; what the node says after it is passed on."""
    setting.carry(timeouts=RelayTimeouts(2.0, idle=5.0))
    setting.wire.deliver(STREAM + chunk(FINAL) + chunk(b'{"extra":1}\n'))
    if how == "garbage":
        setting.wire.deliver(b"zz\r\n")
    elif how == "idle":
        setting.clock.advance(5)
    else:
        setting.wire.lose(reset=how == "reset")
    assert setting.browser.chunks == [FINAL, b'{"extra":1}\n', b""]
    assert setting.report.outcome == "success"


@pytest.mark.parametrize(
    ("last", "outcome"), [(b'{"status":"success"}\n', "success"), (b'{"error":"no such registry"}\n', "stream_error")]
)
def test_management_streams(setting: Any, last: bytes, outcome: str) -> None:
    """A pull ends in success or an error line, both cleanly."""
    setting.carry(answer=Answer.PROGRESS)
    setting.wire.deliver(STREAM + chunk(b'{"status":"pulling"}\n') + chunk(last) + END)
    assert setting.browser.chunks == [b'{"status":"pulling"}\n', last, b""]
    assert setting.report.outcome == outcome
    assert not setting.browser.closing


def test_a_management_stream_cut_short(setting: Any) -> None:
    """A pull that breaks off is damaged like any stream."""
    setting.carry(answer=Answer.PROGRESS)
    setting.wire.deliver(STREAM + chunk(b'{"status":"pulling"}\n'))
    setting.wire.lose()
    assert setting.browser.chunks == [b'{"status":"pulling"}\n', CUT]
    setting.browser.gone()
    assert setting.report.outcome == "incomplete"


@pytest.mark.parametrize("name", ["generate-load", "chat-load", "generate-unload"])
def test_a_load(setting: Any, recorded: dict[tuple[str, str], Any], name: str) -> None:
    """The one-object answer of a load that was asked for as a stream passes as it is."""
    setting.carry()
    raw = recorded["0.33", name].raw
    setting.wire.deliver(raw)
    assert setting.browser.received.partition(b"\r\n\r\n")[2] == raw.partition(b"\r\n\r\n")[2]
    assert (setting.report.outcome, setting.report.loaded) == ("success", True)


def test_an_answer_without_a_type_gets_none(setting: Any, recorded: dict[tuple[str, str], Any]) -> None:
    """Nothing is added to an answer's type, and an empty body stays empty."""
    setting.carry(answer=Answer.OPAQUE, streaming=False)
    setting.wire.deliver(recorded["0.33", "copy"].raw)
    assert b"content-type" not in setting.browser.head.lower()
    assert b"Content-Length: 0" in setting.browser.head
    assert setting.report.outcome == "success"


@pytest.mark.parametrize(
    ("name", "status", "outcome"),
    [
        ("chat-engine-500", 500, "node_error"),
        ("chat-cut-whole", 500, "node_error"),
        ("chat-absent-model", 404, "client_error"),
        ("chat-cloud-model-disabled", 403, "client_error"),
    ],
)
def test_refusals(setting: Any, recorded: dict[tuple[str, str], Any], name: str, status: int, outcome: str) -> None:
    """A node's refusal passes unchanged."""
    setting.carry()
    raw = recorded["0.33", name].raw
    setting.wire.deliver(raw)
    assert setting.browser.head.startswith(b"HTTP/1.1 %d " % status)
    if b"chunked" in setting.browser.head:
        assert setting.browser.chunks[-1] == b""
    assert (setting.report.status, setting.report.outcome) == (status, outcome)
    assert setting.report.error_code == f"node_status_{status}"


def test_a_busy_node(setting: Any) -> None:
    """A 503 is no fault of the node's."""
    setting.carry()
    setting.wire.deliver(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}")
    assert (setting.report.status, setting.report.outcome) == (503, "unavailable")


@pytest.mark.parametrize("how", ["fin", "reset", "whole"])
def test_a_whole_answer_cut_short(setting: Any, how: str) -> None:
    """A whole answer that breaks off ends short of its length, with nothing appended."""
    setting.carry(streaming=False, timeouts=RelayTimeouts(2.0, whole=9.0))
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")
    if how == "whole":
        setting.clock.advance(9)
    else:
        setting.wire.lose(reset=how == "reset")
    assert setting.browser.received.endswith(b"\r\n\r\n{}")
    assert setting.browser.closing
    setting.browser.gone()
    assert setting.report.outcome == ("timeout" if how == "whole" else "incomplete")


def test_responses_to_head(setting: Any) -> None:
    """A HEAD's answer has the length of the body that is not sent."""
    setting.carry(
        answer=Answer.OPAQUE,
        streaming=False,
        head=RequestHead(b"HEAD", b"/", ()),
        body=b"",
        request=b"HEAD / HTTP/1.1\r\nHost: g\r\n\r\n",
    )
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nContent-Type: text/plain\r\n\r\n")
    assert setting.browser.received.endswith(b"\r\n\r\n")
    assert b"Content-Length: 17" in setting.browser.head
    assert setting.report.outcome == "success"
