"""Who is calling: the client's address and its own request id, as far as the peer is to be believed.

Pure. `X-Forwarded-For` and `X-Request-Id` are a peer's claims; only peers in `trusted_networks` are believed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import attrs

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PREFIX_BITS = {4: 24, 6: 48}


@attrs.frozen
class PeerPolicy:
    """Which peers are believed, and how much of a client's address is kept.

    Attributes:
        trusted: networks whose peers may speak for a client.
        keep: `full`, `prefix` (the first 24 bits of an IPv4 address, 48 of an IPv6 one) or `off`.
    """

    trusted: Sequence[IPNetwork]
    keep: str

    @classmethod
    def of(cls, networks: Iterable[str], keep: str) -> PeerPolicy:
        """A policy from the settings `trusted_networks` and `client_address`."""
        return cls(tuple(ipaddress.ip_network(network, strict=False) for network in networks), keep)

    def trusts(self, peer: str) -> bool:
        """Whether a peer's claims about its client are believed."""
        address = _address(peer)
        return address is not None and any(address in network for network in self.trusted)

    def client(self, peer: str, forwarded_for: str | None) -> str | None:
        """The address of a request's client; None where none is known.

        Args:
            peer: the address at the other end of the connection.
            forwarded_for: the request's `X-Forwarded-For`, if any: the nearest untrusted address in it is the client.
        """
        address = self._client(peer, forwarded_for)
        return None if address is None else str(address)

    def client_address(self, peer: str, forwarded_for: str | None) -> str | None:
        """The address that the ledger keeps for a request, as `client`; None also where none is kept."""
        address = None if self.keep == "off" else self._client(peer, forwarded_for)
        if address is None:
            return None
        if self.keep == "full":
            return str(address)
        return str(ipaddress.ip_network((address, _PREFIX_BITS[address.version]), strict=False))

    def _client(self, peer: str, forwarded_for: str | None) -> IPAddress | None:
        address = _address(peer)
        if forwarded_for and self.trusts(peer):
            for claim in reversed(forwarded_for.split(",")):
                claimed = _address(claim.strip())
                if claimed is None:
                    break
                address = claimed
                if not self.trusts(claim.strip()):
                    break
        return address

    def client_request_id(self, peer: str, claimed: str | None) -> str | None:
        """The id that a trusted peer gave the request, if it is a plain one."""
        if claimed and _REQUEST_ID.match(claimed) and self.trusts(peer):
            return claimed
        return None


@lru_cache(maxsize=1024)
def _address(text: str) -> IPAddress | None:
    """An address; kept, because each request brings its peer's several times, and the next one the same."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
