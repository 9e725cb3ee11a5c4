"""Responses read, and refused."""

from __future__ import annotations

from typing import Any

import pytest

from ollamamax.errors import NodeProtocolError
from ollamamax.relay.messages import ResponseHead
from ollamamax.relay.responses import ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"


class Sink:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heads: list[ResponseHead] = []
        self.pieces: list[bytes] = []

    def response_started(self, head: ResponseHead) -> None:
        self.heads.append(head)

    def response_data(self, data: bytes) -> None:
        self.pieces.append(data)


def read(*feeds: bytes, head_request: bool = False) -> tuple[ResponseParser, Sink]:
    """What a parser makes of bytes."""
    sink = Sink()
    parser = ResponseParser(sink, head_request=head_request)
    for feed in feeds:
        parser.feed(feed)
    return parser, sink


def test_heads() -> None:
    """Status, reason and headers come as the node wrote them, in order, however they were cut."""
    raw = OK + b"X-A: 1\r\ncontent-length: 2\r\nX-A: 2\r\n\r\nhi"
    for feeds in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        parser, sink = read(*feeds)
        assert sink.heads == [ResponseHead(200, b"OK", ((b"X-A", b"1"), (b"content-length", b"2"), (b"X-A", b"2")))]
        assert b"".join(sink.pieces) == b"hi"
        assert (parser.complete, parser.reusable, parser.until_close) == (True, True, False)


def test_every_recording_is_read(recorded: dict[tuple[str, str], Any]) -> None:
    """All recorded responses of both versions are complete, and not to be used again, as they were asked to close."""
    for exchange in recorded.values():
        head_request = exchange.request.startswith(b"HEAD ")
        parser, sink = read(*exchange.reads, head_request=head_request)
        assert parser.complete, exchange.name
        assert not parser.reusable
        assert len(sink.heads) == 1


def test_one_call_per_chunk() -> None:
    """A chunk that arrived whole is one piece; one that did not is given at once, in parts."""
    _, sink = read(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n3\r\nd", b"ef\r\n0\r\n\r\n")
    assert sink.pieces == [b"a", b"bc", b"d", b"ef"]


@pytest.mark.parametrize(
    ("raw", "reusable"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\n\r\nX", False),
        (OK + b"Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nabc", False),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n", True),
    ],
)
def test_reuse(raw: bytes, reusable: bool) -> None:
    """A connection is used again only when nothing is wrong with it and not a byte too much came."""
    parser, sink = read(raw)
    assert parser.complete
    assert parser.reusable is reusable
    assert len(sink.heads) == 1
    assert all(name != b"X-Trailer" for name, _ in sink.heads[0].headers)


def test_informational_responses_are_skipped() -> None:
    """A 100 or 103 is not the answer."""
    parser, sink = read(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na"
    )
    assert parser.complete
    assert sink.heads == [ResponseHead(200, b"OK", ((b"Content-Length", b"1"),))]
    parser, sink = read(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not parser.started


def test_responses_to_head() -> None:
    """A HEAD's response ends with its head, whatever that announces; what follows is not read."""
    for headers in (b"Content-Length: 17\r\n", b"Transfer-Encoding: chunked\r\n", b""):
        parser, sink = read(OK + headers + b"\r\n", head_request=True)
        assert (parser.complete, parser.reusable) == (True, False)
        parser.feed(b"garbage of a node that sends a body")
        assert sink.pieces == []


def test_until_close() -> None:
    """Without length and chunks the body lasts as long as the connection."""
    parser, sink = read(OK + b"\r\n", b"abc", b"def")
    assert (parser.complete, parser.until_close) == (False, True)
    assert sink.pieces == [b"abc", b"def"]


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"SSH-2.0-x\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc",
        OK + b"X : 1\r\n\r\n",
        OK + b"A: 1\r\n B: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        OK + b"X: " + b"x" * 70_000,
        OK + b"X: 1\r\n" * 101 + b"\r\n",
        OK + b"X: " + b"x" * 40_000 + b"\r\nY: " + b"y" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 140_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"x" * 140_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 1\r\n" * 200,
    ],
    ids=lambda raw: raw[:70].decode("latin-1"),
)
def test_refused(raw: bytes) -> None:
    """What is no acceptable HTTP/1.1 response is refused, fed whole or in small parts."""
    with pytest.raises(NodeProtocolError):
        read(*[raw[i : i + 65536] for i in range(0, len(raw), 65536)])
    with pytest.raises(NodeProtocolError):
        read(*[raw[i : i + 999] for i in range(0, len(raw), 999)])


def test_a_sinks_own_failure_is_not_the_nodes() -> None:
    """An exception of the receiver comes out as itself."""

    class Bad(Sink):
        def response_data(self, data: bytes) -> None:
            raise KeyError("mine")

    parser = ResponseParser(Bad(), head_request=False)
    with pytest.raises(KeyError):
        parser.feed(OK + b"Content-Length: 1\r\n\r\na")


def test_silence() -> None:
    """A silenced sink hears nothing more, in the middle of a feed too."""

    class Once(Sink):
        def response_data(self, data: bytes) -> None:
            super().response_data(data)
            parser.silence()

    sink = Once()
    parser = ResponseParser(sink, head_request=False)
    parser.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert sink.pieces == [b"a"]
