"""What is carried, and what is reported of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

import attrs
from twisted.internet.defer import Deferred

from ollamamax.address import NodeAddress
from ollamamax.relay.answers import Answer
from ollamamax.relay.deadlines import RelayTimeouts
from ollamamax.relay.messages import RequestHead, StreamedBody
from ollamamax.relay.verdict import NO_USAGE, Usage


@runtime_checkable
class Breakable(Protocol):
    """A request whose answer can be broken off."""

    def break_off(self) -> Deferred[None] | None:
        """Ends the connection by FIN, without the end of the body's framing, once all that was written is sent.

        Returns:
            Fires, with whatever result, when the connection is gone; only then may a handler return, as Klein would
            end the body cleanly. None where there is nothing to wait for.
        """


@attrs.frozen
class Carriage:
    """One request to one node.

    Attributes:
        address: the node.
        head: the request as the client sent it; which of its headers go on is decided here.
        body: the whole body, or one that is still arriving.
        answer: what the answer is made of.
        streaming: whether the client asked for a stream of events.
        timeouts: the limits of the phases.
        extra_headers: set on the response that goes to the client, in place of the node's own of the same name.
        before_end: done when the node has succeeded and before the client can know it, so that what it asks next finds
            the change that it made. Of a stream the last event waits for it, of another answer all. It ends by itself;
            what it raises is logged and changes nothing.
        usage_added: whether the gateway asked the node for the usage of a stream whose client did not: what that added
            is taken out again.
        may_move: whether the request could go to another node instead. Asked when the node says that it is busy, before
            anything has reached the client: where it could, that is a failure of this carriage, else an answer.
    """

    address: NodeAddress
    head: RequestHead
    body: bytes | StreamedBody
    answer: Answer
    streaming: bool
    timeouts: RelayTimeouts
    extra_headers: tuple[tuple[bytes, bytes], ...] = ()
    before_end: Callable[[], Awaitable[object]] | None = None
    usage_added: bool = False
    may_move: Callable[[], bool] | None = None


@attrs.frozen
class RelayReport:
    """How a carriage ended. All times are seconds of the relay's clock.

    Attributes:
        outcome: `success`, `length`, `client_error`, `client_disconnected`, `unavailable`, `timeout`, `node_error`,
            `stream_error` or `incomplete`.
        status: what the client was told; None if nothing.
        error_code: what went wrong, for programs.
        broke: whether the answer was cut off before the end of its framing.
        loaded: whether the answer says that a model was only loaded or unloaded.
        usage: what the node reported.
        first_token_at: when the first content was handed to the client's transport; streams only.
        last_content_at: when the last one was; of streams of events only.
        started_at: when the relay began.
        head_at: when the node's head arrived.
        finished_at: when it was over.
        own_seconds: the part of it in which nobody else was waited for, neither node nor client: until the request was
            with the node's connection, or a connection was asked for, and from the end of the node's answer to that of
            the client's. What is done between two pieces of an answer is not in it.
        bytes_out: of the body, framing left out.
    """

    outcome: str
    status: int | None
    error_code: str | None
    started_at: float
    finished_at: float
    usage: Usage = NO_USAGE
    loaded: bool = False
    broke: bool = False
    first_token_at: float | None = None
    last_content_at: float | None = None
    head_at: float | None = None
    own_seconds: float = 0.0
    bytes_out: int = 0
