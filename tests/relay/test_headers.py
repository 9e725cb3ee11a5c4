"""Which headers pass."""

from __future__ import annotations

import pytest

from ollamamax.relay import headers


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Expect",
        "Accept-Encoding",
        "Authorization",
        "X-Api-Key",
        "Cookie",
        "Origin",
        "Referer",
        "Forwarded",
        "X-Forwarded-For",
        "X-FORWARDED-HOST",
        "X-Real-IP",
        "HTTP2-Settings",
    ],
)
def test_what_no_node_gets(name: str) -> None:
    """Hop-by-hop headers, credentials and what tells of the client never reach a node, in whatever case."""
    kept = (b"Accept", b"*/*")
    for spelling in (name, name.lower(), name.upper()):
        assert headers.to_node([(spelling.encode(), b"x"), kept]) == (kept,)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Transfer-Encoding",
        "Trailer",
        "Upgrade",
        "Server",
        "Date",
        "Set-Cookie",
        "X-Request-Id",
    ],
)
def test_what_no_client_gets(name: str) -> None:
    """What a node says of the connection and of itself never reaches a client."""
    kept = (b"content-length", b"3")
    assert headers.to_client([(name.encode(), b"x"), kept]) == (kept,)


def test_headers_that_connection_names_are_dropped() -> None:
    """What a Connection header lists is hop-by-hop too; framing cannot be taken away like that."""
    given = [(b"Connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"Connection", b"Content-Length"), (b"X-Go", b"2")]
    assert headers.to_node(given) == ((b"X-Go", b"2"),)
    assert headers.to_client([*given, (b"Content-Length", b"3")]) == ((b"X-Go", b"2"), (b"Content-Length", b"3"))


def test_what_connection_cannot_take_away() -> None:
    """The body's length and type are of the message; names may stand without a space between them."""
    given = [(b"Connection", b"close,X-Hop,Content-Type,content-length,X-Other"), (b"X-Other", b"1"), (b"X-HOP", b"1")]
    kept = ((b"Content-Type", b"application/json"), (b"Content-Length", b"3"))
    assert headers.to_client([*given, *kept]) == kept
    assert headers.to_node([*given, kept[0]]) == kept[:1]


def test_the_rest_passes_unchanged() -> None:
    """Order, case, repetition and values of all other headers are kept."""
    given = ((b"content-TYPE", b"application/json"), (b"X-A", b"1"), (b"X-A", b"2"), (b"User-Agent", b"ollama/1"))
    assert headers.to_node(given) == given
    assert headers.to_client(given) == given
