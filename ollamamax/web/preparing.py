"""An inference request made ready to be carried: what it asks for, and the body that a node gets."""

from __future__ import annotations

import attrs

from ollamamax.names import normalized
from ollamamax.relay.messages import StreamedBody
from ollamamax.web.accounts import Account
from ollamamax.web.bodies import JsonBody, parse
from ollamamax.web.carrying import check_acceptable, whole_body
from ollamamax.web.encodings import unzstd
from ollamamax.web.operations import Operation
from ollamamax.web.site import GatewayRequest, GatewaySite
from ollamamax.web.uploads import FormUpload


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
    if operation.is_form:
        return await _prepare_form(request, account)
    if operation.takes_zstd:
        _decode(request)
    body = parse(whole_body(request))
    requested = body.model()
    account.asks_for(requested, body.text(*operation.end_user))
    only_loads = _only_loads(operation, body)
    if only_loads:
        account.note(operation="load")
    streams = operation.streams
    streaming = streams is not None and (streams if (told := body.read("stream", bool)) is None else told)
    asking = body.asking_for_usage() if streaming and operation.usage_on_request else None
    return Prepared(
        model=normalized(requested),
        requested_model=requested,
        body=(asking or body).data,
        streaming=streaming,
        only_loads=only_loads,
        usage_added=asking is not None,
    )


async def _prepare_form(request: GatewayRequest, account: Account) -> Prepared:
    check_acceptable(request)
    assert request.incoming is not None
    upload = FormUpload(request, request.incoming, _max_body_bytes(request))
    requested = await upload.model()
    account.asks_for(requested)
    return Prepared(model=normalized(requested), requested_model=requested, body=upload, streaming=False)


def _decode(request: GatewayRequest) -> None:
    """Decodes a body that is zstd and nothing else; what else is compressed is refused where bodies are read."""
    lines = request.requestHeaders.getRawHeaders(b"content-encoding", ())
    codings = [coding.strip().lower() for coding in b",".join(lines).split(b",")]
    if request.refusal is None and codings == [b"zstd"]:
        request.replace_body(unzstd(request.body()), _max_body_bytes(request))
        # The node gets what was read here.
        request.requestHeaders.removeHeader(b"content-encoding")


def _max_body_bytes(request: GatewayRequest) -> int:
    site = request.site
    assert isinstance(site, GatewaySite)
    return site.limits.max_body_bytes


def _only_loads(operation: Operation, body: JsonBody) -> bool:
    """Ollama takes a request without a prompt or messages for a load of the model, with `keep_alive: 0` an unload."""
    return operation.content is not None and body.is_empty(operation.content)
