"""web.parsing: messages out of bytes, however the bytes are cut."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.errors import GatewayError
from ollamamax.web.heads import Head
from ollamamax.web.parsing import Phase, RequestParser


@attrs.define
class Message:
    """What was heard of one message."""

    head: Head
    body: bytes = b""
    ended: bool = False
    broken: str = ""


class Listener:
    """Keeps what the parser reports."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.unreadable: list[str] = []

    def head_received(self, head: Head) -> None:
        self.messages.append(Message(head))

    def body_received(self, data: bytes) -> None:
        assert data
        self.messages[-1].body += data

    def message_ended(self) -> None:
        self.messages[-1].ended = True

    def message_broken(self, error: GatewayError) -> None:
        if self.messages and not self.messages[-1].ended:
            self.messages[-1].broken = error.code
        else:
            self.unreadable.append(error.code)


def parse(pieces: list[bytes], *, max_head_bytes: int = 1024) -> Listener:
    """Feeds pieces as a connection does: on and on, message after message."""
    listener = Listener()
    parser = RequestParser(listener, max_head_bytes=max_head_bytes, max_headers=20)
    for piece in pieces:
        rest = piece
        while rest and parser.phase is not Phase.STOPPED:
            rest = rest[parser.feed(rest) :]
            if parser.phase is Phase.ENDED:
                parser.next()
    return listener


def outcome(listener: Listener) -> tuple[object, ...]:
    """What was heard, comparable."""
    heads = [
        (
            *(m.head.method, m.head.target, m.head.version, tuple(m.head.fields)),
            *(m.head.content_length, m.head.keep_alive, m.head.refusal and m.head.refusal.code),
            *(m.body, m.ended, m.broken),
        )
        for m in listener.messages
    ]
    return (*heads, *listener.unreadable)


HOST = b"Host: a\r\n"
CORPUS = [
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\r\n\r\nGET /a?b=c HTTP/1.1\r\n" + HOST + b"Accept:\r\nX-Long: " + b"v" * 200 + b"\r\n\r\n",
    b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\nhello\r\n\r\nab",
    b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    b"POST /c HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
    b"POST /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /u HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /u HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /u HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\n" + HOST + b"\r\n",
]
LAST = [
    b"",
    b"GET /1.0 HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /0.9\r\nGET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 2000,
    b"POST /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZ\r\n",
    b"POST /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
]


@given(
    messages=st.lists(st.sampled_from(CORPUS), max_size=5),
    last=st.sampled_from(LAST),
    cuts=st.lists(st.integers(0, 4000), max_size=12),
    everywhere=st.booleans(),
)
def test_cuts_do_not_matter(messages: list[bytes], last: bytes, cuts: list[int], everywhere: bool) -> None:
    """Whole or in pieces, down to single bytes, the same bytes are the same messages and the same refusals."""
    data = b"".join(messages) + last
    places = range(len(data) + 1) if everywhere else sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in zip(places, list(places)[1:], strict=False)]
    assert outcome(parse(pieces)) == outcome(parse([data]))


def test_corpus_is_served() -> None:
    """All messages of the corpus are complete, with the bodies that their framing says."""
    heard = parse([b"".join(CORPUS)])
    assert [m.ended for m in heard.messages] == [True] * len(CORPUS)
    assert [m.head.refusal for m in heard.messages] == [None] * len(CORPUS)
    assert [m.body for m in heard.messages] == [
        b"",
        b"",
        b"hello\r\n\r\nab",
        b"",
        b"hello" + b"\r\n" * 5,
        b"",
        b"abc",
        b"abc",
        b"",
        b"",
    ]


def test_never_beyond_a_message() -> None:
    """What follows a message is left to the caller until `next`."""
    listener = Listener()
    parser = RequestParser(listener, max_head_bytes=1024, max_headers=20)
    first = CORPUS[4]
    data = first + CORPUS[0]
    assert parser.feed(data) == len(first)
    assert parser.feed(CORPUS[0]) == 0
    assert len(listener.messages) == 1
    parser.next()
    assert parser.feed(CORPUS[0]) == len(CORPUS[0])
    assert len(listener.messages) == 2


@pytest.mark.parametrize("length", [1023, 1024, 1025])
def test_longest_head(length: int) -> None:
    """A head of exactly the limit is taken, one of a byte more is not."""
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    head = start + b"x" * (length - len(start) - 4) + b"\r\n\r\n"
    assert len(head) == length
    heard = parse([head])
    assert [m.ended for m in heard.messages] == ([True] if length <= 1024 else [])
    assert heard.unreadable == ([] if length <= 1024 else ["head_too_large"])


def test_stopped_by_the_receiver() -> None:
    """A receiver that stops the parser at the head hears neither of a body nor of an end."""

    class Stopper(Listener):
        def head_received(self, head: Head) -> None:
            super().head_received(head)
            parser.stop()

    listener = Stopper()
    parser = RequestParser(listener, max_head_bytes=1024, max_headers=20)
    parser.feed(CORPUS[2])
    parser.feed(CORPUS[2])
    assert [(m.body, m.ended) for m in listener.messages] == [(b"", False)]


def test_stopped_within_a_body() -> None:
    """A receiver that stops the parser at a piece of the body does not hear of the fault that comes after it."""

    class Stopper(Listener):
        def body_received(self, data: bytes) -> None:
            super().body_received(data)
            parser.stop()

    listener = Stopper()
    parser = RequestParser(listener, max_head_bytes=1024, max_headers=20)
    parser.feed(LAST[-2])
    assert [(m.body, m.ended, m.broken) for m in listener.messages] == [(b"hello", False, "")]
