"""What is believed and kept of a client."""

from __future__ import annotations

import pytest

from ollamamax.web.peers import PeerPolicy


@pytest.fixture
def full() -> PeerPolicy:
    """One that believes a network, written as an address in it as people do, and keeps all of an address."""
    return PeerPolicy.of(["10.1.2.3/8", "fd00::1/16"], "full")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::7", "2001:db8::1", "2001:db8::1"),
        ("fe00::7", "2001:db8::1", "fe00::7"),
        ("::ffff:192.0.2.7", None, "192.0.2.7"),
        ("fe80::1%eth0", None, "fe80::1"),
        ("", None, None),
    ],
)
def test_the_client_is_the_nearest_address_that_is_not_trusted(
    full: PeerPolicy, peer: str, forwarded: str | None, address: str | None
) -> None:
    """`X-Forwarded-For` counts only from trusted peers, and only as far as trusted peers wrote it."""
    assert full.client_address(peer, forwarded) == address
    assert full.client(peer, forwarded) == address


@pytest.mark.parametrize(
    ("keep", "peer", "address"),
    [
        ("prefix", "192.0.2.7", "192.0.2.0/24"),
        ("prefix", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("prefix", "nonsense", None),
        ("off", "192.0.2.7", None),
    ],
)
def test_how_much_of_an_address_is_kept(keep: str, peer: str, address: str | None) -> None:
    """`prefix` keeps the network, `off` nothing; while a request runs its client is known all the same."""
    assert PeerPolicy.of([], keep).client(peer, None) == (None if peer == "nonsense" else peer)
    assert PeerPolicy.of([], keep).client_address(peer, None) == address


@pytest.mark.parametrize(
    ("peer", "claimed", "kept"),
    [
        ("10.0.0.1", "abc-1_2", "abc-1_2"),
        ("192.0.2.7", "abc", None),
        ("10.0.0.1", "a" * 64, "a" * 64),
        ("10.0.0.1", "a" * 65, None),
        ("10.0.0.1", "", None),
        ("nonsense", "abc", None),
        ("10.0.0.1", "a b", None),
        ("10.0.0.1", "abc\n", None),
        ("10.0.0.1", None, None),
    ],
)
def test_a_request_id_is_kept_from_trusted_peers_only(
    full: PeerPolicy, peer: str, claimed: str | None, kept: str | None
) -> None:
    """A plain id of a trusted peer is kept, all else is dropped."""
    assert full.client_request_id(peer, claimed) == kept
