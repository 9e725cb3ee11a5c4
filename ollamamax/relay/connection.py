"""One connection to a node: at most one exchange at a time, none while it waits in the pool.

Rules: a connection is used again only when response and request are both complete and not one byte came besides; a
node that speaks unasked loses its connection; whatever ends an exchange early aborts the connection.
"""

from __future__ import annotations

from typing import Protocol as Interface
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ollamamax.errors import GatewayError, InternalError, NodeClosedEarly, NodeConnectFailed, NodeTruncated
from ollamamax.relay.messages import ResponseReceiver, StreamedBody
from ollamamax.relay.responses import ResponseParser
from ollamamax.relay.upload import Upload
from ollamamax.relay.wire import Wire


class Task(Interface):
    """What a connection is busy with; told once how it ended."""

    receiver: ResponseReceiver

    def ended(self) -> None:
        """The response is complete."""

    def broke(self, reason: Failure, *, unanswered: bool) -> None:
        """The response will never be complete.

        Args:
            reason: why.
            unanswered: whether the node closed the connection without having sent a byte.
        """


class ConnectionOwner(Interface):
    """Whoever keeps count of the connections."""

    def connection_opened(self, connection: NodeConnection) -> None:
        """It is connected."""

    def connection_idle(self, connection: NodeConnection) -> None:
        """It may be used again."""

    def connection_lost(self, connection: NodeConnection) -> None:
        """It is gone."""


@implementer(IHandshakeListener)
class NodeConnection(Protocol):
    """The protocol of one connection.

    Attributes:
        key: what the pool knows it by.
        idle_since: clock seconds at which it became idle; kept by the pool.
    """

    _log = Logger()

    def __init__(self, owner: ConnectionOwner, key: object, *, secure: bool) -> None:
        self.key = key
        self.idle_since = 0.0
        self._owner = owner
        self._secure = secure
        self._ready: Deferred[NodeConnection] = Deferred(lambda _: self.abort())
        self._awaited = False
        self._wire: Wire | None = None
        self._task: Task | None = None
        self._parser: ResponseParser | None = None
        self._upload: Upload | None = None
        self._paused = False
        self._closing = False

    # The connection's life.

    def ready(self) -> Deferred[NodeConnection]:
        """Fires once requests may be sent: at once, over TLS after the handshake.

        Cancelling aborts the connection.
        """
        self._awaited = True
        return self._ready

    def connectionMade(self) -> None:
        self._wire = cast("Wire", self.transport)
        self._owner.connection_opened(self)
        if not self._secure:
            self._ready.callback(self)

    def handshakeCompleted(self) -> None:
        if not self._ready.called:
            self._ready.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self._owner.connection_lost(self)
        if self._awaited and not self._ready.called:
            self._ready.errback(NodeConnectFailed(detail=f"TLS: {_text(reason)}"))
        task, parser = self._task, self._parser
        if task is None or parser is None:
            return
        self._let_go()
        if parser.until_close and reason.check(ConnectionDone):
            task.ended()
            return
        unanswered = parser.received == 0
        error: GatewayError
        if parser.started:
            error = NodeTruncated(detail=_text(reason))
        else:
            error = NodeClosedEarly(unanswered=unanswered, detail=_text(reason))
        task.broke(Failure(error), unanswered=unanswered)

    # What an exchange asks for.

    @property
    def peer(self) -> IAddress:
        """Where the connection leads."""
        assert self._wire is not None
        return self._wire.getPeer()

    @property
    def open(self) -> bool:
        """Whether it may be given a task."""
        return not self._closing and self._task is None

    def begin(self, task: Task, request: bytes, body: StreamedBody | None, *, head_request: bool) -> None:
        """Sends a request.

        Args:
            task: hears of the response.
            request: the head, with the body where it is small.
            body: what follows, sent with backpressure.
            head_request: whether the response has no body whatever its headers say.
        """
        assert self._wire is not None
        self._task = task
        self._parser = ResponseParser(task.receiver, head_request=head_request)
        self._wire.write(request)
        if body is not None:
            self._upload = Upload(body, self._wire, self._body_failed)
            self._upload.start()

    def pause(self) -> None:
        """Reads no more from the node; what was read already is still reported."""
        if not self._paused and not self._closing and self._wire is not None:
            self._paused = True
            self._wire.pauseProducing()

    def resume(self) -> None:
        """Reads again."""
        if self._paused:
            self._paused = False
            if not self._closing and self._wire is not None:
                self._wire.resumeProducing()

    def abort(self) -> None:
        """Closes at once; the task hears nothing more."""
        self._let_go()
        if not self._closing and self._wire is not None:
            self._closing = True
            self._wire.abortConnection()

    def close(self) -> None:
        """Closes an idle connection, politely."""
        if self._secure:
            # A polite end of TLS waits for the node's consent.
            self.abort()
        elif not self._closing and self._wire is not None:
            self._closing = True
            self._wire.loseConnection()

    # What the node sends.

    def dataReceived(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            self.abort()
            return
        try:
            parser.feed(data)
        except GatewayError as error:
            self._break(parser, error)
            return
        except Exception:  # noqa: BLE001 - whatever a receiver raises must not leave the exchange open
            self._log.failure("a response could not be taken")
            self._break(parser, InternalError())
            return
        if parser.complete and parser is self._parser:
            self._complete(parser)

    def _complete(self, parser: ResponseParser) -> None:
        task, upload = self._task, self._upload
        assert task is not None
        unfinished = upload is not None and not upload.complete
        self._let_go()
        if unfinished:
            self.abort()
        elif not parser.reusable:
            self.close()
        else:
            self.resume()
            self._owner.connection_idle(self)
        task.ended()

    def _break(self, parser: ResponseParser, error: GatewayError) -> None:
        if parser is not self._parser:
            return
        task = self._task
        assert task is not None
        self.abort()
        task.broke(Failure(error), unanswered=False)

    def _body_failed(self, reason: Failure) -> None:
        task = self._task
        if task is not None:
            self.abort()
            task.broke(reason, unanswered=False)

    def _let_go(self) -> None:
        if self._parser is not None:
            self._parser.silence()
        if self._upload is not None:
            self._upload.abandon()
        self._task = self._parser = self._upload = None


def _text(reason: Failure) -> str:
    return f"{reason.type.__name__ if reason.type is not None else ''}: {reason.getErrorMessage()}"
