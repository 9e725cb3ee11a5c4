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
    b"\nGET /lf HTTP/1.1\r\n" + HOST + b"X: XaX \t\r\n\r\n",
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
    """All messages of the corpus are complete, with the lines that they begin with and the bodies of their framing."""
    heard = parse([b"".join(CORPUS)])
    assert [m.ended for m in heard.messages] == [True] * len(CORPUS)
    assert [m.head.refusal for m in heard.messages] == [None] * len(CORPUS)
    lines = [line for message in CORPUS for line in message.split(b"\r\n") if line.endswith(b" HTTP/1.1")]
    heads = [m.head for m in heard.messages]
    assert [b" ".join((head.method, head.target, head.version)) for head in heads] == [line.lstrip() for line in lines]
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
        b"",
    ]


@pytest.mark.parametrize("first", CORPUS)
def test_two_cuts_anywhere_do_not_matter(first: bytes) -> None:
    """Wherever two messages are cut in two places, the second one begins where the first one ends."""
    data = first + CORPUS[0]
    whole = outcome(parse([data]))
    assert len(whole) == 2
    for one in range(len(data)):
        for other in (*range(one, one + 5), (one + len(data)) // 2):
            assert outcome(parse([data[:one], data[one:other], data[other:]])) == whole


def test_fields_are_given_as_they_came() -> None:
    """In their order, the names as they were spelt; the white space around a value is none of it."""
    data = b"GET / HTTP/1.1\r\n" + HOST + b"ACCEPT:\t*/* \t\r\nX:XaX\r\nX:\r\nx: a  b\r\n\r\n"
    for size in (len(data), 1, 7):
        (message,) = parse([data[start : start + size] for start in range(0, len(data), size)]).messages
        assert message.head.fields == [
            *((b"Host", b"a"), (b"ACCEPT", b"*/*"), (b"X", b"XaX"), (b"X", b""), (b"x", b"a  b")),
        ]


def test_empty_lines_begin_no_request() -> None:
    """A connection over which only line ends came is idle still."""
    listener = Listener()
    parser = RequestParser(listener, max_head_bytes=1024, max_headers=20)
    for piece in (b"\r\n", b"\n", b"\r", b"\n\r\n"):
        assert parser.feed(piece) == len(piece)
        assert parser.phase is Phase.START
    parser.feed(b"G")
    assert parser.phase is Phase.HEAD


@pytest.mark.parametrize(
    ("data", "phase"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"\r", Phase.HEAD),
        (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", Phase.ENDED),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\na", Phase.BODY),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1", Phase.CHUNKS),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", Phase.STOPPED),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Phase.STOPPED),
        (b"nonsense\r\n", Phase.STOPPED),
    ],
)
def test_phases(data: bytes, phase: Phase) -> None:
    """Where the parser stands is known to those who wait for bytes: a refused head and a fault stop it for ever."""
    parser = RequestParser(Listener(), max_head_bytes=1024, max_headers=20)
    parser.feed(data)
    assert parser.phase is phase


_CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (_CHUNKED + b"\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", "trailers"),
        (
            _CHUNKED + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
            "trailers",
        ),
        (_CHUNKED + b"\r\n5\r\nhello\r\nZ\r\n", "Invalid character in chunk size"),
    ],
)
def test_bodies_that_break(data: bytes, detail: str) -> None:
    """A fault in a body breaks its message, which never ends; the log is told what it was, however it was cut."""

    class Witness(Listener):
        details: tuple[str, ...] = ()

        def message_broken(self, error: GatewayError) -> None:
            super().message_broken(error)
            self.details += (error.detail,)

    for size in (len(data), 1, 5):
        listener = Witness()
        parser = RequestParser(listener, max_head_bytes=1024, max_headers=20)
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])
        assert [(m.body, m.ended, m.broken) for m in listener.messages] == [(b"hello", False, "malformed_request")]
        assert listener.details == (detail,)


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


@pytest.mark.parametrize("length", [127, 128, 129])
def test_longest_head(length: int) -> None:
    """A head of exactly the limit is taken, one of a byte more is not."""
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    head = start + b"x" * (length - len(start) - 4) + b"\r\n\r\n"
    assert len(head) == length
    for cut in range(length):
        heard = parse([head[:cut], head[cut:]], max_head_bytes=128)
        assert [m.ended for m in heard.messages] == ([True] if length <= 128 else [])
        assert heard.unreadable == ([] if length <= 128 else ["head_too_large"])


def test_each_head_has_the_whole_limit() -> None:
    """What an earlier message took of it, or its body, counts for nothing."""
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n"
    heard = parse([(head + b"x" * 100) * 3], max_head_bytes=len(head))
    assert [m.ended for m in heard.messages] == [True] * 3
    assert heard.unreadable == []


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
