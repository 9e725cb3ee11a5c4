"""web.heads: which heads are served, and what is known of those that are not."""

from __future__ import annotations

import pytest

from ollamamax.errors import MalformedRequest
from ollamamax.web.heads import MALFORMED_PATH, OTHER_METHOD, Head, examine

HOST = (b"Host", b"gateway.test")


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"localhost",
        b"localhost:11434",
        b"localhost.",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[::1]:8080",
        b"a_b.internal",
        b"x" * 63 + b".local",
    ],
)
def test_hosts_that_are_taken(host: bytes) -> None:
    """Names, addresses and ports as RFC 9110 spells them; whether one is welcome is for others to say."""
    assert examine(b"GET / HTTP/1.1", [(b"host", host)], max_headers=10).refusal is None


@pytest.mark.parametrize(
    "host",
    [
        b"a/b",
        b"a,b",
        b"user@a",
        b"a b",
        b"a:b",
        b"a:123456",
        b"a..b",
        b".a",
        b"x" * 64,
        b"a." * 130,
        b"::1",
        b"[::1",
        b"[fe80::1%eth0]",
        b"caf\xc3\xa9",
        b"a#b",
        b"a?b",
    ],
)
def test_hosts_that_are_not(host: bytes) -> None:
    """A Host that could be read in two ways, or that no resolver takes, is no Host."""
    head = examine(b"GET /x HTTP/1.1", [(b"Host", host)], max_headers=10)
    assert isinstance(head.refusal, MalformedRequest)
    assert head.target == b"/x"


@pytest.mark.parametrize(
    ("line", "method"),
    [
        (b"", b""),
        (b"GET", b"GET"),
        (b"GET http://a/ HTTP/1.1", b"GET"),
        (b"GET * HTTP/1.1", b"GET"),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS"),
        (b"GET /a#b HTTP/1.1", b"GET"),
        (b"GET /a\\b HTTP/1.1", b"GET"),
        (b"GET  / HTTP/1.1", b"GET"),
        (b"GET /  HTTP/1.1", b"GET"),
        (b"GET / HTTP/1.1 ", b"GET"),
        (b"GET / HTTP/2.0", b"GET"),
        (b"GET / HTTP/0.9", b"GET"),
        (b"GET / RTSP/1.0", b"GET"),
        (b"GET /", b"GET"),
        (b"SOURCE / ICE/1.0", b"SOURCE"),
        (b"CONNECT a:443 HTTP/1.1", b"CONNECT"),
        (b"CONNECT / HTTP/1.1", b"CONNECT"),
    ],
)
def test_lines_that_are_refused(line: bytes, method: bytes) -> None:
    """Only an origin-form target with single spaces and HTTP/1.0 or 1.1 is served; nothing else is repeated."""
    fields = [HOST, (b"Content-Length", b"7"), (b"Expect", b"100-continue")]
    head = examine(line, fields, max_headers=10)
    assert isinstance(head.refusal, MalformedRequest)
    assert head.refusal.detail == ("CONNECT" if line == b"CONNECT / HTTP/1.1" else "request line")
    assert head == Head(method, MALFORMED_PATH, b"HTTP/1.1", fields, 0, False, False, head.refusal)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"M-SEARCH"])
@pytest.mark.parametrize("target", [b"/", b"/api/tags?x=%20&y", b"/a//b/../c", b"/!$%&'()*+,-.;=@[]^_`{|}~"])
def test_lines_that_are_served(method: bytes, target: bytes, version: bytes) -> None:
    """Method, target and version are what was sent, byte for byte."""
    fields = [HOST, (b"Accept", b"*/*")]
    head = examine(b" ".join((method, target, version)), fields, max_headers=10)
    assert head == Head(method, target, version, fields, 0, version == b"HTTP/1.1", False, None)


def test_framing() -> None:
    """The body's length: none, counted, or unknown for a chunked one."""
    assert examine(b"GET / HTTP/1.1", [HOST], max_headers=9).content_length == 0
    assert not examine(b"GET / HTTP/1.1", [HOST], max_headers=9).has_body
    sized = examine(b"POST / HTTP/1.1", [HOST, (b"CONTENT-LENGTH", b"007")], max_headers=9)
    assert (sized.content_length, sized.has_body) == (7, True)
    chunked = examine(b"POST / HTTP/1.1", [HOST, (b"Transfer-Encoding", b"Chunked")], max_headers=9)
    assert (chunked.content_length, chunked.has_body) == (None, True)


@pytest.mark.parametrize(
    ("minor", "fields", "detail"),
    [
        (b"1", [HOST, (b"Transfer-Encoding", b"gzip, chunked")], "Transfer-Encoding"),
        (b"1", [HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], "Transfer-Encoding"),
        (b"1", [HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")], "Transfer-Encoding"),
        (b"0", [HOST, (b"Transfer-Encoding", b"chunked")], "Transfer-Encoding with HTTP/1.0"),
        (b"1", [HOST, (b"Content-Length", b"1"), (b"Content-Length", b"1")], "Content-Length"),
        (b"1", [HOST, (b"Content-Length", b"0" * 20)], "Content-Length"),
        (b"1", [HOST, (b"Content-Length", b"0" * 5000)], "Content-Length"),
        (b"1", [], "one Host is needed"),
        (b"1", [HOST, HOST], "one Host is needed"),
        (b"0", [HOST, HOST], "one Host is needed"),
        (b"1", [(b"Host", b"a b")], "Host"),
        (b"0", [(b"Host", b"a b")], "Host"),
    ],
)
def test_framing_that_is_refused(minor: bytes, fields: list[tuple[bytes, bytes]], detail: str) -> None:
    """What two servers could take for two things is refused, and no body is expected; the log is told what it was."""
    head = examine(b"POST /x HTTP/1." + minor, fields, max_headers=9)
    assert isinstance(head.refusal, MalformedRequest)
    assert head.refusal.detail == detail
    assert (head.method, head.target, head.content_length) == (b"POST", b"/x", 0)


def test_framing_is_found_among_other_fields() -> None:
    """Wherever its fields stand, and however often other ones come before them."""
    other = (b"X-Other", b"1")
    fields = [other, HOST, other, other, (b"Connection", b"close"), other, (b"Content-Length", b"7"), other]
    head = examine(b"POST / HTTP/1.1", [*fields, (b"Expect", b"100-continue")], max_headers=9)
    assert head.refusal is None
    assert (head.content_length, head.keep_alive, head.expects_continue) == (7, False, True)
    smuggled = [HOST, other, (b"Transfer-Encoding", b"chunked"), other, (b"Content-Length", b"7")]
    assert isinstance(examine(b"POST / HTTP/1.1", smuggled, max_headers=9).refusal, MalformedRequest)


def test_longest_length() -> None:
    """Nineteen digits."""
    head = examine(b"POST / HTTP/1.1", [HOST, (b"Content-Length", b"9" * 19)], max_headers=9)
    assert (head.content_length, head.refusal) == (10**19 - 1, None)


def test_persistence() -> None:
    """HTTP/1.1 persists unless a `close` is among the options, in whatever field; HTTP/1.0 never does."""

    def keeps(version: bytes, *values: bytes) -> bool:
        fields = [HOST, *((b"Connection", value) for value in values)]
        return examine(b"GET / HTTP/1." + version, fields, max_headers=9).keep_alive

    assert keeps(b"1")
    assert keeps(b"1", b"keep-alive", b"closed")
    assert not keeps(b"1", b"keep-alive, Close")
    assert not keeps(b"1", b"TE,close,x")
    assert keeps(b"1", b"not close")
    assert not keeps(b"1", b"keep-alive", b"close")
    assert not keeps(b"0")
    assert not keeps(b"0", b"keep-alive")


def test_hosts_are_counted() -> None:
    """HTTP/1.1 needs one Host, HTTP/1.0 at most one."""
    assert examine(b"GET / HTTP/1.1", [], max_headers=9).refusal is not None
    assert examine(b"GET / HTTP/1.1", [HOST, HOST], max_headers=9).refusal is not None
    assert examine(b"GET / HTTP/1.0", [], max_headers=9).refusal is None
    assert examine(b"GET / HTTP/1.0", [HOST, HOST], max_headers=9).refusal is not None


def test_expectation() -> None:
    """Only 100-continue is understood, and only of HTTP/1.1."""
    fields = [HOST, (b"Expect", b"100-Continue")]
    assert examine(b"POST / HTTP/1.1", fields, max_headers=9).expects_continue
    assert not examine(b"POST / HTTP/1.0", fields, max_headers=9).expects_continue
    assert not examine(b"POST / HTTP/1.1", [HOST, (b"Expect", b"miracles")], max_headers=9).expects_continue


def test_too_many_fields() -> None:
    """One field more than allowed is a 431 of a request that is otherwise known."""
    assert examine(b"GET /x HTTP/1.1", [HOST, (b"A", b"")], max_headers=2).refusal is None
    head = examine(b"GET /x HTTP/1.1", [HOST, (b"A", b""), (b"A", b"")], max_headers=2)
    assert head.refusal is not None
    assert (head.refusal.status, head.target) == (431, b"/x")
    assert head.refusal.public_message == "the request has too many header fields"


def test_unreadable() -> None:
    """A request that never became one has a method and a path that no route and no label can confuse."""
    refusal = MalformedRequest()
    head = Head.unreadable(refusal)
    assert head == Head(OTHER_METHOD, MALFORMED_PATH, b"HTTP/1.1", (), 0, False, False, refusal)
    assert not head.has_body
