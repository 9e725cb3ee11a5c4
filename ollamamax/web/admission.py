"""What is done with a request's body, decided when its head is complete."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from ollamamax.settings import Limits
from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest

_BLOBS = b"/api/blobs/"


def body_policy(limits: Limits) -> Callable[[GatewayRequest], BodyPolicy]:
    """The policy of a server: blobs pass through to the node as they arrive, all else is read whole and checked."""
    whole = BodyPolicy(max_bytes=limits.max_body_bytes)
    passing = BodyPolicy(max_bytes=limits.max_blob_bytes, streamed=True)

    def policy(request: GatewayRequest) -> BodyPolicy:
        is_blob = request.method == b"POST" and unquote_to_bytes(request.path).startswith(_BLOBS)
        return passing if is_blob else whole

    return policy
