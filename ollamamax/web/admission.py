"""What is done with a request's body, decided when its head is complete."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from ollamamax.settings import Limits
from ollamamax.web.incoming import BodyPolicy
from ollamamax.web.site import GatewayRequest

_BLOBS = b"/api/blobs/"
_FORMS = b"/v1/audio/transcriptions"


def body_policy(limits: Limits) -> Callable[[GatewayRequest], BodyPolicy]:
    """The policy of a server: blobs and files in forms pass to the node as they arrive, all else is read whole."""
    whole = BodyPolicy(max_bytes=limits.max_body_bytes)
    passing = BodyPolicy(max_bytes=limits.max_blob_bytes, streamed=True)

    def policy(request: GatewayRequest) -> BodyPolicy:
        path = unquote_to_bytes(request.path)
        passes = request.method == b"POST" and (path.startswith(_BLOBS) or path == _FORMS)
        return passing if passes else whole

    return policy
