"""22: clients that leave: their node's connection is closed at once, and nobody is blamed for it."""

from __future__ import annotations

from functools import partial

import pytest
from faults.bench import Case, together
from faults.dialects import SERVED, STREAMS, Dialect
from faults.steps import Repeat, Stall, chunk, script
from faults.views import left
from real.wire import End

every_dialect = pytest.mark.parametrize("dialect", SERVED, ids=str)
either_end: tuple[End, ...] = ("fin", "rst")


@every_dialect
def test_a_client_that_leaves_in_the_middle(case: Case, dialect: Dialect) -> None:
    """After the first part, from a node that falls silent then."""
    left(case, dialect, after=1, how="fin")


@every_dialect
def test_a_client_that_leaves_before_the_head(case: Case, dialect: Dialect) -> None:
    """While its node has the request and has said nothing."""
    left(case, dialect, after=None, how="fin")


def test_a_client_that_is_killed(case: Case) -> None:
    """By RST, in the middle and before the head, in each dialect."""
    for dialect in SERVED:
        left(case, dialect, after=1, how="rst")
        left(case, dialect, after=None, how="rst")


@pytest.mark.parametrize("how", either_end)
def test_a_client_that_leaves_a_busy_stream(case: Case, how: End) -> None:
    """While its node sends as fast as it can, in each dialect."""
    for dialect in STREAMS:
        model = case.lay(script(dialect.begun(1), Repeat(chunk(dialect.parts[1]))))
        with case.asking(dialect, model, outcome="client_disconnected", counted=499) as client:
            client.read_until(dialect.parts[1])
            client.leave(how)


def test_clients_that_leave_at_once(case: Case) -> None:
    """Two of each dialect, in one moment, before the head and after it; others are served meanwhile."""
    acts = [
        partial(left, case, dialect, after=after, how=how)
        for dialect in SERVED
        for after, how in ((None, either_end[0]), (1, either_end[1]))
    ]
    together([case.others_are_served, *acts, case.others_are_served])


def test_a_client_that_leaves_after_the_end_of_what_it_wanted(case: Case) -> None:
    """The terminal was passed on and the node goes on: it is hung up on all the same."""
    for dialect in STREAMS:
        model = case.lay(script(dialect.begun(len(dialect.parts)), Stall()))
        with case.asking(dialect, model, outcome="client_disconnected", counted=499) as client:
            client.read_until(dialect.terminal)
            client.leave("fin")
