"""Every way in which a request can fail, as one tree.

Each error carries what the client may see (`status`, `code`, `public_message`, whether a retry makes sense) apart
from what only the log may see (`detail`). `web.dialects` is the one place that turns an error into a response, in the
words of the API that was called.
"""

from __future__ import annotations

from collections.abc import Sequence


class GatewayError(Exception):
    """A failure that a client is told about.

    Attributes:
        status: the HTTP status of the answer.
        code: a stable name in snake_case, for programs.
        public_message: one sentence for people; holds no secret, no address of a node and no part of a body.
        detail: what the operator's log may say besides; never sent to a client.
        retriable: whether the same request may succeed elsewhere or later; None where the status says it all.
    """

    status = 500
    code = "internal_error"
    public_message = "the gateway failed to process this request"
    retriable: bool | None = None

    def __init__(self, public_message: str | None = None, *, detail: str = "") -> None:
        if public_message is not None:
            self.public_message = public_message
        self.detail = detail
        super().__init__(self.public_message)

    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Response headers that belong to this error (`Allow` of a 405, say)."""
        return ()


class InternalError(GatewayError):
    """A defect of the gateway itself."""


# What the client did.


class RequestRejected(GatewayError):
    """The request itself is at fault: the 4xx that the gateway answers by itself."""

    status = 400
    code = "bad_request"
    public_message = "bad request"


class MalformedRequest(RequestRejected):
    """Bytes that are no HTTP/1.1 request; the connection is closed after the answer."""

    code = "malformed_request"
    public_message = "malformed HTTP request"


class InvalidBody(RequestRejected):
    """A body that is no JSON object, or one with two keys that Ollama would take for the same."""

    code = "invalid_body"
    public_message = "invalid JSON body"


class MissingBody(RequestRejected):
    """No body where one is needed."""

    code = "missing_body"
    public_message = "missing request body"


class ModelRequired(RequestRejected):
    """A body that names no model."""

    code = "model_required"
    public_message = "model is required"


class ForbiddenRequest(RequestRejected):
    """A Host or Origin that is not allowed, or a route that is never carried."""

    status = 403
    code = "forbidden"
    public_message = "forbidden"


class RouteNotFound(RequestRejected):
    """No route has this path."""

    status = 404
    code = "route_not_found"
    public_message = "there is no such route"


class ModelNotFound(RequestRejected):
    """No node has this model.

    The text is Ollama's own (`model 'x' not found`), which clients look for to offer a pull.
    """

    status = 404
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"model '{model}' not found")
        self.model = model


class ResourceNotFound(RequestRejected):
    """A node or a recorded request that the gateway does not know."""

    status = 404
    code = "not_found"
    public_message = "not found"


class MethodNotAllowed(RequestRejected):
    """The route exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    public_message = "method not allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = tuple(allowed)

    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ((b"Allow", ", ".join(self.allowed).encode("ascii")),)


class RequestTimedOut(RequestRejected):
    """The request's head or body did not arrive in time."""

    status = 408
    code = "request_timeout"
    public_message = "the request did not arrive in time"


class BodyTooLarge(RequestRejected):
    """A body above the limit; answered before the body is read."""

    status = 413
    code = "body_too_large"
    public_message = "the request body is too large"


class UnsupportedEncoding(RequestRejected):
    """A Content-Encoding that the gateway does not decode."""

    status = 415
    code = "unsupported_encoding"
    public_message = "unsupported Content-Encoding"


class ClientLeft(RequestRejected):
    """The client went before its request was complete: the answer reaches nobody, but the request is accounted for."""

    status = 499  # as nginx logs a client that has gone
    code = "client_disconnected"
    public_message = "the client left before its request was complete"


class HeadTooLarge(RequestRejected):
    """A request head above the limits."""

    status = 431
    code = "head_too_large"
    public_message = "the request head is too large"


# What the fleet did.


class Unavailable(GatewayError):
    """No node can take the request now."""

    status = 503
    code = "no_node_available"
    public_message = "no node can serve this request now"
    retriable = True


class BodyMemoryExhausted(Unavailable):
    """The bodies being received fill the memory set aside for them."""

    code = "body_memory_exhausted"
    public_message = "too many request bodies are being received, try again later"


class NodeBusy(Unavailable):
    """A node's own queue is full; another one may have room. The words are Ollama's own (`server/sched.go`)."""

    code = "node_busy"
    public_message = "server busy, please try again.  maximum pending requests exceeded"


class LedgerFull(Unavailable):
    """The account of a request could not be kept, and the settings want none to be answered without one."""

    code = "ledger_full"
    public_message = "the gateway cannot keep the account of this request now, try again later"


class ShuttingDown(Unavailable):
    """The gateway is draining."""

    code = "shutting_down"
    public_message = "the gateway is shutting down"


class NodeFailure(GatewayError):
    """The node did not keep its side: the request ends with 502, or with an error frame if a stream had begun."""

    status = 502
    code = "node_failed"
    public_message = "the node failed while processing this request"
    retriable = False


class NodeConnectFailed(NodeFailure):
    """No connection to the node: refused, unreachable, a name that does not resolve, TLS."""

    code = "node_unreachable"
    public_message = "the node could not be reached"


class NodeClosedEarly(NodeFailure):
    """The node closed the connection before its response head was complete.

    Attributes:
        unanswered: whether it had sent nothing at all: only then may the request be tried elsewhere.
    """

    code = "node_closed_early"
    public_message = "the node closed the connection before it answered"

    def __init__(self, *, unanswered: bool = False, detail: str = "") -> None:
        super().__init__(detail=detail)
        self.unanswered = unanswered


class NodeProtocolError(NodeFailure):
    """The node's bytes are no HTTP/1.1 response, or its head is above 64 KiB."""

    code = "node_protocol_error"
    public_message = "the node sent an invalid response"


class NodeTruncated(NodeFailure):
    """The node's response broke off, or ended well without what makes it complete.

    Attributes:
        framed: whether it ended well, so that what is missing is its content's end, which its engine owes.
    """

    code = "node_stream_incomplete"
    public_message = "the node ended the response before it was complete"

    def __init__(self, *, framed: bool = False, detail: str = "") -> None:
        super().__init__(detail=detail)
        self.framed = framed


class NodeTimedOut(NodeFailure):
    """The node took longer than a phase may take: `connect`, `first_byte`, `idle` or `whole_response`."""

    status = 504
    code = "node_timeout"

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"the node did not answer in time ({phase}: {seconds:g} s)")
        self.phase = phase
        self.seconds = seconds
