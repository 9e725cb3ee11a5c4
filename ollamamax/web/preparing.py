"""An inference request made ready to be carried: what it asks for, and the body that a node gets."""

from __future__ import annotations

import attrs

from ollamamax.names import normalized
from ollamamax.relay.messages import StreamedBody
from ollamamax.web.accounts import Account
from ollamamax.web.bodies import JsonBody, parse
from ollamamax.web.carrying import whole_body
from ollamamax.web.operations import Operation
from ollamamax.web.site import GatewayRequest


@attrs.frozen
class Prepared:
    """An inference request that may be carried.

    Attributes:
        model: the model's normalised name.
        requested_model: the name as the client spelt it.
        body: what a node is sent; one in memory may be sent more than once.
        streaming: whether the answer is a stream of events.
        only_loads: whether it asks for no more than the model's presence, or absence.
        usage_added: whether usage was asked for that the client did not ask for.
    """

    model: str
    requested_model: str
    body: bytes | StreamedBody = attrs.field(repr=False)
    streaming: bool
    only_loads: bool = False
    usage_added: bool = False


async def prepare(request: GatewayRequest, operation: Operation, account: Account) -> Prepared:
    """Reads a request.

    Args:
        request: the client's.
        operation: the route's.
        account: told what is learnt, as far as it goes.

    Raises:
        GatewayError: it must not be carried.
    """
    body = parse(whole_body(request))
    requested = body.model()
    account.note(requested_model=requested, model=normalized(requested))
    only_loads = _only_loads(operation, body)
    if only_loads:
        account.note(operation="load")
    streams = operation.streams
    return Prepared(
        model=normalized(requested),
        requested_model=requested,
        body=body.data,
        streaming=streams is not None and (streams if (told := body.read("stream", bool)) is None else told),
        only_loads=only_loads,
    )


def _only_loads(operation: Operation, body: JsonBody) -> bool:
    """Ollama takes a request without a prompt or messages for a load of the model, with `keep_alive: 0` an unload."""
    return operation.content is not None and body.is_empty(operation.content)
