"""For how long slots were held."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.slots import SlotTimes

KEY, OTHER = ("a", "m:latest"), ("a", "n:latest")


def test_time_accrues_while_a_slot_is_held() -> None:
    """From 0 on, at every look, and no longer once it is given back; two at a time count twice."""
    times = SlotTimes()
    times.begin("one", KEY, 10.0)
    assert times.seconds(10.0) == {KEY: 0.0}
    assert times.seconds(12.5) == {KEY: 2.5}
    times.begin("two", KEY, 12.5)
    times.begin("other", OTHER, 13.0)
    assert times.seconds(14.5) == {KEY: 6.5, OTHER: 1.5}
    times.end("one", 14.5)
    times.end("one", 20.0)
    assert times.seconds(15.5) == {KEY: 7.5, OTHER: 2.5}
    times.end("two", 15.5)
    times.end("other", 15.5)
    assert times.seconds(99.0) == {KEY: 7.5, OTHER: 2.5}


def test_a_node_that_is_gone_leaves_nothing() -> None:
    """Neither what was counted nor what was held, which may be given back later; other nodes keep theirs."""
    times = SlotTimes()
    times.begin("one", KEY, 0.0)
    times.begin("two", ("b", "m:latest"), 0.0)
    times.forget("a")
    times.end("one", 5.0)
    assert times.seconds(5.0) == {("b", "m:latest"): 5.0}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([KEY, OTHER]), st.floats(0, 1e5, allow_subnormal=False))),
    st.floats(0, 1e9),
)
def test_counters_never_fall(deeds: list[tuple[int, tuple[str, str], float]], start: float) -> None:
    """Whoever takes and gives back what and when: no look shows less than one before, not by the last digit of it."""
    times, now, held = SlotTimes(), start, set[int]()
    seen: Mapping[tuple[str, str], float] = {}
    for holder, key, later in deeds:
        now += later
        if holder in held:
            times.end(holder, now)
        else:
            times.begin(holder, key, now)
        held ^= {holder}
        looked = times.seconds(now)
        assert all(looked[known] >= value for known, value in seen.items())
        seen = looked


def test_a_clock_that_stands_still_takes_nothing_back() -> None:
    """A slot given back at the moment at which it was taken, or before it, costs nothing."""
    times = SlotTimes()
    times.begin("one", KEY, 5.0)
    assert times.seconds(4.0) == {KEY: pytest.approx(0.0)}
    times.end("one", 5.0)
    assert times.seconds(9.0) == {KEY: 0.0}
