"""A request as every room of the gateway sees it: Twisted's, with what the door knows of it besides."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web.http import parse_qs
from twisted.web.server import Request

from ollamamax.errors import BodyMemoryExhausted, BodyTooLarge, GatewayError, InternalError
from ollamamax.identifiers import request_id
from ollamamax.web.dialects import Dialect, answer, dialect_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.defer import Deferred

    from ollamamax.store.ledger_row import LedgerRow
    from ollamamax.web.channel import GatewayChannel
    from ollamamax.web.heads import Head
    from ollamamax.web.incoming import IncomingBody


class HasRow(Protocol):
    """The account of an inference request."""

    @property
    def row(self) -> LedgerRow:
        """What is known by now."""

    @property
    def is_closed(self) -> bool:
        """Whether the row is the final one."""


class GatewayRequest(Request):
    """A request that the door has taken in.

    How it ends, and what `notifyFinish` says then: `finish` ends the response (callback); `break_off` ends it visibly
    incomplete (errback, once the connection is gone); the client leaves (errback, in the turn of the reactor in which
    that is seen). The access log hears of each end, once.

    Attributes:
        request_id: the gateway's own id for it, sent with every answer as `X-Request-Id`, on Anthropic's routes as
            `Request-Id` too, where its clients look for it.
        received_at: when the head was complete, in seconds of the site's clock.
        body_at: when the last byte of the body had arrived; `received_at` until then, and without a body.
        refusal: why the request must not be served as it stands; it is rendered all the same, to be answered and
            measured where all others are, and the connection closes after it.
        incoming: the body of a streamed request; None for all others and where there is a refusal.
        broken_off: whether the response was ended by `break_off`, so that its end was not the client's doing.
        account: of an inference request, where its row is; the last one once everybody has been told of the end.
    """

    defaultContentType = None
    channel: GatewayChannel | None  # type: ignore[assignment]  # Twisted's own channel is not what made this

    def __init__(self, channel: GatewayChannel) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self.request_id = request_id()
        self.received_at = 0.0
        self.body_at = 0.0
        self.refusal: GatewayError | None = None
        self.incoming: IncomingBody | None = None
        self.content: BytesIO | None = BytesIO()
        self.args: dict[bytes, list[bytes]] = {}
        self._memory = channel.site.body_memory
        self._held_bytes = 0
        self.broken_off = False
        self.account: HasRow | None = None

    @property
    def client_ip(self) -> str:
        """The address of the connection's other end; empty for a UNIX socket."""
        host: str = getattr(self.client, "host", "")
        return host.removeprefix("::ffff:") if "." in host else host

    def getRequestHostname(self) -> bytes:
        """The name that the client called, without its port.

        Twisted falls back to the listening address, which a UNIX socket does not have.
        """
        if self.requestHeaders.hasHeader(b"host") or hasattr(self.getHost(), "host"):
            hostname: bytes = super().getRequestHostname()
            return hostname
        return b"localhost"

    # The body.

    def body(self) -> bytes:
        """The whole body; empty where it is streamed, was refused or is forgotten."""
        return b"" if self.content is None else self.content.getvalue()

    def forget_body(self) -> None:
        """Drops the body, which need not wait for the end of a long response."""
        held, self._held_bytes = self._held_bytes, 0
        self.content = BytesIO()
        self._memory.give_back(held)

    def keep(self, data: bytes) -> bool:
        """Appends to the body; False where the memory for bodies is exhausted."""
        if self.content is None or not self._memory.take(len(data)):
            return False
        self._held_bytes += len(data)
        self.content.write(data)
        return True

    def replace_body(self, pieces: Iterable[bytes], max_bytes: int) -> None:
        """Puts another body in the place of this one, which is kept until then.

        Args:
            pieces: of the new body; no more of them are taken than fit.
            max_bytes: how long it may be.

        Raises:
            BodyTooLarge: it is longer.
            BodyMemoryExhausted: the memory for bodies is.
        """
        content, held = BytesIO(), 0
        try:
            for piece in pieces:
                if held + len(piece) > max_bytes:
                    raise BodyTooLarge
                if not self._memory.take(len(piece)):
                    raise BodyMemoryExhausted
                held += len(piece)
                content.write(piece)
        except GatewayError:
            self._memory.give_back(held)
            raise
        self.forget_body()
        self.content, self._held_bytes = content, held

    # From the head to the resource.

    def begin(self, head: Head, now: float) -> None:
        """Takes its head; called by the channel.

        Args:
            head: as it was read.
            now: in seconds of the site's clock.
        """
        self.received_at = self.body_at = now
        self.refusal = head.refusal
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path, _, query = head.target.partition(b"?")
        if query:
            self.args = parse_qs(query, 1)
        for name, value in head.fields:
            self.requestHeaders.addRawHeader(name, value)
        self.parseCookies()

    def process(self) -> None:
        """Renders the site's resource for this request; called by the channel."""
        channel = self._channel()
        if channel is None:
            return
        self.site = site = channel.site
        if self.content is not None:
            self.content.seek(0)
        self.responseHeaders.setRawHeaders(b"Date", [site.date()])
        self.prepath = []
        self.postpath = [unquote_to_bytes(segment) for segment in self.path[1:].split(b"/")]
        try:
            self.render(site.getResourceFor(self))
        except Exception:  # noqa: BLE001 - a defect ends this request and no other
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        """Ends a request at whose rendering something unforeseen was raised: 500, or a broken response."""
        self._log.failure("rendering {method} failed", failure=reason, method=self.method)
        if self.startedWriting:
            self.break_off()
        elif not self.finished and not self._disconnected:
            self.write(answer(self, InternalError(), dialect_of(self.path), self.request_id))
            self.finish()
        return reason

    # From the resource to the client.

    def write(self, data: bytes) -> None:
        """Writes a piece of the response, after the head where it is the first; nothing once it is broken off."""
        if self.broken_off:
            return
        channel = self._channel()
        if channel is not None and not self.startedWriting and not self._inFakeHead:
            self._seal_head(channel)
        super().write(data)
        if channel is not None:
            channel.flush_head()

    def finish(self) -> None:
        """Ends the response; nothing once it is broken off.

        Raises:
            RuntimeError: the client has left.
        """
        if self.broken_off:
            return
        channel = self._channel()
        super().finish()
        if channel is not None:
            channel.proceed()

    def break_off(self) -> Deferred[None] | None:
        """Ends a response that cannot be completed, so that the client sees that it is not.

        What was written is flushed, then the connection closes by FIN, without the terminating chunk. To a client of
        HTTP/1.0 without a Content-Length that looks like a complete response; nothing can be done about that.

        Returns:
            Fires with None when the connection is gone; None where the request had ended before.
        """
        channel = self._channel()
        if self.finished or self._disconnected or channel is None:
            return None
        gone = self.notifyFinish().addErrback(lambda _: None)
        if not self.broken_off:
            if self.producer is not None:
                self.unregisterProducer()
            self.broken_off = True
            channel.loseConnection()
        return gone

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone before the response had ended; called by the channel."""
        channel = self._channel()
        if channel is not None:
            channel.site.log(self)
        super().connectionLost(reason)
        self.forget_body()

    def _channel(self) -> GatewayChannel | None:
        """The channel; Twisted deletes the attribute when the response has ended."""
        channel: GatewayChannel | None = getattr(self, "channel", None)
        return channel

    def _seal_head(self, channel: GatewayChannel) -> None:
        headers = self.responseHeaders
        identifier = self.request_id.encode("ascii")
        headers.setRawHeaders(b"X-Request-Id", [identifier])
        if dialect_of(self.path) is Dialect.ANTHROPIC:
            headers.setRawHeaders(b"Request-Id", [identifier])
        if channel.closes_after(headers.getRawHeaders(b"Connection", ())):
            headers.setRawHeaders(b"Connection", [b"close"])
