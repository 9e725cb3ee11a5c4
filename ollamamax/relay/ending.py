"""How an answer ends for its client, once its head has gone out, and what it counts as.

The rule: a client that reads to the end must not take a damaged answer for a whole one. A stream that ends without its
terminal gets an error in its own format, and whatever is damaged ends without the end that its framing has (the
terminating chunk, the announced length). An answer whose terminal went out is whole, whatever the node does after it.
"""

from __future__ import annotations

import attrs
import msgspec

from ollamamax.errors import (
    GatewayError,
    NodeTimedOut,
    NodeTruncated,
    RequestRejected,
    Unavailable,
)
from ollamamax.relay.answers import Answer
from ollamamax.relay.verdict import Verdict


@attrs.frozen
class Ending:
    """How an answer ends.

    Attributes:
        outcome: as in the ledger and the metrics.
        error_code: what went wrong, for programs; None for a good end.
        frame: bytes that are sent last; None for none.
        broken: whether the connection ends without the end of the body's framing.
    """

    outcome: str
    error_code: str | None = None
    frame: bytes | None = None
    broken: bool = False


def ending(
    status: int,
    answer: Answer,
    verdict: Verdict | None,
    error: GatewayError | None,
    *,
    streaming: bool,
    sized: bool,
) -> Ending:
    """Decides.

    Args:
        status: the one that went to the client.
        answer: what the body is made of.
        verdict: what the body meant; None where it was not read.
        error: why it ended, where that was not the end of its framing.
        streaming: whether it is a stream of lines or events, so that it has a last one.
        sized: whether the client was told a Content-Length, so that nothing can be appended.
    """
    broken = error is not None
    if status >= 300:
        return Ending(outcome_of_status(status), f"node_status_{status}", broken=broken)
    if verdict is None or not streaming:
        if error is not None:
            return Ending(outcome_of(error), error.code, broken=True)
        outcome = "success" if verdict is None else verdict.outcome
        return Ending(outcome, _CODES.get(outcome), broken=verdict is not None and verdict.cut)
    gap = b"" if not verdict.mid_line or sized else b"\n\n" if answer in _EVENT_STREAMS else b"\n"
    if verdict.error:
        # A pull's error line and `response.failed` are ends that these formats have, known to be no success by whoever
        # knows the format. Any other error stands where an end is missing.
        proper = answer is Answer.PROGRESS or (answer is Answer.RESPONSES and verdict.done)
        return Ending(verdict.outcome, "node_stream_error", gap or None, broken=not proper)
    if verdict.done:
        return Ending(verdict.outcome)
    missing = error if error is not None else NodeTruncated()
    frame = None if sized else gap + error_frame(answer, missing, verdict.next_number)
    return Ending(outcome_of(missing), missing.code, frame, broken=broken or not sized)


def outcome_of_status(status: int) -> str:
    """The outcome of an answer that a node gave with a status other than 2xx."""
    if 400 <= status < 500:
        return "client_error"
    return "unavailable" if status == 503 else "node_error"


def outcome_of(error: GatewayError) -> str:
    """The outcome of a request that ended in a failure."""
    if isinstance(error, NodeTimedOut):
        return "timeout"
    if isinstance(error, NodeTruncated):
        return "incomplete"
    if isinstance(error, Unavailable):
        return "unavailable"
    if isinstance(error, RequestRejected):
        return "client_error"
    return "node_error"


def error_frame(answer: Answer, error: GatewayError, number: int = 0) -> bytes:
    """A failure as an answer's own stream would say it; tried with the official clients, each raises its message.

    Args:
        answer: what the stream is made of.
        error: the failure.
        number: the `sequence_number` of the event, where events have one.
    """
    message = error.public_message
    if answer is Answer.RESPONSES:
        event: dict[str, object] = {"type": "error", "code": error.code, "message": message}
        # What OpenAI's client raises is made of `error` alone.
        event |= {"error": {"message": message, "code": error.code}, "sequence_number": number}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
    if answer is Answer.MESSAGES:
        event = {"type": "error", "error": {"type": "api_error", "message": message}}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
    if answer in _EVENT_STREAMS:
        event = {"error": {"message": message, "type": "api_error", "param": None, "code": error.code}}
        return b"data: " + msgspec.json.encode(event) + b"\n\n"
    return msgspec.json.encode({"error": message}) + b"\n"


_EVENT_STREAMS = frozenset({Answer.CHAT_COMPLETIONS, Answer.COMPLETIONS, Answer.RESPONSES, Answer.MESSAGES})
_CODES = {"stream_error": "node_stream_error", "incomplete": NodeTruncated.code}
