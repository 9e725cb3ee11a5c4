"""The client's side of a crossing: one answer written to one request of twisted.web."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer

from ollamamax.relay import headers
from ollamamax.relay.carriage import Breakable
from ollamamax.relay.messages import ResponseHead

if TYPE_CHECKING:
    from twisted.web.server import Request

# An answer announced to be no longer needs no backpressure: it fits in what may be buffered anyway.
_SMALL_BYTES = 65536


class Reply:
    """An answer under way.

    Attributes:
        status: what the client was told; None while nothing was.
        sized: whether the client was told a Content-Length, so that nothing can be appended.
        bytes_out: of the body so far, framing left out.
    """

    def __init__(
        self, request: Request, extra_headers: tuple[tuple[bytes, bytes], ...], producer: IPushProducer
    ) -> None:
        """Prepares; nothing is written.

        Args:
            request: whose answer this is.
            extra_headers: set on it in place of the node's own of the same name.
            producer: paused and resumed by the client's transport while a body is written.
        """
        self.status: int | None = None
        self.sized = False
        self.bytes_out = 0
        self._request = request
        self._extra = extra_headers
        self._producer = producer
        self._producing = False

    def begin(self, head: ResponseHead, *, body_follows: bool) -> None:
        """Writes the head, with the body's first piece where one follows, else at once."""
        request = self._request
        self.status = head.status
        request.setResponseCode(head.status, head.reason or None)
        # Twisted would add a type to an answer that has none.
        request.defaultContentType = None
        own = {name.lower() for name, _ in self._extra}
        for name, value in headers.to_client(head.headers):
            if name.lower() not in own:
                request.responseHeaders.addRawHeader(name, value)
        for name, value in self._extra:
            request.responseHeaders.setRawHeaders(name, [value])
        length = head.first(b"content-length")
        self.sized = length is not None
        if not body_follows:
            request.write(b"")
        elif length is None or int(length) > _SMALL_BYTES:
            self._producing = True
            request.registerProducer(self._producer, True)

    def write(self, data: bytes) -> None:
        """Writes a piece of the body."""
        self.bytes_out += len(data)
        self._request.write(data)

    def stop_producing(self) -> None:
        """The body is over, as far as the client's transport is concerned."""
        if self._producing:
            self._producing = False
            self._request.unregisterProducer()

    def end(self) -> None:
        """Ends the answer well."""
        self._request.finish()

    def break_off(self) -> Deferred[None]:
        """Ends the connection without the end of the body, by FIN, once all that was written is sent.

        Returns:
            Fires when the connection is gone, or need not be waited for.
        """
        request = self._request
        gone: Deferred[None] = Deferred()
        if isinstance(request, Breakable):
            ended = request.break_off()
        else:
            ended = request.notifyFinish()
            request.loseConnection()
        if ended is None:
            gone.callback(None)
        else:
            ended.addBoth(lambda _: gone.callback(None))
        return gone
