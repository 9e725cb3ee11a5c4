"""A form on its way to a node: kept until its model is known, then what was kept and the rest of it stream on."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ollamamax.errors import BodyMemoryExhausted, BodyTooLarge, GatewayError
from ollamamax.relay.messages import BodyReceiver
from ollamamax.relay.upload import BytesBody
from ollamamax.web.forms import ModelField, boundary_of, form_type, model_part
from ollamamax.web.incoming import IncomingBody
from ollamamax.web.site import GatewayRequest


class FormUpload:
    """The body of a request that is a form with a file in it; a `StreamedBody` once its model is known.

    It takes the client's body from the beginning. While its model is unknown it keeps what arrives, in the memory that
    all bodies share; while a node is looked for it takes nothing.

    Attributes:
        length: of what the node is sent, in bytes; None where the client did not tell.
    """

    length: int | None

    def __init__(self, request: GatewayRequest, incoming: IncomingBody, max_kept_bytes: int) -> None:
        """Looks at the head of a request, whose client is not told to go on yet.

        Args:
            request: the client's; its Content-Type becomes the one that the node is sent.
            incoming: its body, of which nothing has been taken.
            max_kept_bytes: how much of it may come before the model.

        Raises:
            InvalidBody: it is no form.
        """
        self._boundary = boundary_of(request.requestHeaders.getRawHeaders(b"content-type", ()))
        request.requestHeaders.setRawHeaders(b"Content-Type", [form_type(self._boundary)])
        self.length = incoming.length
        self._request = request
        self._incoming = incoming
        self._max_kept_bytes = max_kept_bytes
        self._kept_bytes = 0
        self._field: ModelField | None = ModelField(self._boundary)
        self._found: Deferred[str] = Deferred(lambda _: self.abandon())
        self._first = b""
        self._source: BytesBody | IncomingBody = incoming
        self._receiver: BodyReceiver | None = None
        self._failure: Failure | None = None

    def model(self) -> Deferred[str]:
        """Reads the form as far as its model; called once.

        Returns:
            The model, or a `GatewayError` that says why there is none. Cancelling it drops the body.
        """
        self._incoming.deliver_to(self)
        return self._found

    # For the node.

    def deliver_to(self, receiver: BodyReceiver) -> None:
        """Begins with the gateway's own part and what was kept."""
        if self._failure is not None:
            receiver.body_failed(self._failure)
            return
        self._receiver = receiver
        self._source = kept = BytesBody(self._request.body())
        receiver.body_data(self._first)
        if self._receiver is not None:
            kept.deliver_to(_Kept(receiver, self._kept_is_sent))

    def pause(self) -> None:
        """Sends nothing until `resume`; soon the client is no longer read."""
        self._source.pause()

    def resume(self) -> None:
        """Sends on."""
        self._source.resume()

    def abandon(self) -> None:
        """Drops the rest."""
        self._field = self._receiver = None
        self._source.abandon()
        self._incoming.abandon()
        self._request.forget_body()

    def _kept_is_sent(self) -> None:
        self._request.forget_body()
        self._source = self._incoming
        self._incoming.resume()

    # From the client.

    def body_data(self, data: bytes) -> None:
        """Keeps a piece, or passes it on."""
        if self._receiver is not None:
            self._receiver.body_data(data)
        elif self._field is not None:
            try:
                self._keep(data)
                model = self._field.feed(data)
            except GatewayError as error:
                self._give_up(error)
            else:
                if model is not None:
                    self._known(model)

    def body_complete(self) -> None:
        """The form has arrived; without a model it is in vain."""
        if self._receiver is not None:
            self._receiver.body_complete()
        elif self._field is not None:
            try:
                self._field.end()
            except GatewayError as error:
                self._give_up(error)

    def body_failed(self, reason: Failure) -> None:
        """The form will not arrive."""
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            self._source.abandon()
            receiver.body_failed(reason)
        elif self._field is not None:
            self._field = None
            self._found.errback(reason)
        else:
            self._failure = reason

    def _keep(self, data: bytes) -> None:
        self._kept_bytes += len(data)
        if self._kept_bytes > self._max_kept_bytes:
            raise BodyTooLarge("the request body is too large: `model` has to come before the file")
        if not self._request.keep(data):
            raise BodyMemoryExhausted

    def _known(self, model: str) -> None:
        self._field = None
        self._incoming.pause()
        self._first = model_part(self._boundary, model)
        if self.length is not None:
            self.length += len(self._first)
        self._found.callback(model)

    def _give_up(self, error: GatewayError) -> None:
        self.abandon()
        self._found.errback(Failure(error))


class _Kept:
    """Passes on what was kept, and says when that was all; what is in memory cannot fail."""

    def __init__(self, receiver: BodyReceiver, sent: Callable[[], None]) -> None:
        self._receiver = receiver
        self._sent = sent

    def body_data(self, data: bytes) -> None:
        self._receiver.body_data(data)

    def body_complete(self) -> None:
        self._sent()

    def body_failed(self, reason: Failure) -> None:
        self._receiver.body_failed(reason)
