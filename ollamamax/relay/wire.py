"""What a connection asks of its transport.

Twisted spreads it over `ITCPTransport`, `IConsumer` and `IPushProducer`; TCP, TLS and in-memory transports have it all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from twisted.internet.interfaces import IAddress, IPushProducer


class Wire(Protocol):
    """A transport to a node."""

    def write(self, data: bytes) -> None:
        """Sends bytes."""

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Sends bytes in one go."""

    def loseConnection(self) -> None:
        """Closes once all is sent."""

    def abortConnection(self) -> None:
        """Closes now."""

    def pauseProducing(self) -> None:
        """Reads no more."""

    def resumeProducing(self) -> None:
        """Reads again."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Names who is paused and resumed."""

    def unregisterProducer(self) -> None:
        """Ends that."""

    def getPeer(self) -> IAddress:
        """Where it leads."""
