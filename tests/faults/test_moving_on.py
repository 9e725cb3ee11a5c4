"""Requests that go on to another node that has the model, as long as nothing of an answer has come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults.bench import Bench, Case
from faults.dialects import IN_MEMORY, SERVED, Dialect
from faults.servers import FaultServers
from faults.steps import Close, Reset, Send, Step, reads, script
from faults.views import broken_off, own_error, refused

BUSY = "server busy, please try again.  maximum pending requests exceeded"
every_dialect = pytest.mark.parametrize("dialect", SERVED, ids=str)


@pytest.fixture(scope="module")
def pair(fault_servers: FaultServers) -> Bench:
    """A gateway before two nodes that have the same models; a request takes the next script, wherever it arrives."""
    return fault_servers.bench(count=2)


@pytest.fixture
def case(pair: Bench) -> Iterator[Case]:
    """A test's clients and scripts; the invariants are checked at its end."""
    with pair.case() as opened:
        yield opened


def moved(case: Case, dialect: Dialect, first: tuple[Step, ...]) -> None:
    """A request that one node does not answer and the other one does."""
    model = case.lay(first, dialect.answered())
    answer = case.ask(dialect, model, attempts=2)
    assert (answer.status, answer.body, answer.whole) == (200, dialect.good, True)
    one, other = case.seen(model)
    assert one.body == other.body
    assert one.headers["host"] != other.headers["host"]


@pytest.mark.parametrize("dialect", IN_MEMORY, ids=str)
def test_a_busy_node(case: Case, dialect: Dialect) -> None:
    """Its 503 never reaches the client."""
    moved(case, dialect, dialect.error(b"503 Service Unavailable", BUSY))


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["fin", "rst"])
def test_a_node_that_hangs_up(case: Case, end: Step) -> None:
    """After the body and before the first byte, in each dialect."""
    for dialect in IN_MEMORY:
        moved(case, dialect, reads(end))


@every_dialect
def test_two_busy_nodes(case: Case, dialect: Dialect) -> None:
    """The client has the last one's words."""
    busy = dialect.error(b"503 Service Unavailable", BUSY)
    attempts = 1 if dialect.body is None else 2
    busy_all = [busy] * attempts
    assert own_error(case, dialect, *busy_all, status=503, outcome="unavailable", attempts=attempts) == BUSY


def test_two_nodes_that_hang_up(case: Case) -> None:
    """There is no third one, in any dialect."""
    for dialect in IN_MEMORY:
        refused(case, dialect, reads(Close()), reads(Close()), code="node_closed_early", attempts=2)


def test_a_form_stays_where_it_is(case: Case) -> None:
    """It was passed on while it came, so that nobody has it to send again."""
    for dialect in SERVED:
        if dialect.body is None:
            refused(case, dialect, reads(Close()), code="node_closed_early")


def test_what_has_begun_stays_where_it_is(case: Case) -> None:
    """Part of a head, a whole head, a part of the answer: the other node is not asked, in any dialect."""
    for dialect in SERVED:
        refused(case, dialect, reads(Send(b"HTTP/1.1 200 OK\r\n"), Close()), code="node_closed_early")
        begun = script(dialect.begun(0), Reset())
        refused(case, dialect, begun, code="node_stream_incomplete", outcome="incomplete")
        broken_off(case, dialect, script(dialect.begun(2), Reset()))


def test_an_error_of_the_node_stays(case: Case) -> None:
    """A 500 speaks of the request or of the model; another node would say the same."""
    for dialect in SERVED:
        assert own_error(case, dialect, dialect.error(b"500 Internal Server Error", "no"), status=500) == "no"
