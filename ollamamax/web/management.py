"""Ollama's management routes, carried to one node.

The fleet learns what has changed before the client hears of its success.
"""

from __future__ import annotations

from collections.abc import Sequence

from ollamamax.errors import ModelRequired
from ollamamax.fleet.routing import Wanted
from ollamamax.names import normalized
from ollamamax.relay.messages import StreamedBody
from ollamamax.relay.relay import Answer, RelayTimeouts
from ollamamax.web.bodies import parse
from ollamamax.web.carrying import Carrier, check_acceptable, whole_body
from ollamamax.web.site import GatewayRequest


class Management:
    """Carries what describes or changes the models of a node."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def ask(self, request: GatewayRequest) -> None:
        """Carries a request without a body to the first node that is up."""
        await self._carry(request, None, b"")

    async def about(self, request: GatewayRequest, *names: str, streams: bool = False) -> None:
        """Carries a request about a model to the node that has it, else to the first one that is up.

        Args:
            request: a request whose body names the model.
            names: the members that may name it.
            streams: whether the route answers with a stream of progress.
        """
        await self._named(request, names, streams=streams, changes=False, optional=False)

    async def change(self, request: GatewayRequest, *names: str, streams: bool = False, optional: bool = False) -> None:
        """Carries a request that changes a node's models, as `about` does.

        Args:
            request: a request whose body names the model.
            names: the members that may name the model that decides the node.
            streams: whether the route answers with a stream of progress.
            optional: whether the body may name none; then it is the first node that is up, where uploads go.
        """
        await self._named(request, names, streams=streams, changes=True, optional=optional)

    async def upload(self, request: GatewayRequest) -> None:
        """Streams a blob to the first node that is up."""
        check_acceptable(request)
        assert request.incoming is not None
        await self._carry(request, None, request.incoming)

    async def _named(
        self, request: GatewayRequest, names: Sequence[str], *, streams: bool, changes: bool, optional: bool
    ) -> None:
        body = parse(whole_body(request))
        try:
            model = normalized(body.model(*names))
        except ModelRequired:
            if not optional:
                raise
            model = None
        streaming = streams and body.read("stream", bool) is not False
        await self._carry(request, model, body.data, progress=streams, streaming=streaming, changes=changes)

    async def _carry(
        self,
        request: GatewayRequest,
        model: str | None,
        body: bytes | StreamedBody,
        *,
        progress: bool = False,
        streaming: bool = False,
        changes: bool = False,
    ) -> None:
        limits = self._carrier.settings.timeouts
        # A registry or a disk may be silent for minutes while a model is moved, so only what is quick has a limit.
        unlimited = progress or not isinstance(body, bytes)
        timeouts = RelayTimeouts(
            limits.connect_seconds, None, None, None if unlimited else limits.whole_response_seconds
        )
        lease = await self._carrier.lease(Wanted(model, "management"))
        node = lease.node.name
        try:
            await self._carrier.carry(
                request,
                lease,
                target=request.uri,
                body=body,
                answer=Answer.PROGRESS if streaming else Answer.OPAQUE,
                streaming=streaming,
                timeouts=timeouts,
                before_end=(lambda: self._carrier.refresh(node)) if changes else None,
            )
        finally:
            lease.release()
