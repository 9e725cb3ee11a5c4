"""A body that streams in, with word of every piece that goes on."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from ollamamax.relay.messages import BodyReceiver, StreamedBody


class NotedBody:
    """Passes a body on unchanged, and says of each piece that it has passed.

    Attributes:
        length: as the body's own.
    """

    def __init__(self, body: StreamedBody, passed: Callable[[], None]) -> None:
        """Wraps; nothing is delivered before `deliver_to`.

        Args:
            body: what is delivered.
            passed: called for every piece.
        """
        self.length = body.length
        self._body = body
        self._passed = passed
        self._receiver: BodyReceiver

    # As the body.

    def deliver_to(self, receiver: BodyReceiver) -> None:
        """Begins the delivery."""
        self._receiver = receiver
        self._body.deliver_to(self)

    def pause(self) -> None:
        """Asks for no more data for now."""
        self._body.pause()

    def resume(self) -> None:
        """Asks for data again."""
        self._body.resume()

    def abandon(self) -> None:
        """Says that nobody wants the rest."""
        self._body.abandon()

    # As its receiver.

    def body_data(self, data: bytes) -> None:
        """A piece of the body."""
        self._passed()
        self._receiver.body_data(data)

    def body_complete(self) -> None:
        """The body is complete."""
        self._receiver.body_complete()

    def body_failed(self, reason: Failure) -> None:
        """The body will never be complete."""
        self._receiver.body_failed(reason)
