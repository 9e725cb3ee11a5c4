"""One inference request, from its body to its row in the ledger."""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError

from ollamamax.errors import GatewayError, InternalError, ModelNotFound
from ollamamax.fleet.dispatch import Lease
from ollamamax.fleet.routing import Wanted
from ollamamax.names import normalized
from ollamamax.relay.relay import RelayReport, RelayTimeouts, Terminal
from ollamamax.web.accounts import Account
from ollamamax.web.bodies import JsonBody, parse
from ollamamax.web.carrying import Carrier, whole_body
from ollamamax.web.site import GatewayRequest


@attrs.frozen
class Operation:
    """An inference route of Ollama's native API.

    Attributes:
        name: what the ledger and the metrics call it.
        target: the route's path on a node.
        answer: the shape of its answers, as the verdict knows them.
        streams: whether it answers with a stream where the body does not say.
        content: the member without which the request only loads the model (or, with `keep_alive: 0`, unloads it).
    """

    name: str
    target: bytes
    answer: str
    streams: bool = False
    content: str | None = None


CHAT = Operation("chat", b"/api/chat", "chat", streams=True, content="messages")
GENERATE = Operation("generate", b"/api/generate", "generate", streams=True, content="prompt")
EMBED = Operation("embed", b"/api/embed", "embed")
EMBEDDINGS = Operation("embed", b"/api/embeddings", "embeddings")


class Inference:
    """Reads an inference request, has it carried to a node, and keeps its account."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def serve(self, request: GatewayRequest, operation: Operation) -> None:
        """Answers one request; its row is given to the ledger before this returns or raises.

        Raises:
            GatewayError: nothing has been sent to the client yet, and this is the answer.
        """
        account = Account(self._carrier, request, operation.name)
        try:
            body = parse(whole_body(request))
            account.note(requested_model=body.model())
            account.note(model=normalized(body.model()))
            if _only_loads(operation, body):
                account.note(operation="load")
            account.end(await self._carry(request, operation, body, account))
        except CancelledError:
            account.give_up()
            raise
        except GatewayError as error:
            account.fail(error)
            raise
        except Exception:
            account.fail(InternalError())
            raise

    async def _carry(
        self, request: GatewayRequest, operation: Operation, body: JsonBody, account: Account
    ) -> RelayReport:
        model = account.row.model or ""
        streaming = operation.streams and body.read("stream", bool) is not False
        lease = await self._lease(body, Wanted(model, "load" if account.row.operation == "load" else "inference"))
        node = lease.node.name
        # What this request loads or unloads is in the lists before its client can look there.
        changes = account.row.operation == "load" or model not in lease.node.resident
        try:
            account.begin(node)
            return await self._carrier.carry(
                request,
                lease,
                target=operation.target,
                body=body.data,
                streaming=streaming,
                terminal=Terminal.INFERENCE if streaming else Terminal.NONE,
                operation=operation.answer,
                timeouts=self._timeouts(lease, model, streaming),
                before_end=(lambda: self._carrier.refresh(node)) if changes else None,
            )
        finally:
            lease.release()

    async def _lease(self, body: JsonBody, wanted: Wanted) -> Lease:
        try:
            return await self._carrier.lease(wanted)
        except ModelNotFound:
            # Clients look for the name as they spelt it.
            raise ModelNotFound(body.model()) from None

    def _timeouts(self, lease: Lease, model: str, streaming: bool) -> RelayTimeouts:
        limits = self._carrier.settings.timeouts_for(model)
        if not streaming:
            return RelayTimeouts(limits.connect_seconds, None, None, limits.whole_response_seconds)
        cold = model not in lease.node.resident
        first_byte = limits.first_byte_seconds + (limits.load_seconds if cold else 0.0)
        return RelayTimeouts(limits.connect_seconds, first_byte, limits.idle_seconds, None)


def _only_loads(operation: Operation, body: JsonBody) -> bool:
    """Ollama takes a request without a prompt or messages for a load of the model, with `keep_alive: 0` an unload."""
    return operation.content is not None and body.is_empty(operation.content)
