"""Lines of 100 MB, and bodies of 200 MB for clients that do not read."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from faults.bench import Case
from faults.bulk import LONG_BYTES, MEGABYTE, PIECE_BYTES, assert_waits, long_answer, long_line, read_all
from faults.dialects import SERVED, STREAMS, Dialect, Shape

LINE_BYTES = 100 * MEGABYTE


@pytest.mark.parametrize("dialect", STREAMS, ids=str)
def test_a_line_of_100_megabytes(case: Case, dialect: Dialect) -> None:
    """9: it passes, whatever it costs to read along, and what follows it is read as ever."""
    model = case.lay(long_line(dialect, LINE_BYTES))
    with case.memory_within(40 * MEGABYTE), case.asking(dialect, model) as client:
        read = read_all(client)
    assert read.first.startswith(b"HTTP/1.1 200 ")
    assert read.size > LINE_BYTES
    assert dialect.terminal in read.last
    assert read.last.endswith(b"\r\n0\r\n\r\n")


def test_clients_that_do_not_read(case: Case) -> None:
    """21: 200 MB in each dialect, for clients that read nothing: their nodes wait, and nobody else does.

    Then they leave, and their nodes are hung up on.
    """
    models = [case.lay(long_answer(dialect)) for dialect in SERVED]
    with case.memory_within(20 * MEGABYTE), ExitStack() as asking:
        clients = [
            asking.enter_context(case.asking(dialect, model, outcome="client_disconnected", counted=499))
            for dialect, model in zip(SERVED, models, strict=True)
        ]
        assert_waits(case, *models)
        case.others_are_served()
        for client in clients:
            client.leave("fin")


@pytest.mark.parametrize("shape", sorted({dialect.shape for dialect in SERVED}, key=str), ids=lambda shape: shape.value)
def test_a_client_that_reads_late(case: Case, shape: Shape) -> None:
    """21: 200 MB for a client that begins to read when its node has come to a stop: it has all of it."""
    dialect = next(dialect for dialect in SERVED if dialect.shape is shape)
    model = case.lay(long_answer(dialect))
    with case.memory_within(20 * MEGABYTE), case.asking(dialect, model) as client:
        assert_waits(case, model)
        read = read_all(client)
    assert read.size > LONG_BYTES - PIECE_BYTES
    assert dialect.terminal in read.last
    assert read.last.endswith(b"0\r\n\r\n" if dialect.streams else dialect.good[-2:])
