"""How an answer ends for its client, once its head has gone out, and what it counts as.

The rule: a client that reads to the end must not take a damaged answer for a whole one. A stream that ends without its
terminal gets an error line, and whatever is damaged ends without the end that its framing has (the terminating chunk,
the announced length). An answer whose terminal went out is whole, whatever the node does after it.
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
        streaming: whether it is a stream of events, so that it has a last one.
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
    if verdict.error:
        return Ending(verdict.outcome, "node_stream_error", broken=answer is not Answer.PROGRESS)
    if verdict.done:
        return Ending(verdict.outcome)
    missing = error if error is not None else NodeTruncated()
    frame = None if sized else (b"\n" if verdict.mid_line else b"") + error_line(missing)
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


def error_line(error: GatewayError) -> bytes:
    """A failure in the words of Ollama's own streams."""
    return msgspec.json.encode({"error": error.public_message}) + b"\n"


_CODES = {"stream_error": "node_stream_error", "incomplete": NodeTruncated.code}
