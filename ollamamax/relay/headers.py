"""Which headers pass: of a request to the node, of a response to the client.

Hop-by-hop headers end here in both directions (RFC 9110, 7.6.1). A node learns nothing that is between the client and
the gateway: no credential, no cookie, no origin, no address. It is not offered to compress, since what it sends is read
on the way. What a node says of itself (Server, Date) and its cookies do not reach the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Headers = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
_NOT_TO_NODES = _HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"expect",
    b"accept-encoding",
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"cookie",
    b"origin",
    b"referer",
    b"forwarded",
    b"x-real-ip",
}
_NOT_TO_NODES_PREFIXES = (b"proxy-", b"x-forwarded-")
_NOT_TO_CLIENTS = _HOP_BY_HOP | {b"server", b"date", b"set-cookie", b"set-cookie2", b"x-request-id", b"request-id"}
_NOT_TO_CLIENTS_PREFIXES = (b"proxy-",)


def to_node(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a client's request that go to a node; Host and framing are written by the client."""
    return _passing(headers, _NOT_TO_NODES, _NOT_TO_NODES_PREFIXES)


def to_client(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a node's response that go to a client, Content-Length among them."""
    return _passing(headers, _NOT_TO_CLIENTS, _NOT_TO_CLIENTS_PREFIXES)


def _passing(
    headers: Headers, dropped: frozenset[bytes], prefixes: tuple[bytes, ...]
) -> tuple[tuple[bytes, bytes], ...]:
    named = [(name.lower(), name, value) for name, value in headers]
    listed = frozenset(_listed(value for lower, _, value in named if lower == b"connection"))
    return tuple(
        (name, value)
        for lower, name, value in named
        if lower not in dropped and lower not in listed and not lower.startswith(prefixes)
    )


def _listed(values: Iterable[bytes]) -> Iterable[bytes]:
    """The names that Connection headers name; Content-Length is framing, whatever a Connection header says of it."""
    for value in values:
        for name in value.split(b","):
            lower = name.strip().lower()
            if lower not in (b"content-length", b"content-type"):
                yield lower
