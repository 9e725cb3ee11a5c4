"""A reactor whose network is in its memory: what listens and what connects on it meet without a socket.

    reactor = MemoryReactor()
    reactor.listenTCP(11434, site, interface="127.0.0.1")
    TCP4ClientEndpoint(reactor, "127.0.0.1", 11434).connect(factory)
    reactor.settle()

Connections behave as Twisted's: bytes arrive in a later turn, at most 64 KiB in one; a full buffer pauses its producer,
a paused reader is not read; an orderly close waits until all is flushed, an abort does not; `connectionLost` comes in a
turn of its own. An address is the port alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IListeningPort,
    IPushProducer,
    IReactorFromThreads,
    IReactorTCP,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

_TURNS = 10_000
_BUFFER_BYTES = 65536


@implementer(ITCPTransport, IConsumer, IPushProducer)
class End:
    """One end of a connection.

    Attributes:
        protocol: who speaks here.
        other: the other end.
        aborted: whether this end closed at once.
        lost: whether the connection is gone, as far as this end knows.
    """

    def __init__(self, reactor: MemoryReactor, host: IPv4Address, peer: IPv4Address) -> None:
        self.protocol: Any = None
        self.other: End
        self.aborted = False
        self.lost = False
        self._reactor = reactor
        self._host = host
        self._peer = peer
        self._unsent = bytearray()
        self._paused = False
        self._closing = False
        self._producer: Any = None
        self._producer_paused = False

    @property
    def dropped(self) -> bool:
        """Whether this end has closed the connection, or is about to."""
        return self.aborted or self._closing or self.lost

    @property
    def disconnecting(self) -> bool:
        """As Twisted's own transports call it."""
        return self._closing

    # ITransport, ITCPTransport

    def write(self, data: bytes) -> None:
        if self.dropped or not data:
            return
        self._unsent += data
        if self._producer is not None and len(self._unsent) > _BUFFER_BYTES and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._reactor.callLater(0, self._flush)

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        self._closing = True
        self._reactor.callLater(0, self._flush)

    loseWriteConnection = loseConnection

    def abortConnection(self) -> None:
        if not self.lost and not self.aborted:
            self.aborted = True
            self._reactor.callLater(0, self._lose, ConnectionAborted())
            self._reactor.callLater(0, self.other._lose, ConnectionLost())

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self._host

    def getTcpNoDelay(self) -> bool:  # noqa: N802 - ITCPTransport
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed here."""

    def getTcpKeepAlive(self) -> bool:  # noqa: N802 - ITCPTransport
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """There is nothing to be kept alive."""

    # IConsumer, IPushProducer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self._producer is None
        assert streaming
        self._producer = producer
        if self.lost:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        self._producer_paused = False
        if self._closing:
            self._reactor.callLater(0, self._flush)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._reactor.callLater(0, self.other._flush)

    def stopProducing(self) -> None:
        self.loseConnection()

    # How bytes and ends arrive.

    def _flush(self) -> None:
        if self.lost or self.aborted:
            return
        if self._unsent and not self.other._paused:
            data = bytes(self._unsent[:_BUFFER_BYTES])
            del self._unsent[:_BUFFER_BYTES]
            if not self.other.dropped:
                self.other.protocol.dataReceived(data)
            self._reactor.callLater(0, self._flush)
        elif self._unsent:
            pass
        elif self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()
        elif self._closing and self._producer is None:
            self._lose(ConnectionDone())
            self._reactor.callLater(0, self.other._lose, ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        if self.lost:
            return
        self.lost = True
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self._reactor.ends.discard(self)
        self.protocol.connectionLost(Failure(reason))


@implementer(IListeningPort)
class MemoryPort:
    """What listens on a port."""

    def __init__(self, reactor: MemoryReactor, number: int, factory: Any, host: Any) -> None:
        self.number = number
        self.factory = factory
        self._reactor = reactor
        self._host = host

    def startListening(self) -> None:
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        if self._reactor.ports.pop(self.number, None) is not None:
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> Any:
        return self._host


@implementer(IConnector)
@attrs.define(eq=False)
class _Attempt:
    """A connect under way."""

    reactor: MemoryReactor
    port: int
    factory: Any
    given_up: bool = False

    def stopConnecting(self) -> None:  # noqa: N802 - IConnector
        self.given_up = True
        self.reactor.connecting.discard(self)
        self.factory.doStop()

    disconnect = connect = stopConnecting

    def getDestination(self) -> Any:  # noqa: N802 - IConnector
        return IPv4Address("TCP", "127.0.0.1", self.port)


@implementer(IReactorTCP, IReactorFromThreads)
class MemoryReactor(Clock):
    """A clock with a network.

    Attributes:
        ports: what listens, by port.
        silent: ports that take no connection and refuse none.
        connecting: connects without an answer.
        ends: of the connections that are open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[int, MemoryPort] = {}
        self.silent: set[int] = set()
        self.connecting: set[_Attempt] = set()
        self.ends: set[End] = set()
        self._numbers = count(40000)
        self._threads = ThreadPool(0, 1)

    def getThreadPool(self) -> ThreadPool:
        """A pool that nobody starts."""
        return self._threads

    # IReactorTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> MemoryPort:
        number = port or next(self._numbers)
        if number in self.ports:
            raise CannotListenError(interface, number, OSError(98, "Address already in use"))
        kind = IPv6Address if ":" in interface else IPv4Address
        return self._listen(number, factory, kind("TCP", interface or "127.0.0.1", number))

    def listenUNIX(self, address: str, factory: Any, *_: object, **__: object) -> MemoryPort:  # noqa: N802 - IReactorUNIX
        return self._listen(next(self._numbers), factory, UNIXAddress(address))

    def _listen(self, number: int, factory: Any, host: Any) -> MemoryPort:
        made = self.ports[number] = MemoryPort(self, number, factory, host)
        made.startListening()
        return made

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:  # noqa: N803 - IReactorTCP
        attempt = _Attempt(self, port, factory)
        self.connecting.add(attempt)
        factory.doStart()
        factory.startedConnecting(attempt)
        self.callLater(0, self._answer, attempt)
        return attempt

    def _answer(self, attempt: _Attempt) -> None:
        if attempt.given_up or attempt.port in self.silent:
            return
        self.connecting.discard(attempt)
        port = self.ports.get(attempt.port)
        if port is None:
            attempt.factory.clientConnectionFailed(attempt, Failure(ConnectionRefusedError()))
            attempt.factory.doStop()
            return
        near, far = IPv4Address("TCP", "127.0.0.1", next(self._numbers)), attempt.getDestination()
        ours, theirs = End(self, near, far), End(self, far, near)
        ours.other, theirs.other = theirs, ours
        self.ends |= {ours, theirs}
        theirs.protocol = port.factory.buildProtocol(near)
        ours.protocol = attempt.factory.buildProtocol(far)
        theirs.protocol.makeConnection(theirs)
        ours.protocol.makeConnection(ours)

    # IReactorFromThreads

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:  # noqa: A002
        raise AssertionError("nothing here has threads")

    callInThread = suggestThreadPoolSize = callFromThread

    # Time

    def settle(self) -> None:
        """Lets everything happen that needs no time."""
        for _ in range(_TURNS):
            if not any(call.getTime() <= self.seconds() for call in self.getDelayedCalls()):
                return
            self.advance(0)
        raise AssertionError("it never comes to rest")

    def pass_time(self, seconds: float) -> None:
        """Lets time pass, from timer to timer."""
        end = self.seconds() + seconds
        self.settle()
        while due := [call.getTime() for call in self.getDelayedCalls() if call.getTime() <= end]:
            self.advance(max(0.0, min(due) - self.seconds()))
            self.settle()
        self.advance(max(0.0, end - self.seconds()))
