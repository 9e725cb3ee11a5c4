"""A crossing that fails before its head, is left, is slow, or has to wait: as `test_relay`, in memory."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ollamamax.errors import (
    GatewayError,
    InternalError,
    NodeBusy,
    NodeClosedEarly,
    NodeConnectFailed,
    NodeProtocolError,
    NodeTimedOut,
    NodeTruncated,
    RequestTimedOut,
    ShuttingDown,
)
from ollamamax.relay.client import RequestHead
from ollamamax.relay.relay import Answer, RelayTimeouts

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b'{"message":{"content":"a"},"done":false}\n'
FINAL = b'{"message":{"content":""},"done":true,"done_reason":"stop","total_duration":2000000000,"eval_count":3}\n'
ERROR = b'{"error":"engine"}\n'
END = b"0\r\n\r\n"
CUT = b'{"error":"the node ended the response before it was complete"}\n'


def chunk(data: bytes) -> bytes:
    """A chunk on the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data)


# Before the head: the caller gets the failure, the client nothing.


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("refused", NodeConnectFailed),
        ("connect", NodeTimedOut),
        ("first_byte", NodeTimedOut),
        ("whole", NodeTimedOut),
        ("closed", NodeClosedEarly),
        ("reset", NodeClosedEarly),
        ("garbage", NodeProtocolError),
        ("huge head", NodeProtocolError),
        ("shutdown", ShuttingDown),
        ("shutdown while connecting", ShuttingDown),
    ],
)
def test_failures_before_the_head(setting: Any, stage: str, error: type[GatewayError]) -> None:
    """Every failure before the head is an error of the tree, and leaves neither timer nor connection."""
    setting.nodes.accepting = stage not in ("refused", "connect", "shutdown while connecting")
    limits = {"first_byte": RelayTimeouts(2.0, first_byte=7.0), "whole": RelayTimeouts(2.0, first_byte=9.0, whole=7.0)}
    setting.carry(timeouts=limits.get(stage))
    if stage == "refused":
        setting.nodes.refuse()
    elif stage in ("connect", "first_byte", "whole"):
        setting.clock.advance(2.0 if stage == "connect" else 7.0)
    elif stage in ("closed", "reset"):
        setting.wire.lose(reset=stage == "reset")
    elif stage == "garbage":
        setting.wire.deliver(b"nonsense")
    elif stage == "huge head":
        setting.wire.deliver(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000)
    else:
        setting.relay.abort_all(ShuttingDown())
    found = setting.error
    assert type(found) is error
    if isinstance(found, NodeTimedOut):
        assert found.phase == ("whole_response" if stage == "whole" else stage)
    assert setting.browser.received == b""
    assert all(wire.closed or stage in ("closed", "reset") for wire in setting.nodes.wires)
    assert all(attempt.cancelled or stage == "refused" for attempt in setting.nodes.attempts)
    assert not setting.ticking
    assert len(setting.relay) == 0


def test_a_head_that_cannot_be_written(setting: Any, flush_logged_errors: Any) -> None:
    """A request that would not be read as itself is the gateway's defect, and is not sent."""
    setting.carry(head=RequestHead(b"POST", b"/a b", ()))
    assert isinstance(setting.error, InternalError)
    assert not setting.nodes.wires
    assert len(flush_logged_errors(ValueError)) == 1


def test_a_client_closed_before(setting: Any) -> None:
    """A failure that comes at once is a failure like any other."""
    setting.client.close()
    setting.carry()
    assert isinstance(setting.error, ShuttingDown)
    assert len(setting.relay) == 0


# A node that is busy.

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("read", [BUSY, BUSY[:-2], BUSY.replace(b"Content-Length: 2", b"X: y")])
def test_a_busy_node_hands_the_request_on(setting: Any, read: bytes) -> None:
    """Where the request could go elsewhere, a 503 is a failure; nothing has reached the client, the node is left."""
    setting.carry(may_move=lambda: True, timeouts=RelayTimeouts(2.0, first_byte=5.0))
    setting.wire.deliver(read)
    assert isinstance(setting.error, NodeBusy)
    assert setting.error.public_message == "server busy, please try again.  maximum pending requests exceeded"
    assert setting.browser.received == b""
    assert setting.wire.aborted
    assert not setting.ticking
    assert len(setting.relay) == 0
    setting.carry()
    setting.wire.deliver(STREAM + chunk(FINAL) + END)
    assert [report.outcome for report in setting.reports] == ["success"]


def test_a_busy_node_without_another(setting: Any) -> None:
    """Its 503 is the answer."""
    setting.carry(may_move=lambda: False)
    setting.wire.deliver(BUSY)
    assert setting.browser.received.endswith(b"\r\n\r\n{}")
    assert (setting.report.status, setting.report.outcome) == (503, "unavailable")


@pytest.mark.parametrize("status", [200, 404, 500, 502])
def test_only_a_busy_node_is_asked_about(setting: Any, status: int) -> None:
    """Any other answer is one."""
    setting.carry(may_move=lambda: pytest.fail("asked"))
    setting.wire.deliver(b"HTTP/1.1 %d X\r\nContent-Length: 15\r\n\r\n" % status + b'{"done": true}\n')
    assert setting.report.status == status


# The client goes away.


@pytest.mark.parametrize("stage", ["connecting", "sent", "head", "streaming", "done"])
def test_the_client_leaves(setting: Any, stage: str) -> None:
    """The node's connection is closed in the same turn, in every stage; the report says who left."""
    setting.nodes.accepting = stage != "connecting"
    setting.carry(timeouts=RelayTimeouts(2.0, first_byte=9.0, idle=9.0))
    if stage != "connecting":
        setting.wire.deliver({"sent": b"", "head": STREAM}.get(stage, STREAM + chunk(TOKEN)))
    if stage == "done":
        setting.wire.deliver(chunk(FINAL))
    setting.cancel()
    if stage == "connecting":
        assert setting.nodes.attempts[0].cancelled
    else:
        assert setting.wire.aborted
    sent = stage in ("streaming", "done")
    assert (setting.report.outcome, setting.report.status) == ("client_disconnected", 200 if sent else None)
    assert setting.report.error_code is None
    assert (setting.report.first_token_at is not None) == sent
    assert setting.report.usage.output_tokens == (3 if stage == "done" else None)
    assert not setting.ticking
    assert len(setting.relay) == 0
    setting.cancel()
    setting.relay.abort_all(ShuttingDown())
    assert len(setting.reports) == 1


def test_the_clients_connection_ends(setting: Any) -> None:
    """The client's transport tells first: the node's connection is closed then, the report comes with the cancel."""
    setting.carry()
    setting.wire.deliver(STREAM + chunk(TOKEN))
    setting.browser.transport.producer.stopProducing()
    assert setting.wire.aborted
    assert not setting.reports
    setting.cancel()
    assert setting.report.outcome == "client_disconnected"


def test_the_client_leaves_while_its_connection_is_being_closed(setting: Any) -> None:
    """What had ended for another reason keeps its outcome."""
    setting.carry()
    setting.wire.deliver(STREAM + chunk(TOKEN))
    setting.wire.lose()
    setting.cancel()
    assert setting.report.outcome == "incomplete"
    setting.browser.gone()
    assert len(setting.reports) == 1
    assert len(setting.relay) == 0


# Backpressure.


def test_a_slow_client_pauses_the_node(setting: Any) -> None:
    """A stalled client stops the reading from the node, and its silence is not the node's."""
    setting.carry(timeouts=RelayTimeouts(2.0, idle=5.0))
    setting.wire.deliver(STREAM + chunk(TOKEN))
    setting.browser.stall()
    assert setting.wire.paused
    setting.clock.pump([4.0] * 10)
    assert not setting.browser.closing
    setting.browser.read_on()
    assert not setting.wire.paused
    setting.wire.deliver(chunk(FINAL) + END)
    assert setting.report.outcome == "success"


def test_two_hundred_megabytes_to_a_client_that_stalls(setting: Any) -> None:
    """A node that sends fast fills no memory: while the client stalls, nothing more is read."""
    setting.carry()
    setting.wire.deliver(STREAM)
    read, client = chunk(b"x" * 65_000), setting.browser.transport
    sent = buffered = most = 0
    while sent < 200_000_000:
        while not setting.wire.paused and sent < 200_000_000:
            setting.wire.deliver(read)
            sent += len(read)
            buffered += len(client.value())
            client.clear()
            if buffered > 65_536:
                setting.browser.stall()
        most = max(most, buffered)
        buffered = 0
        setting.browser.read_on()
    assert most < 262_144
    setting.cancel()


def test_small_answers_need_no_backpressure(setting: Any) -> None:
    """An answer that fits in a buffer registers no producer; a large one does."""
    setting.carry(streaming=False)
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}")
    assert setting.request.producer is None
    setting.wire.deliver(b"  ")
    setting.carry(streaming=False)
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}")
    assert setting.request.producer is not None
    setting.cancel()


# Streamed request bodies.


def test_a_blob(setting: Any, arriving_body: Any) -> None:
    """A blob streams to the node, and its answer back."""
    body = arriving_body(3)
    setting.carry(answer=Answer.OPAQUE, streaming=False, body=body)
    body.receiver.body_data(b"abc")
    body.receiver.body_complete()
    setting.wire.deliver(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    assert setting.wire.value().endswith(b"\r\n\r\nabc")
    assert setting.browser.head.startswith(b"HTTP/1.1 201 Created")
    assert setting.report.outcome == "success"


@pytest.mark.parametrize("how", ["refused", "timeout"])
def test_a_streamed_body_survives_a_failed_connect(setting: Any, arriving_body: Any, how: str) -> None:
    """Nobody has asked for it, or given it up: it goes to another node."""
    body = arriving_body(3)
    setting.nodes.accepting = False
    setting.carry(answer=Answer.OPAQUE, streaming=False, body=body)
    if how == "refused":
        setting.nodes.refuse()
    else:
        setting.clock.advance(2)
    assert isinstance(setting.errors.pop(), NodeConnectFailed if how == "refused" else NodeTimedOut)
    assert (body.receiver, body.abandoned) == (None, 0)
    setting.nodes.accepting = True
    setting.carry(answer=Answer.OPAQUE, streaming=False, body=body)
    body.receiver.body_data(b"abc")
    body.receiver.body_complete()
    setting.wire.deliver(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    assert setting.wire.value().endswith(b"\r\n\r\nabc")
    assert setting.report.outcome == "success"


@pytest.mark.parametrize("own", [True, False])
def test_a_blob_that_breaks_off(setting: Any, arriving_body: Any, own: bool) -> None:
    """A body that fails for a reason of the tree is answered with it; else its client has gone."""
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    body = arriving_body(3)
    setting.carry(answer=Answer.OPAQUE, streaming=False, body=body)
    body.receiver.body_failed(Failure(RequestTimedOut() if own else ConnectionLost()))
    assert setting.wire.aborted
    if own:
        assert isinstance(setting.error, RequestTimedOut)
    else:
        assert (setting.report.outcome, setting.report.status) == ("client_disconnected", None)


# What has to be done before the client knows.


def held(setting: Any, answer: Answer) -> tuple[list[str], Deferred[None]]:
    """Carries a request with something to be done before its end; what was done, and its end."""
    done: list[str] = []
    ready: Deferred[None] = Deferred()

    async def act() -> None:
        done.append("begun")
        await ready

    timeouts = RelayTimeouts(2.0, idle=5.0)
    setting.carry(answer=answer, streaming=answer is not Answer.OPAQUE, before_end=act, timeouts=timeouts)
    return done, ready


@pytest.mark.parametrize("body", [b"", b'{"status":"success"}'])
def test_a_change_is_done_before_it_is_told(setting: Any, body: bytes) -> None:
    """The answer to a change waits until what has to follow it is done; the node's time limits do not run meanwhile."""
    done, ready = held(setting, Answer.OPAQUE)
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    setting.clock.advance(100)
    assert (done, setting.browser.received, setting.reports) == (["begun"], b"", [])
    ready.callback(None)
    assert setting.browser.received.endswith(b"\r\n\r\n" + body)
    assert (setting.report.outcome, setting.report.bytes_out) == ("success", len(body))


def test_its_own_time_has_no_waits_in_it(setting: Any) -> None:
    """Neither the connect, nor the node's work, nor what is done before the end."""
    setting.nodes.accepting = False
    _, ready = held(setting, Answer.CHAT)
    setting.clock.advance(1)
    setting.nodes.accept()
    setting.clock.advance(2)
    setting.wire.deliver(STREAM + chunk(TOKEN) + chunk(FINAL) + END)
    setting.clock.advance(3)
    ready.callback(None)
    assert setting.report.finished_at - setting.report.started_at == 6
    assert setting.report.own_seconds == 0


def test_a_generation_is_told_at_once(setting: Any) -> None:
    """Of a generation only its last event waits."""
    _, ready = held(setting, Answer.CHAT)
    setting.wire.deliver(STREAM + chunk(TOKEN) + chunk(FINAL) + END)
    assert setting.browser.chunks == [TOKEN]
    ready.callback(None)
    assert setting.browser.chunks == [TOKEN, FINAL, b""]
    assert setting.report.outcome == "success"


def test_progress_is_told_at_once(setting: Any) -> None:
    """Of a progress stream only what begins with the word of success waits."""
    _, ready = held(setting, Answer.PROGRESS)
    pulling, success = b'{"status":"pulling"}\n', b'{"status":"success"}\n'
    setting.wire.deliver(STREAM + chunk(pulling) + chunk(success))
    assert setting.browser.chunks == [pulling]
    setting.wire.deliver(END)
    assert setting.browser.chunks == [pulling]
    ready.callback(None)
    assert setting.browser.chunks == [pulling, success, b""]
    assert setting.report.outcome == "success"


def test_what_fails_before_the_end_is_logged(setting: Any, flush_logged_errors: Any) -> None:
    """The change was made, whatever became of what follows it."""
    _, ready = held(setting, Answer.OPAQUE)
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    ready.errback(KeyError("mine"))
    assert setting.report.outcome == "success"
    assert len(flush_logged_errors(KeyError)) == 1


def test_failures_wait_for_nothing(setting: Any) -> None:
    """A change that was refused is answered at once."""
    done, _ = held(setting, Answer.OPAQUE)
    setting.wire.deliver(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
    assert (done, setting.report.outcome) == ([], "client_error")


def test_the_client_leaves_before_it_is_told(setting: Any) -> None:
    """Who leaves while the change is being followed up has left."""
    _, ready = held(setting, Answer.OPAQUE)
    setting.wire.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    setting.cancel()
    ready.callback(None)
    assert (setting.report.outcome, setting.report.status) == ("client_disconnected", None)
    assert setting.browser.received == b""


def test_a_held_stream_that_breaks_off(setting: Any) -> None:
    """A node that breaks off while nothing was told yet has failed, even after its word of success."""
    done, _ = held(setting, Answer.PROGRESS)
    setting.wire.deliver(STREAM + chunk(b'{"status":"success"}\n'))
    setting.wire.lose()
    assert isinstance(setting.error, NodeTruncated)
    assert done == []
