"""The counts of connections and queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ollamamax.store.statistics import CLOSED_BY_ERROR, CLOSED_BY_SHUTDOWN, PoolStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure


class BrokenObserver:
    """An observer with a defect."""

    def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
        """Fails."""
        raise RuntimeError("broken")


def test_a_fresh_pool() -> None:
    """Nothing has happened, and every reason of closing is there already."""
    snapshot = PoolStatistics("sqlite", 4).snapshot()
    assert (snapshot.max_open, snapshot.open, snapshot.idle, snapshot.queries_total) == (4, 0, 0, 0)
    assert snapshot.closed == {"error": 0, "shutdown": 0}


def test_connections_add_up() -> None:
    """Open connections are in use or idle; waits count with their time; closings by reason."""
    statistics = PoolStatistics("sqlite", 4)
    for _ in range(3):
        statistics.opened()
    statistics.checked_out(None)
    statistics.checked_out(0.5)
    statistics.checked_out(0.25)
    statistics.checked_in()
    statistics.closed(CLOSED_BY_ERROR)
    statistics.connect_failed()
    snapshot = statistics.snapshot()
    assert (snapshot.open, snapshot.in_use, snapshot.idle) == (2, 2, 0)
    assert (snapshot.wait_count, snapshot.wait_duration_seconds) == (2, 0.75)
    assert snapshot.closed == {CLOSED_BY_ERROR: 1, CLOSED_BY_SHUTDOWN: 0}
    assert snapshot.errors_total == 1


def test_json_has_the_documented_keys_in_their_order() -> None:
    """`connections` is `open`; the rest is the snapshot."""
    statistics = PoolStatistics("sqlite", 4)
    statistics.opened()
    with statistics.query("select", "nodes"):
        pass
    assert list(statistics.as_json().items()) == [
        ("connections", 1),
        ("queries_total", 1),
        ("max_open", 4),
        ("open", 1),
        ("in_use", 0),
        ("idle", 1),
        ("wait_count", 0),
        ("wait_duration_seconds", 0.0),
        ("closed", {"error": 0, "shutdown": 0}),
        ("errors_total", 0),
        ("dialect", "sqlite"),
    ]


def test_a_snapshot_does_not_change() -> None:
    """A snapshot is one moment, whatever happens afterwards."""
    statistics = PoolStatistics("sqlite", 4)
    before = statistics.snapshot()
    with statistics.query("select", "nodes"):
        pass
    assert before.queries == {}
    assert statistics.snapshot().queries == {("select", "nodes", "ok"): 1}


def test_a_failing_query_is_counted_as_one() -> None:
    """An exception passes, and is counted once as a query and once as an error."""
    statistics = PoolStatistics("sqlite", 4)
    with pytest.raises(KeyError), statistics.query("insert", "nodes"):
        raise KeyError
    snapshot = statistics.snapshot()
    assert snapshot.queries == {("insert", "nodes", "error"): 1}
    assert snapshot.errors_total == 1


def test_an_observer_hears_the_seconds() -> None:
    """The observer hears operation, table, status and the clock's difference."""
    heard: list[tuple[str, str, str, float]] = []

    class Observer:
        def observe_query(self, operation: str, table: str, status: str, seconds: float) -> None:
            heard.append((operation, table, status, seconds))

    moments = iter([10.0, 10.5])
    with PoolStatistics("sqlite", 4, Observer(), lambda: next(moments)).query("select", "nodes"):
        pass
    assert heard == [("select", "nodes", "ok", 0.5)]


def test_a_broken_observer_costs_no_query(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """A failing observer is logged; the query is counted and goes on."""
    statistics = PoolStatistics("sqlite", 4, BrokenObserver())
    with statistics.query("select", "nodes"):
        pass
    assert statistics.snapshot().queries_total == 1
    assert len(flush_logged_errors(RuntimeError)) == 1
