"""A node that fails in the middle of its answer: the client has what came, and cannot take it for the whole."""

from __future__ import annotations

from functools import partial

import pytest
from faults.bench import Case, together
from faults.dialects import SERVED, STREAMS, WHOLES, Dialect
from faults.steps import Close, Repeat, Reset, Send, Stall, Step, chunk, chunks, last_chunk, reads, script
from faults.views import broken_off, passed, refused

MEGABYTE = 1_000_000
# A transcription may be any text, so that nothing but its framing tells its end.
OBJECTS = [dialect for dialect in WHOLES if dialect.body is not None]
every_dialect = pytest.mark.parametrize("dialect", SERVED, ids=str)
every_stream = pytest.mark.parametrize("dialect", STREAMS, ids=str)


# 6: reset mid-stream.


@every_dialect
def test_a_reset(case: Case, dialect: Dialect) -> None:
    """After two parts."""
    broken_off(case, dialect, script(dialect.begun(2), Reset()))


@every_dialect
def test_a_reset_within_a_part(case: Case, dialect: Dialect) -> None:
    """The beginning of an event is not passed off as one."""
    cut = dialect.parts[2][:20]
    data = chunk(cut) if dialect.streams else cut
    broken_off(case, dialect, script(dialect.begun(2), Send(data), Reset()), cut=cut)


# 7: truncated bodies.


@every_dialect
def test_a_truncated_chunked_body(case: Case, dialect: Dialect) -> None:
    """FIN between two chunks."""
    broken_off(case, dialect, script(dialect.begun(2, "chunked"), Close()))


@every_dialect
def test_a_body_truncated_within_a_chunk(case: Case, dialect: Dialect) -> None:
    """FIN before all came that the chunk's size had announced."""
    cut = dialect.parts[2][:20]
    broken_off(case, dialect, script(dialect.begun(2, "chunked"), Send(b"ff\r\n" + cut), Close()), cut=cut)


@every_dialect
def test_a_truncated_body_of_a_known_length(case: Case, dialect: Dialect) -> None:
    """FIN before all came; the client was told the length, so that a stream takes no frame either."""
    broken_off(case, dialect, script(dialect.begun(2, "length"), Close()), framed=False)


@pytest.mark.parametrize("dialect", [*STREAMS, *OBJECTS], ids=str)
def test_a_truncated_body_that_ends_with_its_connection(case: Case, dialect: Dialect) -> None:
    """FIN is such a body's proper end; what came of it is no whole answer all the same."""
    broken_off(case, dialect, script(dialect.begun(2, "close"), Close()))


@every_dialect
def test_a_reset_of_a_body_that_ends_with_its_connection(case: Case, dialect: Dialect) -> None:
    """RST is no end at all."""
    broken_off(case, dialect, script(dialect.begun(2, "close"), Reset()))


# 8: malformed chunk sizes, and what else is no framing.


@every_dialect
def test_a_malformed_chunk_size(case: Case, dialect: Dialect) -> None:
    """The node is hung up on."""
    answers = script(dialect.begun(2, "chunked"), Send(b"xyz\r\n"), Stall())
    broken_off(case, dialect, answers, code="node_protocol_error", outcome="node_error")


@pytest.mark.parametrize("data", [b"-5\r\nhello\r\n", b"\r\n", b"FFFFFFFFFFFFFFFFF\r\n"], ids=repr)
def test_other_malformed_chunk_sizes(case: Case, data: bytes) -> None:
    """In each dialect."""
    for dialect in SERVED:
        answers = script(dialect.begun(2, "chunked"), Send(data), Stall())
        broken_off(case, dialect, answers, code="node_protocol_error", outcome="node_error")


def test_a_chunk_longer_than_its_size(case: Case) -> None:
    """As much as its size said is all of it, in each dialect."""
    for dialect in SERVED:
        cut = dialect.parts[2][:3]
        answers = script(dialect.begun(2, "chunked"), Send(b"3\r\n" + dialect.parts[2][:8] + b"\r\n"), Stall())
        broken_off(case, dialect, answers, cut=cut, code="node_protocol_error", outcome="node_error")


@pytest.mark.parametrize("filler", [b"1;" + b"x" * 1000, b"0\r\nX: " + b"x" * 1000], ids=["extension", "trailer"])
def test_framing_without_end(case: Case, filler: bytes) -> None:
    """A chunk's extension or a trailer that never ends, in each dialect: given up after 64 KiB."""
    with case.memory_within(10 * MEGABYTE):
        for dialect in SERVED:
            answers = script(dialect.begun(2, "chunked"), Send(filler), Repeat(b"x" * 1000))
            broken_off(case, dialect, answers, code="node_protocol_error", outcome="node_error")


# 9: lines and events that are no JSON, or no UTF-8, or come in the smallest of pieces.

ODD = {
    "another type": b"[1, 2, 3]",
    "no UTF-8": b'{"model": "tiny", "x": "\xff\xfe\xc3"}',
    "far too deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "a number of 5,000 digits": b'{"eval_count": ' + b"9" * 5000 + b"}",
}


@every_stream
def test_an_invalid_line(case: Case, dialect: Dialect) -> None:
    """It passes as it is, and so does all that follows it."""
    odd_line(case, dialect, b'{"model": "tiny", "done": fal')


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_other_odd_lines(case: Case, text: bytes) -> None:
    """As an invalid one, in each dialect."""
    for dialect in STREAMS:
        odd_line(case, dialect, text)


def odd_line(case: Case, dialect: Dialect, text: bytes) -> None:
    """A good stream with something odd in its middle."""
    odd = dialect.event(text)
    parts = (*dialect.parts[:2], odd, *dialect.parts[2:])
    passed(case, dialect, script(dialect.begun(2), chunks(odd, *dialect.parts[2:]), last_chunk()), body=b"".join(parts))


def test_an_invalid_line_and_no_end(case: Case) -> None:
    """It is no terminal, and hides none, in any dialect."""
    for dialect in STREAMS:
        odd = dialect.event(b'{"done": fal')
        model = case.lay(script(dialect.begun(2), chunks(odd), last_chunk()))
        answer = case.ask(dialect, model, outcome="incomplete", code="node_stream_incomplete")
        good = b"".join(dialect.parts[:2]) + odd
        assert answer.body.startswith(good)
        assert not answer.whole
        assert dialect.frame_message(answer.body[len(good) :], 3)


@pytest.mark.parametrize("body", [b'{"model": "tiny", "message"', b"hello", b'{"x": "\xff'], ids=repr)
def test_a_whole_answer_that_is_no_json(case: Case, body: bytes) -> None:
    """It is no success, whatever its framing says, and its client sees so in any case, in each dialect."""
    for dialect in OBJECTS:
        answers = script(dialect.begun(0, "chunked"), chunks(body), last_chunk())
        answer = case.ask(dialect, case.lay(answers), outcome="incomplete", code="node_stream_incomplete")
        assert (answer.status, answer.body, answer.whole) == (200, body, False)


@every_dialect
def test_utf8_split_at_every_byte(case: Case, dialect: Dialect) -> None:
    """Each byte of a part with characters of two, three and four bytes comes alone; the client has them all."""
    text = dialect.event('{"x": "é€𝄞 ſ K"}'.encode()) if dialect.streams else b""
    parts = [dialect.parts[0], text, *dialect.parts[1:]]
    split = Send(b"".join(chunk(bytes([byte])) for byte in text), piece_bytes=1, pause_seconds=0.0003)
    if dialect.streams:
        answers = script(dialect.begun(1), split, chunks(*dialect.parts[1:]), last_chunk())
    else:
        answers = script(dialect.begun(0), Send(dialect.good[:200], piece_bytes=1, pause_seconds=0.0003))
        answers = script(answers, Send(dialect.good[200:]))
    passed(case, dialect, answers, body=b"".join(parts))


def test_an_answer_byte_by_byte(case: Case) -> None:
    """Head and framing come in pieces of a byte, too, in each dialect."""
    for dialect in SERVED:
        data = b"".join(step.data for step in dialect.answered() if isinstance(step, Send))
        passed(case, dialect, reads(Send(data[:400], piece_bytes=1, pause_seconds=0.0003), Send(data[400:])))


# 10: a clean end without its terminal.


@every_stream
def test_a_clean_end_without_a_terminal(case: Case, dialect: Dialect) -> None:
    """The last chunk is there and the terminal is not: as broken as any other."""
    broken_off(case, dialect, script(dialect.begun(2), last_chunk()))


def test_a_clean_end_elsewhere(case: Case) -> None:
    """Before the first event, after it, and just before the terminal, in each dialect."""
    for dialect in STREAMS:
        for sent in (0, 1, first_terminal(dialect)):
            broken_off(case, dialect, script(dialect.begun(sent), last_chunk()), sent=sent)


def first_terminal(dialect: Dialect) -> int:
    """How many parts come before the one that makes a stream complete."""
    return next(place for place, part in enumerate(dialect.parts) if dialect.terminal in part)


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["fin", "rst"])
def test_an_end_after_the_terminal(case: Case, end: Step) -> None:
    """What has its terminal is whole, in each dialect, even though the last chunk never comes."""
    for dialect in STREAMS:
        passed(case, dialect, script(dialect.begun(len(dialect.parts)), end))


def test_more_than_the_end(case: Case) -> None:
    """What follows a whole answer is nobody's, and the connection is not used again.

    It comes in one piece with the answer's end: what comes later may be taken for the answer to the next request.
    """
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    for dialect in SERVED:
        *steps, last = dialect.answered(kept=True)
        assert isinstance(last, Send)
        passed(case, dialect, script(*steps, Send(last.data + more), Stall()))


# 11: an error in the stream.


@every_stream
def test_an_in_band_error(case: Case, dialect: Dialect) -> None:
    """It passes in the node's own words, and the connection ends as after any other failure."""
    answers = script(dialect.begun(2), chunks(dialect.in_band), last_chunk())
    model = case.lay(answers)
    answer = case.ask(dialect, model, outcome="stream_error", code="node_stream_error")
    assert answer.body == b"".join(dialect.parts[:2]) + dialect.in_band
    assert (answer.status, answer.whole, answer.end) == (200, False, "fin")


@every_stream
def test_an_in_band_error_first(case: Case, dialect: Dialect) -> None:
    """Before any other event."""
    model = case.lay(script(dialect.begun(0), chunks(dialect.in_band), last_chunk()))
    answer = case.ask(dialect, model, outcome="stream_error", code="node_stream_error")
    assert (answer.body, answer.whole, answer.end) == (dialect.in_band, False, "fin")


# Silence. Each of these takes its time, so that all dialects are silent at once.


def test_a_stream_that_falls_silent(case: Case) -> None:
    """After its gap's time it is broken off, and its node hung up on; meanwhile others are served."""

    def ask(dialect: Dialect) -> None:
        answers = script(dialect.begun(2), Stall())
        message = broken_off(case, dialect, answers, code="node_timeout", outcome="timeout", kind="hasty")
        assert "idle" in message

    together([case.others_are_served, *(partial(ask, dialect) for dialect in STREAMS)])


def test_a_whole_answer_that_falls_silent(case: Case) -> None:
    """After the time for all of it."""

    def ask(dialect: Dialect) -> None:
        answers = script(dialect.begun(2), Stall())
        broken_off(case, dialect, answers, code="node_timeout", outcome="timeout", kind="hasty")

    together([case.others_are_served, *(partial(ask, dialect) for dialect in WHOLES)])


def test_a_node_that_says_nothing(case: Case) -> None:
    """The request was taken in, and no byte ever comes."""

    def ask(dialect: Dialect) -> None:
        silent = reads(Stall())
        message = refused(case, dialect, silent, status=504, code="node_timeout", outcome="timeout", kind="hasty")
        assert ("first_byte" if dialect.streams else "whole_response") in message

    together([case.others_are_served, *(partial(ask, dialect) for dialect in SERVED)])


def test_whole_answers_without_end(case: Case) -> None:
    """Their time ends them, however much comes."""

    def ask(dialect: Dialect) -> None:
        answers = script(dialect.begun(0, "chunked"), Repeat(chunk(b"x" * 60_000)))
        answer = case.ask(dialect, case.lay(answers, kind="hasty"), outcome="timeout", code="node_timeout")
        assert (answer.status, answer.whole, answer.end) == (200, False, "fin")

    with case.memory_within(20 * MEGABYTE):
        together([partial(ask, dialect) for dialect in WHOLES])


# A model that is loaded for the request: its end waits until the lists show it, so that more is held back.


def test_a_cold_model(case: Case) -> None:
    """A good answer is the same, in each dialect."""
    for dialect in SERVED:
        passed(case, dialect, dialect.answered(), kind="cold")


def test_a_cold_model_and_a_reset(case: Case) -> None:
    """A stream has what came; of a whole answer, which is held, the client has seen nothing yet."""
    for dialect in SERVED:
        answers = script(dialect.begun(2), Reset())
        if dialect.streams:
            broken_off(case, dialect, answers, kind="cold")
        else:
            refused(case, dialect, answers, code="node_stream_incomplete", outcome="incomplete", kind="cold")


def test_a_cold_model_and_a_clean_end(case: Case) -> None:
    """No terminal is made of what was held."""
    for dialect in STREAMS:
        broken_off(case, dialect, script(dialect.begun(2), last_chunk()), kind="cold")
