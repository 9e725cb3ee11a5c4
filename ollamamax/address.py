"""Addresses of nodes: what a URL in the settings means, and which are refused.

A node's address is dialled with the gateway's own rights, so whatever could turn the gateway against the machines
around it is refused here, in one place: other schemes, credentials in the URL, link-local and metadata addresses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import attrs

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII)
_PATH_CHARACTERS = "/%:@!$&'()*+,;=-._~"
# Metadata services that are not link-local: AWS over IPv6, Alibaba Cloud, Oracle Cloud.
_METADATA = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # deprecated by RFC 4291, section 2.5.5.1


class InvalidAddress(ValueError):
    """A node's URL that is not one; the text says why, in words for the person who wrote it."""


@attrs.frozen
class NodeAddress:
    """Where a node listens.

    Attributes:
        scheme: `http` or `https`.
        host: a name in ASCII or an IP literal, without brackets.
        port: the TCP port.
        prefix: the path that precedes every route there, without its last slash; mostly empty.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def from_url(cls, url: str) -> NodeAddress:
        """Reads a node's URL.

        Args:
            url: as in `http://192.168.1.4:11434`; without a port, the scheme's default.

        Raises:
            InvalidAddress: for anything that is no plain http(s) URL of an address that may be dialled.
        """
        if any(character.isspace() or not character.isprintable() for character in url):
            raise InvalidAddress("must not hold white space")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidAddress(f"{error}") from None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise InvalidAddress("expected a URL like http://127.0.0.1:11434")
        if parts.username is not None or parts.password is not None:
            raise InvalidAddress("must not hold a user name or a password")
        if "?" in url or "#" in url:
            raise InvalidAddress("must not have a query or a fragment")
        host = _ascii_host(parts.hostname)
        if not is_dialable(host):
            raise InvalidAddress("link-local, multicast, metadata and unspecified addresses are refused")
        if port is None:
            port = _DEFAULT_PORTS[parts.scheme]
        if port == 0:
            raise InvalidAddress("port 0 is no port to connect to")
        return cls(parts.scheme, host, port, quote(parts.path, safe=_PATH_CHARACTERS).rstrip("/"))

    @property
    def authority(self) -> bytes:
        """The value of the Host header that the node expects."""
        return self._netloc.encode("ascii")

    @property
    def url(self) -> str:
        """The URL to which a route's path is appended; ASCII."""
        return f"{self.scheme}://{self._netloc}{self.prefix}"

    @property
    def _netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_dialable(host: str) -> bool:
    """Whether a host may be connected to: every name, and every IP literal that can be a node's own.

    Cloud metadata services live on link-local addresses (169.254.169.254, fe80::/10) and a few others, so those are
    out, whichever way they are written: as one number, in hexadecimal, inside an IPv6 address. So are multicast and
    0.0.0.0. Names are checked again when they have been resolved.
    """
    return all(
        not (literal.is_link_local or literal.is_multicast or literal.is_unspecified or str(literal) in _METADATA)
        for literal in _literals(host.partition("%")[0])
    )


def _literals(host: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses that a literal stands for: its own, and an IPv4 address that a network may translate it to."""
    if ":" in host:
        try:
            literal = ipaddress.IPv6Address(host)
        except ValueError:
            return
        yield literal
        if literal in _TRANSLATED or literal in _COMPATIBLE:
            yield ipaddress.IPv4Address(int(literal) & 0xFFFFFFFF)
        for inner in (literal.ipv4_mapped, literal.sixtofour):
            if inner is not None:
                yield inner
        return
    try:
        # Resolvers take what inet_aton takes: 2852039166, 0xa9fea9fe, 0251.0376.0251.0376, 169.254.43518.
        yield ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return


def _ascii_host(host: str) -> str:
    """A host as DNS and the Host header spell it.

    Raises:
        InvalidAddress: for what is neither a name nor an address.
    """
    if ":" in host:
        try:
            literal = ipaddress.IPv6Address(host)
        except ValueError:
            raise InvalidAddress("the host is no IPv6 address") from None
        if literal.scope_id is not None:
            raise InvalidAddress("must not hold an IPv6 zone")
        return literal.compressed
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidAddress("the host is no name that DNS knows") from None
    if not _HOST_NAME.fullmatch(name):
        raise InvalidAddress("the host is neither a name nor an address")
    return name
