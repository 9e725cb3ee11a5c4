"""Every recorded inference, whole and cut in every way, against the table of what a person reads in it."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay.bodies import Body, split_at
from relay.recorded_verdicts import (
    COMPLETIONS,
    MEASURED,
    PATHS,
    READ,
    RESPONSES,
    STREAMS,
    TABLE,
    V1_CHAT,
    Told,
)

from ollamamax.relay.answers import Answer
from ollamamax.relay.ending import ending
from ollamamax.relay.passage import Passage, passage_of
from ollamamax.relay.usage import NO_USAGE
from ollamamax.relay.verdict import Verdict

Key = tuple[str, str]

_COUNTS = re.compile(rb'"(prompt_eval_count|eval_count|(?:prompt|completion|input|output)_tokens)":\d+')
_DURATIONS = re.compile(rb'"(\w+_duration)":\d+')

each_read = pytest.mark.parametrize("key", READ, ids=lambda key: f"{key[1]}-{key[0]}")


@attrs.frozen
class Case:
    """One recorded answer and what it tells.

    Attributes:
        answer: what its body is made of.
        told: the table's line.
        body: the recorded response.
    """

    answer: Answer
    told: Told
    body: Body

    @property
    def data(self) -> bytes:
        """The body in one piece."""
        return b"".join(self.body.pieces)

    @property
    def is_native(self) -> bool:
        """Whether it is of Ollama's own API."""
        return self.answer.value in ("chat", "generate", "embed", "embeddings")

    def passage(self, *, drops_usage: bool = False) -> Passage:
        """The way of the answer through the gateway."""
        head = self.body.head
        return passage_of(
            self.answer,
            streaming=self.told.streaming,
            drops_usage=drops_usage,
            status=head.status,
            content_type=head.first(b"content-type") or b"",
            sized=head.first(b"content-length") is not None,
        )

    def first_content_ends(self, data: bytes) -> int | None:
        """Where the line or event ends with which the first content comes: how many bytes have come by then."""
        if self.told.first is None:
            return None
        ends = [match.end() for match in re.finditer(rb"\n" if self.is_native else rb"\n\r?\n", data)]
        return ends[self.told.first]


class Cases:
    """The case of each line of the table; told in few words where an example is."""

    def __init__(self, recorded: dict[Key, Any]) -> None:
        self._recorded = recorded

    def __getitem__(self, key: Key) -> Case:
        exchange = self._recorded[key]
        path = exchange.request.split(b" ", 2)[1].decode()
        return Case(PATHS[path], TABLE[key], Body(exchange.raw))


@pytest.fixture(scope="module")
def cases(recorded: dict[Key, Any]) -> Cases:
    """All of them."""
    return Cases(recorded)


def passed(passage: Passage, pieces: list[bytes]) -> tuple[bytes, Verdict]:
    """What goes on of pieces that come at 0.0, 1.0, 2.0…, and the verdict."""
    gone = b"".join(passage.feed(piece, float(now)) for now, piece in enumerate(pieces))
    last, verdict = passage.finish(float(len(pieces)))
    assert verdict is not None
    return gone + last, verdict


def assert_told(case: Case, pieces: list[bytes], verdict: Verdict) -> None:
    """A verdict on pieces is the table's line: the first token comes with the piece that ends its line or event."""
    told = case.told
    assert (verdict.outcome, verdict.loaded) == (told.outcome, told.loaded)
    assert verdict.usage == told.usage
    assert verdict.error == (told.outcome == "stream_error")
    assert verdict.done == (told.outcome in ("success", "length"))
    assert (verdict.mid_line, verdict.cut) == (False, False) or not told.streaming or told.loaded
    end = case.first_content_ends(b"".join(pieces))
    if end is None:
        assert verdict.first_token_at is None
    else:
        comes_with = next(at for at, size in enumerate(accumulate(map(len, pieces))) if size >= end)
        assert verdict.first_token_at == float(comes_with)


def test_every_recorded_inference_is_in_the_table(recorded: dict[Key, Any]) -> None:
    """Whatever real servers answered to a request for inference has a line, errors too."""
    asked = {key: each.request.split(b" ", 2)[:2] for key, each in recorded.items()}
    inferences = {key for key, (method, path) in asked.items() if method == b"POST" and path.decode() in PATHS}
    assert inferences == TABLE.keys()


@each_read
def test_recorded_answers(key: Key, cases: Cases) -> None:
    """Every recorded answer passes unchanged, piece by piece, and means what a person reads in it."""
    case = cases[key]
    passage = case.passage()
    for now, piece in enumerate(case.body.pieces):
        assert passage.feed(piece, float(now)) is piece
    last, verdict = passage.finish(99.0)
    assert verdict is not None
    assert last == b""
    assert_told(case, case.body.pieces, verdict)
    end = ending(200, case.answer, verdict, None, streaming=passage.streaming, sized=False)
    assert end.outcome == case.told.outcome
    assert passage.resized is False
    if case.answer is RESPONSES and case.told.streaming:
        assert verdict.next_number == len(case.body.pieces)


@each_read
def test_whole_byte_by_byte_and_in_between(key: Key, cases: Cases) -> None:
    """Also where several events come in one read, and where each byte comes alone."""
    case = cases[key]
    data = case.data
    for size in (1, 7, 61, max(1, len(data))):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        gone, verdict = passed(case.passage(), pieces)
        assert gone == data
        assert_told(case, pieces, verdict)


@settings(max_examples=100)
@given(key=st.sampled_from(READ), drops_usage=st.booleans(), data=st.data())
def test_cut_at_random(key: Key, drops_usage: bool, cases: Cases, data: st.DataObject) -> None:
    """Neither what goes on nor what it means depends on where an answer was cut on its way."""
    case = cases[key]
    whole = case.data
    pieces = split_at(whole, data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    gone, verdict = passed(case.passage(drops_usage=drops_usage), pieces)
    assert_told(case, pieces, verdict)
    if drops_usage and case.told.streaming and case.answer in (V1_CHAT, COMPLETIONS):
        assert b'"usage"' not in gone
    else:
        assert gone == whole


def test_lines_that_end_in_crlf(cases: Cases) -> None:
    """A proxy's line ends change nothing, whole, byte by byte and with the CR and its LF apart."""
    for key in STREAMS:
        case = cases[key]
        data = case.data.replace(b"\n", b"\r\n")
        apart = re.split(rb"(?<=\r)(?=\n)", data)
        for pieces in ([data], [data[at : at + 1] for at in range(len(data))], apart):
            gone, verdict = passed(case.passage(), pieces)
            assert gone == data
            assert_told(case, pieces, verdict)


def test_characters_of_several_bytes(cases: Cases) -> None:
    """Where a read ends inside of one, the text is the same as ever."""
    for key in STREAMS:
        case = cases[key]
        data = case.data.replace(b" river", " Flüsse 川 🌊".encode()).replace(b"the", "é".encode())
        pieces = [data[at : at + 1] for at in range(len(data))]
        gone, verdict = passed(case.passage(), pieces)
        assert gone == data
        assert_told(case, pieces, verdict)


def test_long_lines(cases: Cases) -> None:
    """A line of more than is held, that comes in reads of 64 KiB: nothing behind it is missed."""
    for key in STREAMS:
        case = cases[key]
        stop = case.data.index(b"\n" if case.is_native else b"\n\n") + (1 if case.is_native else 2)
        before, after = case.data[:stop], case.data[stop:]
        filling = b'{"x":"' + b"y" * 600_000 + b'","done":false}\n'
        data = before + (filling if case.is_native else b"data: " + filling + b"\n") + after
        told = case.told
        if told.first:
            case = attrs.evolve(case, told=attrs.evolve(told, first=told.first + 1))
        pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
        gone, verdict = passed(case.passage(), pieces)
        assert gone == data
        assert_told(case, pieces, attrs.evolve(verdict, mid_line=False))


def test_a_stream_cut_anywhere(cases: Cases) -> None:
    """Of a stream that ends anywhere it is known that it is not whole; of events, whole ones have gone on."""
    for key in STREAMS:
        case = cases[key]
        data = case.data
        size = len(data)
        last = 2 if case.is_native else 3
        # Everywhere in the last bytes, and here and there in the last event and before it.
        for cut in (*range(0, size - 1200, 97), *range(size - 1200, size - 60, 7), *range(size - 60, size - last + 1)):
            text = data[: max(cut, 0)]
            gone, verdict = passed(case.passage(), [text])
            assert (verdict.outcome, verdict.done) == ("incomplete", False)
            if case.is_native:
                assert gone == text
                assert verdict.mid_line == (not text.endswith(b"\n") and text != b"")
            else:
                assert gone == text[: text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0]
                assert verdict.mid_line is False


def test_recorded_refusals(cases: Cases) -> None:
    """An error passes unread, and its status says what it counts as."""
    for key in TABLE.keys() - set(READ):
        case = cases[key]
        passage = case.passage()
        assert b"".join(passage.feed(piece, 0.0) for piece in case.body.pieces) == case.data
        assert passage.finish(0.0) == (b"", None)
        end = ending(case.body.head.status, case.answer, None, None, streaming=passage.streaming, sized=False)
        assert (end.outcome, case.told.usage) == (case.told.outcome, NO_USAGE)


# Final chunks that cannot be true.

ABSURD = (
    st.integers(max_value=-1).map(lambda number: b"%d" % number)
    | st.integers(min_value=1_000_000_001).map(lambda number: b"%d" % number)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: repr(number).encode())
    | st.sampled_from([b"9" * 5000, b"-" + b"9" * 5000, b"1e400", b"NaN", b'"6"', b'"six"', b"null", b"true", b"[6]"])
    | st.sampled_from([b"{}", b'{"n":6}', b"+6", b"0x6", b"6.0", b"", b"06e"])
)


@settings(max_examples=80)
@given(key=st.sampled_from(MEASURED), number=ABSURD)
def test_absurd_counts(key: Key, number: bytes, cases: Cases) -> None:
    """They are no tokens, and hide nothing else; what is no JSON any more hides what stands in it. Nothing raises."""
    case = cases[key]
    data = _COUNTS.sub(rb'"\1":' + number.replace(b"\\", b""), case.data)
    _, verdict = passed(case.passage(), [data])
    usage = verdict.usage
    assert (usage.input_tokens, usage.output_tokens) == (None, None)
    if verdict.outcome == case.told.outcome:
        assert attrs.evolve(usage, cached_tokens=None) == attrs.evolve(
            case.told.usage, input_tokens=None, output_tokens=None, cached_tokens=None
        )
    else:
        assert number in (b"NaN", b"+6", b"0x6", b"", b"06e")
        assert verdict.outcome in ("incomplete", "success")


@settings(max_examples=50)
@given(
    key=st.sampled_from([key for key in MEASURED if TABLE[key].phases[0] is not None]),
    number=ABSURD.filter(lambda number: number not in (b"NaN", b"+6", b"0x6", b"", b"06e")),
)
def test_absurd_durations(key: Key, number: bytes, cases: Cases) -> None:
    """They are no phases, and the tokens are those that were told."""
    case = cases[key]
    beyond = number if not number.isdigit() else number + b"0" * 16
    _, verdict = passed(case.passage(), [_DURATIONS.sub(rb'"\1":' + beyond, case.data)])
    assert verdict.outcome == case.told.outcome
    assert verdict.usage == attrs.evolve(
        case.told.usage, total_seconds=None, load_seconds=None, prompt_seconds=None, output_seconds=None
    )


def test_missing_counts(cases: Cases) -> None:
    """What was not told is not known; but beside a total duration of a generation, Go has left out a zero."""
    for key in MEASURED:
        case = cases[key]
        _, verdict = passed(case.passage(), [_COUNTS.sub(rb'"absent":0', case.data)])
        zero = 0 if case.told.phases[0] is not None and case.answer.value in ("chat", "generate") else None
        usage = verdict.usage
        assert (verdict.outcome, usage.input_tokens, usage.output_tokens) == (case.told.outcome, zero, zero)
        _, verdict = passed(case.passage(), [_DURATIONS.sub(b'"absent":0', _COUNTS.sub(rb'"absent":0', case.data))])
        assert verdict.outcome == case.told.outcome
        assert attrs.evolve(verdict.usage, cached_tokens=None) == NO_USAGE
