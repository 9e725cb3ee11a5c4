"""Server-sent events out of bytes."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.bodies import selectable, split_at

from ollamamax.relay.events import EventFraming, fields

LINES = st.sampled_from(
    [b"data: a", b"data: \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", b"event: x", b": ping", b"data:", b"\rx", b"id"]
)
ENDS = st.sampled_from([b"\n", b"\r\n"])
EVENTS = st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=3).flatmap(
    lambda lines: ENDS.map(lambda end: b"".join(line + end for line, end in lines) + end)
)


@given(
    st.lists(EVENTS, max_size=6), st.sampled_from([b"", b"d", b"data: x", b"data: x\n", b"data: x\r\n\r"]), st.data()
)
def test_any_split_gives_the_same_events(events: list[bytes], rest: bytes, data: st.DataObject) -> None:
    """However bytes arrive, events end at blank lines; whole ones go on at once, the unfinished one is held."""
    text = b"".join(events) + rest
    framing = EventFraming()
    found: list[bytes] = []
    gone = b""
    for piece in split_at(text, data.draw(st.lists(st.integers(0, len(text)), max_size=20))):
        gone += framing.feed(piece)
        found += framing.complete
        assert gone == b"".join(found)
    assert found == events
    assert (framing.rest(), framing.held(), framing.mid_event) == (rest, rest, False)


def test_every_cut_inside_of_a_character() -> None:
    """A character cut in two arrives as it was."""
    event = "data: é€😀\r\n\r\n".encode()
    for cut in range(len(event)):
        framing = EventFraming()
        assert framing.feed(event[:cut]) == b""
        assert framing.feed(event[cut:]) == event
        assert framing.complete == [event]


@pytest.mark.parametrize("data", [b"data: a\n\n", b"data: a\n\ndata: b\n\n", b"data: a\r\n\r\n", b"data: a\n\n" * 500])
def test_whole_events_are_not_copied(data: bytes) -> None:
    """A read that ends an event, with nothing held, goes on as the same object: several events are one piece."""
    framing = EventFraming()
    assert framing.feed(data) is data
    assert b"".join(framing.complete) == data
    assert framing.feed(data) is data


def test_several_events_and_a_half() -> None:
    """Of one read the whole events go on, in one piece, and the half one with what completes it."""
    framing = EventFraming()
    assert framing.feed(b"data: a\n\ndata: b\n\ndata: ") == b"data: a\n\ndata: b\n\n"
    assert (framing.complete, framing.held()) == ([b"data: a\n\n", b"data: b\n\n"], b"data: ")
    assert framing.feed(b"c\n\n: ping\n\nd") == b"data: c\n\n: ping\n\n"
    assert (framing.complete, framing.held()) == ([b"data: c\n\n", b": ping\n\n"], b"d")


def test_empty_reads_and_blank_lines() -> None:
    """Blank lines without an event go on with what follows them."""
    framing = EventFraming()
    assert framing.feed(b"") == b""
    assert framing.feed(b"data: a\n\n\n") == b"data: a\n\n"
    assert framing.feed(b"data: b\n\n") == b"\ndata: b\n\n"
    assert framing.complete == [b"\ndata: b\n\n"]
    assert framing.feed(b"data: c\n\r\n\n") == b"data: c\n\r\n"
    assert framing.complete == [b"data: c\n\r\n"]


# Long events.


def test_an_event_of_the_limit_is_held() -> None:
    """Exactly so many bytes are held; with one more all go on, what follows as it comes."""
    framing = EventFraming(max_held_bytes=10)
    assert (framing.feed(b"data: 6789"), framing.mid_event) == (b"", False)
    assert (framing.feed(b"x"), framing.mid_event) == (b"data: 6789x", True)
    assert (framing.held(), framing.rest()) == (b"", b"data: 6789x")
    assert framing.feed(b"yz") == b"yz"
    assert framing.feed(b"\n\ndata: b\n\ndata: c") == b"\n\ndata: b\n\n"
    assert framing.complete == [b"data: 6789xyz\n\n", b"data: b\n\n"]
    assert (framing.held(), framing.mid_event) == (b"data: c", False)


def test_a_long_event_in_one_read_with_others() -> None:
    """An event of any length goes on whole where it came whole; an unfinished long one behind it as far as it came."""
    framing = EventFraming(max_held_bytes=10)
    long = b"data: " + b"x" * 50 + b"\n\n"
    assert framing.feed(long + long[:30]) == long + long[:30]
    assert framing.mid_event
    assert framing.feed(long[30:]) == long[30:]
    assert framing.complete == [long]


@pytest.mark.parametrize("cuts", [[], [5], [2999], list(range(0, 9000, 7)), [8999, 9000, 9001, 9002, 9003, 9004]])
def test_an_event_that_is_too_long_to_be_read(cuts: list[int]) -> None:
    """All of it goes on, its beginning is given out as an event, and the events behind it are read again."""
    text = b"event: x\ndata: " + b"y" * 8987 + b"\n\n"
    framing = EventFraming(max_event_bytes=3000, max_held_bytes=100)
    found: list[bytes] = []
    gone = b""
    for piece in split_at(text + b"data: a\n\n", cuts):
        gone += framing.feed(piece)
        found += framing.complete
    assert gone == text + b"data: a\n\n"
    assert found == [text[:1024] + b"\n\n", b"data: a\n\n"]


def test_what_is_kept_of_a_long_event_is_bounded() -> None:
    """A node that never ends an event fills no memory, and its beginning is what is read of it."""
    framing = EventFraming(max_event_bytes=4096, max_held_bytes=100)
    piece = b"x" * 1000
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert framing.feed(piece) == piece
        assert tracemalloc.get_traced_memory()[1] < 65536
    finally:
        tracemalloc.stop()
    assert framing.rest() == b"x" * 1024
    assert framing.held() == b""


def test_byte_by_byte_takes_linear_time() -> None:
    """Four times the bytes take less than ten times as long: nothing is copied or searched over and over."""

    def fed(size: int) -> float:
        framing = EventFraming()
        began = time.process_time()
        for _ in range(size):
            framing.feed(b"x")
        framing.feed(b"\n\n")
        assert framing.complete == [b"x" * size + b"\n\n"]
        return time.process_time() - began

    fed(1000)
    assert fed(80_000) < 10 * max(fed(20_000), 0.01)


# Edited ones.


def shouted(event: bytes) -> bytes:
    """An edit that shows: one event is left out, the others are in capitals."""
    return b"" if b"out" in event else event.upper()


@given(st.lists(st.integers(0, 60), max_size=10))
def test_edits_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    """Each event is edited by itself; those given out for reading are as they came."""
    events = [b"data: a\n\n", b"data: out\n\n", b"data: out\n\n", b"data: b\r\n\r\n", b"data: c\n\n"]
    framing = EventFraming(shouted)
    found: list[bytes] = []
    gone = b""
    for piece in split_at(b"".join(events), cuts):
        gone += framing.feed(piece)
        found += framing.complete
    assert gone == b"DATA: A\n\nDATA: B\r\n\r\nDATA: C\n\n"
    assert found == events


def test_an_event_that_went_on_in_part_is_not_edited() -> None:
    """The next one is."""
    framing = EventFraming(shouted, max_held_bytes=10)
    assert framing.feed(b"data: abcdefg") == b"data: abcdefg"
    assert framing.feed(b"h\n\ndata: b\n\n") == b"h\n\nDATA: B\n\n"


# What is in an event.


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (b"data: {}\n\n", b"", b"{}"),
        (b"data:{}\n\n", b"", b"{}"),
        (b"data:  {}\r\n\r\n", b"", b" {}"),
        (b"event: x\ndata: {}\n\n", b"x", b"{}"),
        (b"data: {}\nevent:x\r\n\r\n", b"x", b"{}"),
        (b"event: x\nevent: y\ndata: a\n: ping\ndata: b\nid: 7\n\n", b"y", b"a\nb"),
        (b": ping\n\n", b"", b""),
        (b"data\nevent\n\n", b"", b""),
        (b"\ndata: a", b"", b"a"),
        (b"dat: a\n\n", b"", b""),
        (b"", b"", b""),
    ],
    ids=selectable,
)
def test_fields(event: bytes, name: bytes, data: bytes) -> None:
    """Names, data of several lines, comments, as HTML says."""
    assert fields(event) == (name, data)
