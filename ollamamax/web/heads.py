"""Pure: what the head of a request must be before anything is done with it.

llhttp has read the head already and refuses what is broken in its grammar. This module refuses what llhttp lets
through and a gateway must not: whatever two HTTP implementations in a row could read in two ways (RFC 9112, sections
2 to 7; the list was found by feeding malformed requests to httptools 0.9).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from ollamamax.errors import GatewayError, HeadTooLarge, MalformedRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
from functools import lru_cache

OTHER_METHOD = b"_OTHER"
"""The method of a request that is too malformed to have one."""

MALFORMED_PATH = b"/_malformed"
"""The path of a request that is too malformed to have one; no route has it."""

# One space on either side of an origin-form target, which holds neither a fragment nor a backslash.
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) (/[!\"$-\[\]-~]*) HTTP/1\.([01])")
# RFC 9110, 7.2: uri-host [ ":" port ]. A comma is legal in a name and never meant; it is what joined fields look like.
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]{0,5})?")
_MAX_NAME_BYTES = 253
_MAX_LABEL_BYTES = 63
# 19 digits are exabytes; more are leading zeros, which somebody else may read as an octal number or cut.
_MAX_LENGTH_DIGITS = 19

_FRAMING_NAMES = frozenset((b"host", b"connection", b"content-length", b"transfer-encoding", b"expect"))

Field = tuple[bytes, bytes]


@attrs.frozen
class Head:
    """The head of a request.

    Attributes:
        method: as sent, or `OTHER_METHOD`.
        target: path and query as sent, or `MALFORMED_PATH`.
        version: `HTTP/1.1` or `HTTP/1.0`; what the response's head begins with.
        fields: the header fields in the order of their arrival.
        content_length: of the body, in bytes; None where it is chunked.
        keep_alive: whether the client can take a further response on this connection.
        expects_continue: whether the client waits for a 100 before it sends the body.
        refusal: why this request must not reach a route; None for one that may.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: Sequence[Field]
    content_length: int | None
    keep_alive: bool
    expects_continue: bool
    refusal: GatewayError | None = None

    @property
    def has_body(self) -> bool:
        """Whether bytes of a body follow the head."""
        return self.content_length != 0

    @classmethod
    def unreadable(cls, refusal: GatewayError) -> Head:
        """The head of a request that never became one."""
        return cls(OTHER_METHOD, MALFORMED_PATH, b"HTTP/1.1", (), 0, False, False, refusal)


@attrs.define
class _Framing:
    """The fields that decide where the message ends and who it is for, gathered in one walk."""

    hosts: list[bytes] = attrs.Factory(list)
    transfer_encodings: list[bytes] = attrs.Factory(list)
    lengths: list[bytes] = attrs.Factory(list)
    closes: bool = False
    expects_continue: bool = False


def examine(line: bytes, fields: Sequence[Field], *, max_headers: int) -> Head:
    """Reads a head that llhttp has accepted.

    Args:
        line: the request line without its line end.
        fields: the header fields in the order of their arrival.
        max_headers: how many of them are allowed.

    Returns:
        The head, with its `refusal` set where it must not be served. A target that is not plainly a path is not
        repeated in it.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return _refused(line, fields, MalformedRequest(detail="request line"))
    method, target, minor = match.groups()
    if method == b"CONNECT":
        return _refused(line, fields, MalformedRequest(detail="CONNECT"))
    framing = _framing_of(fields)
    current = minor == b"1"
    fault = _fault_of(framing, current)
    refusal: GatewayError | None = None if fault is None else MalformedRequest(detail=fault)
    if refusal is None and len(fields) > max_headers:
        refusal = HeadTooLarge("the request has too many header fields")
    length: int | None = 0
    if refusal is None and framing.transfer_encodings:
        length = None
    elif refusal is None and framing.lengths:
        length = int(framing.lengths[0])
    return Head(
        method=method,
        target=target,
        version=b"HTTP/1.1" if current else b"HTTP/1.0",
        fields=fields,
        content_length=length,
        # Persistent connections of HTTP/1.0 need a header on both sides and a length: not worth their risks.
        keep_alive=current and not framing.closes,
        expects_continue=current and framing.expects_continue,
        refusal=refusal,
    )


def _refused(line: bytes, fields: Sequence[Field], refusal: GatewayError) -> Head:
    method = line.split(b" ", 1)[0]
    return Head(method, MALFORMED_PATH, b"HTTP/1.1", fields, 0, False, False, refusal)


def _framing_of(fields: Sequence[Field]) -> _Framing:
    framing = _Framing()
    for name, value in fields:
        lower = name.lower()
        if lower not in _FRAMING_NAMES:
            continue
        if lower == b"host":
            framing.hosts.append(value)
        elif lower == b"connection":
            if b"close" in [token.strip().lower() for token in value.split(b",")]:
                framing.closes = True
        elif lower == b"content-length":
            framing.lengths.append(value)
        elif lower == b"transfer-encoding":
            framing.transfer_encodings.append(value)
        elif value.lower() == b"100-continue":
            # Any other expectation may be ignored (RFC 9110, 10.1.1).
            framing.expects_continue = True
    return framing


def _fault_of(framing: _Framing, current: bool) -> str | None:
    if len(framing.hosts) > 1 or (current and not framing.hosts):
        return "one Host is needed"
    if framing.hosts and not _is_host(framing.hosts[0]):
        return "Host"
    if framing.transfer_encodings:
        if not current:
            return "Transfer-Encoding with HTTP/1.0"
        if framing.lengths or [value.lower() for value in framing.transfer_encodings] != [b"chunked"]:
            return "Transfer-Encoding"
    if framing.lengths and (len(framing.lengths) > 1 or len(framing.lengths[0]) > _MAX_LENGTH_DIGITS):
        return "Content-Length"
    return None


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    """Whether a Host field is a name or an address with at most a port.

    The lengths are those of a DNS name: what is longer cannot be resolved, and Werkzeug's IDNA encoder, which sees
    every Host, raises for it.
    """
    match = _HOST.fullmatch(value)
    if match is None:
        return False
    name: bytes = match[1]
    if not name or name.startswith(b"["):
        return True
    labels = name.removesuffix(b".").split(b".")
    return len(name) <= _MAX_NAME_BYTES and all(0 < len(label) <= _MAX_LABEL_BYTES for label in labels)
