"""4: connections that a node keeps after an answer, and that are closed when the next request comes.

The request goes out once more, on a fresh connection, and its client never knows; not a second time.
"""

from __future__ import annotations

import json

import pytest
from faults.bench import Case, together
from faults.dialects import CHAT, IN_MEMORY, SERVED, Dialect
from faults.steps import Close, Read, Reset, Send, Stall, Step, Wait, reads, script
from faults.views import assert_told

BIG = 2_000_000
every_dialect = pytest.mark.parametrize("dialect", IN_MEMORY, ids=str)
either_end = pytest.mark.parametrize("end", [Close(), Reset()], ids=["fin", "rst"])


def served(case: Case, dialect: Dialect, model: str, *, body: bytes | None = None) -> None:
    """A request that is answered well."""
    answer = case.ask(dialect, model, body=body)
    assert (answer.status, answer.body, answer.whole) == (200, dialect.good, True), answer


@every_dialect
def test_a_connection_is_kept(case: Case, dialect: Dialect) -> None:
    """Else there would be nothing to test here."""
    model = case.lay(dialect.answered(kept=True), dialect.answered())
    served(case, dialect, model)
    served(case, dialect, model)
    first, second = case.seen(model)
    assert first.connection == second.connection


@either_end
def test_a_connection_closed_before_the_next_request(case: Case, end: Step) -> None:
    """While nobody uses it, in each dialect."""
    for dialect in SERVED:
        model = case.lay(script(dialect.answered(kept=True), end), dialect.answered())
        served(case, dialect, model)
        served(case, dialect, model)
        first, second = case.seen(model)
        assert first.connection != second.connection


@every_dialect
def test_a_connection_closed_at_the_next_request(case: Case, dialect: Dialect) -> None:
    """With the request's body on it, which is sent again."""
    model = case.lay(dialect.answered(kept=True), reads(Close()), dialect.answered())
    served(case, dialect, model)
    served(case, dialect, model)
    first, second, third = case.seen(model)
    assert first.connection == second.connection != third.connection
    case.wait_for(third.over.is_set, "the node has not put down what it took in")
    assert second.body == third.body


def test_a_connection_reset_at_the_next_request(case: Case) -> None:
    """As with FIN, in each dialect."""
    for dialect in IN_MEMORY:
        model = case.lay(dialect.answered(kept=True), reads(Reset()), dialect.answered())
        served(case, dialect, model)
        served(case, dialect, model)


@every_dialect
def test_twice_in_a_row(case: Case, dialect: Dialect) -> None:
    """The fresh connection ends as well: the client is told, and nothing is sent a third time."""
    model = case.lay(dialect.answered(kept=True), reads(Close()), reads(Close()))
    served(case, dialect, model)
    answer = case.ask(dialect, model, status=502, code="node_closed_early", outcome="node_error")
    assert_told(dialect, answer, 502)


def test_two_connections_closed(case: Case) -> None:
    """The second try does not take the next one that was kept, which may be as stale."""
    gate = case.gate()
    kept = script(CHAT.begun(1, kept=True), Wait(gate), CHAT.answered(kept=True)[3:])
    model = case.lay(kept, kept, reads(Close()), CHAT.answered(), reads(Close()), CHAT.answered())

    def ask() -> None:
        served(case, CHAT, model)

    def let_go() -> None:
        case.wait_for(lambda: len(case.seen(model)) == 2, "the requests did not reach the node")
        gate.set()

    together([ask, ask, let_go])
    served(case, CHAT, model)
    served(case, CHAT, model)
    numbers = [seen.connection for seen in case.seen(model)]
    assert len(set(numbers)) == 4
    assert {numbers[2], numbers[4]} == set(numbers[:2])


@either_end
def test_a_large_body_cut_short(case: Case, end: Step) -> None:
    """A body of 2 MB, of which a kept connection takes a part, is sent again from its beginning."""
    model = case.lay(CHAT.answered(kept=True), (Read(100_000), end), CHAT.answered())
    served(case, CHAT, model)
    body = {**(CHAT.body or {}), "model": model, "padding": "x" * BIG}
    served(case, CHAT, model, body=json.dumps(body).encode())
    _, second, third = case.seen(model)
    case.wait_for(third.over.is_set, "the node has not put down what it took in")
    assert second.body_bytes < BIG < third.body_bytes


def test_a_word_unasked(case: Case) -> None:
    """A node that says something while nobody asks loses its connection; the next request knows nothing of it."""
    unasked = Send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    for dialect in SERVED:
        model = case.lay(script(dialect.answered(kept=True), unasked, Stall()), dialect.answered())
        served(case, dialect, model)
        # Nobody can tell an unasked word from an answer if a request was sent in the meantime.
        case.wait_for(case.seen(model)[0].over.is_set, "the connection is still open")
        served(case, dialect, model)


def test_a_form_is_sent_once(case: Case) -> None:
    """It streams on while it arrives: it takes no kept connection, and is not sent a second time."""
    for dialect in SERVED:
        if dialect.body is None:
            model = case.lay(dialect.answered(kept=True), reads(Close()))
            served(case, dialect, model)
            answer = case.ask(dialect, model, status=502, code="node_closed_early", outcome="node_error")
            assert_told(dialect, answer, 502)
            first, second = case.seen(model)
            assert first.connection != second.connection


def test_an_answer_to_half_a_request(case: Case) -> None:
    """It comes while the body is still on its way, and passes; the next request knows nothing of it."""
    model = case.lay(script(Read(1000), CHAT.answered(kept=True)[1:]), CHAT.answered())
    body = {**(CHAT.body or {}), "model": model, "padding": "x" * BIG}
    served(case, CHAT, model, body=json.dumps(body).encode())
    served(case, CHAT, model)
