"""Addresses of nodes: what is read from a URL, and what is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.address import InvalidAddress, NodeAddress, is_dialable

URL = "expected a URL like http://127.0.0.1:11434"
REFUSED = "link-local, multicast, metadata and unspecified addresses are refused"


@pytest.mark.parametrize(
    ("url", "expected", "authority"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434", b"127.0.0.1:11434"),
        ("http://localhost", "http://localhost:80", b"localhost:80"),
        ("https://gpu.example.org/", "https://gpu.example.org:443", b"gpu.example.org:443"),
        ("http://gpu/ollama/", "http://gpu:80/ollama", b"gpu:80"),
        ("http://[::1]:11434", "http://[::1]:11434", b"[::1]:11434"),
        ("http://[FD00:0::1]", "http://[fd00::1]:80", b"[fd00::1]:80"),
        ("HTTP://GPU-1:1", "http://gpu-1:1", b"gpu-1:1"),
        ("http://münchen.de:8080", "http://xn--mnchen-3ya.de:8080", b"xn--mnchen-3ya.de:8080"),
        ("http://gpu/größe", "http://gpu:80/gr%C3%B6%C3%9Fe", b"gpu:80"),
        ("http://gpu/a%20b/~x;v=1/X//", "http://gpu:80/a%20b/~x;v=1/X", b"gpu:80"),
        ("http://my_node.lan.:1", "http://my_node.lan.:1", b"my_node.lan.:1"),
    ],
)
def test_url(url: str, expected: str, authority: bytes) -> None:
    """What is connected to, what the Host header says and what paths are appended to, all in ASCII."""
    address = NodeAddress.from_url(url)
    assert address.url == expected
    assert address.authority == authority


def test_parts() -> None:
    """A URL's parts stand apart, brackets and slashes off."""
    assert NodeAddress.from_url("https://[::1]:8443/a/b/") == NodeAddress("https", "::1", 8443, "/a/b")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", URL),
        ("gpu:11434", URL),
        ("ftp://gpu", URL),
        ("http://", URL),
        ("http://:80", URL),
        ("http://gpu:abc", "Port"),
        ("http://gpu:65536", "Port"),
        ("http://gpu:0", "port 0 is no port to connect to"),
        ("http://user@gpu", "must not hold a user name or a password"),
        ("http://:secret@gpu", "must not hold a user name or a password"),
        ("http://gpu?x=1", "must not have a query or a fragment"),
        ("http://gpu?", "must not have a query or a fragment"),
        ("http://gpu#x", "must not have a query or a fragment"),
        ("http://gpu /x", "must not hold white space"),
        ("http://g\tpu", "must not hold white space"),
        ("http://gpu\x00", "must not hold white space"),
        ("http://gpu\\x", "the host is neither a name nor an address"),
        ("http://a..b", "the host is neither a name nor an address"),
        ("http://" + "é" * 70, "the host is no name that DNS knows"),
        ("http://[::1", "Invalid IPv6"),
        ("http://[v1.x:y]", "the host is no IPv6 address"),
        ("http://[fd00::1%25eth0]", "must not hold an IPv6 zone"),
        ("http://169.254.169.254", REFUSED),
        ("http://[fe80::1]", REFUSED),
        ("http://2852039166", REFUSED),
        ("http://0.0.0.0:11434", REFUSED),
    ],
)
def test_refused_url(url: str, why: str) -> None:
    """What is no plain URL of an address that may be dialled is refused, and the text says why."""
    with pytest.raises(InvalidAddress) as caught:
        NodeAddress.from_url(url)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.43518",
        "169.16689662",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd00:ec2::254%eth0",
        "100.100.100.200",
        "192.0.0.192",
        "0.0.0.0",
        "0",
        "::",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_address_that_is_never_dialled(host: str) -> None:
    """Link-local, metadata, multicast and unspecified addresses, whichever way they are written."""
    assert not is_dialable(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "::1", "10.0.0.4", "100.64.0.7", "fd00::1", "gpu", "a.b", "1:2"]
)
def test_address_that_may_be_dialled(host: str) -> None:
    """Loopback, private networks and names are where nodes are."""
    assert is_dialable(host)


@given(st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_no_spelling_of_a_link_local_address_passes(address: ipaddress.IPv4Address) -> None:
    """The address as one number, in hexadecimal, or inside an IPv6 address is the same address."""
    number = int(address)
    for host in (str(address), str(number), hex(number), f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}"):
        assert not is_dialable(host)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Settings may hold anything: an address in ASCII comes out, or the one error."""
    try:
        address = NodeAddress.from_url(f"http://{text}")
    except InvalidAddress:
        return
    assert address.url.isascii()
    assert NodeAddress.from_url(address.url) == address
