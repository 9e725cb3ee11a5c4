"""A request on its way in: accepted or refused, its body kept or passed on, until it may be served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ollamamax.errors import BodyMemoryExhausted, BodyTooLarge, ClientLeft, GatewayError, InternalError
from ollamamax.web.deadlines import BodyPace
from ollamamax.web.heads import Head
from ollamamax.web.incoming import BodyPolicy, IncomingBody

if TYPE_CHECKING:
    from ollamamax.web.request import GatewayRequest
    from ollamamax.web.site import GatewaySite


class Door(Protocol):
    """The connection that requests come in by."""

    def new_request(self, head: Head) -> GatewayRequest:
        """The request that begins with this head."""

    def serve(self, request: GatewayRequest) -> None:
        """Renders a request: a complete one, a refused one, or one whose body is streamed."""

    def take_no_more(self) -> None:
        """Drops whatever else arrives; the connection closes after the response that is due."""

    def send_continue(self) -> None:
        """Tells the client that its body is welcome."""

    def flow_changed(self) -> None:
        """Whether the connection should be read may have changed."""


class Reception:
    """Receives the requests of one connection; the parser reports to it.

    A request that cannot be received is served all the same, with its `refusal` set, except where it is being served
    already: then its body fails and whoever takes it has to answer.

    Attributes:
        request: the one being received; None between requests.
        pace: whether its body arrives fast enough.
    """

    _log = Logger()

    def __init__(self, site: GatewaySite, door: Door) -> None:
        self.request: GatewayRequest | None = None
        self.pace = BodyPace(site.limits.min_body_bytes_per_second, site.limits.keep_alive_seconds)
        self._site = site
        self._door = door
        self._policy = BodyPolicy(max_bytes=0)
        self._body_bytes = 0
        self._owes_continue = False
        self._serving = False

    @property
    def full(self) -> bool:
        """Whether a streamed body waits for its receiver, so that the client should not be read."""
        return self.request is not None and self.request.incoming is not None and self.request.incoming.full

    # What the parser reports.

    def head_received(self, head: Head) -> None:
        """A request begins: it is refused, or its body may come."""
        self.request = request = self._door.new_request(head)
        self._body_bytes = 0
        self.pace.start()
        self._serving = False
        self._owes_continue = head.expects_continue and head.has_body
        refusal = head.refusal or self._apply_policy(request, head)
        if refusal is not None:
            self.refuse(refusal)
        elif not self._policy.streamed:
            self.body_wanted()
        else:
            request.incoming = IncomingBody(head.content_length, self)
            if head.has_body:
                self._serving = True
                self._door.serve(request)

    def body_received(self, data: bytes) -> None:
        """A piece of the body."""
        request = self.request
        if request is None:
            return
        self._body_bytes += len(data)
        self.pace.arrived(len(data))
        limit = self._policy.max_bytes
        if limit is not None and self._body_bytes > limit:
            self.refuse(BodyTooLarge())
        elif request.incoming is not None:
            request.incoming.arrived(data)
        elif not request.keep(data):
            self.refuse(BodyMemoryExhausted())

    def message_ended(self) -> None:
        """The request is complete."""
        request, self.request = self.request, None
        if request is None:
            return
        if self._body_bytes:
            request.body_at = self._site.reactor.seconds()
        if request.incoming is not None:
            request.incoming.ended()
        if not self._serving:
            self._door.serve(request)

    def message_broken(self, error: GatewayError) -> None:
        """What arrives is no request, or no longer one."""
        if self.request is None:
            self.head_received(Head.unreadable(error))
        else:
            self.refuse(error)

    # What a streamed body asks for.

    def body_wanted(self) -> None:
        """Somebody takes the body: a client that waits to be told so is told."""
        if self._owes_continue and self.request is not None and not self.request.startedWriting:
            self._owes_continue = False
            self._door.send_continue()

    def body_flow_changed(self) -> None:
        """The body waits for its receiver, or no longer."""
        self._door.flow_changed()

    # What the connection asks for.

    def refuse(self, error: GatewayError) -> None:
        """Ends the receiving of a request for good."""
        request, self.request = self.request, None
        self._owes_continue = False
        self._door.take_no_more()
        if request is None:
            return
        if request.incoming is not None:
            request.incoming.failed(Failure(error))
            return
        request.refusal = error
        request.forget_body()
        request.body_at = self._site.reactor.seconds()
        self._door.serve(request)

    def give_up(self, request: GatewayRequest) -> bool:
        """Receives no more of a request whose response has ended.

        Returns:
            Whether it had been received completely, so that another may follow.
        """
        complete = self.request is None
        self.request = None
        if request.incoming is not None:
            request.incoming.abandon()
        return complete

    def lost(self, reason: Failure) -> None:
        """The connection is gone: a request that was still arriving is refused, so that it is accounted for too."""
        request = self.request
        if request is None:
            return
        if request.incoming is None:
            self.refuse(ClientLeft())
            return
        self.request = None
        request.forget_body()
        request.incoming.failed(reason)

    def _apply_policy(self, request: GatewayRequest, head: Head) -> GatewayError | None:
        """Learns what is to be done with the body; returns why nothing is."""
        try:
            self._policy = policy = self._site.body_policy(request)
        except GatewayError as refusal:
            return refusal
        except Exception:  # noqa: BLE001 - whatever it is, this request ends with it and no other
            self._log.failure("the policy for a body failed")
            return InternalError()
        if policy.max_bytes is not None and (head.content_length or 0) > policy.max_bytes:
            return BodyTooLarge()
        return None
