"""Who may judge of the others' silence."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ollamamax.store.watch import (
    HEARTBEAT_SECONDS,
    LONGEST_GAP_SECONDS,
    SILENCE_SECONDS,
    Watch,
    silent_before,
)


def test_who_kept_watch_for_a_minute_may_judge() -> None:
    """Six heartbeats without a gap are enough, five are not."""
    watch = Watch(100.0, 100.0)
    judged = []
    for _ in range(6):
        watch = watch.beaten(watch.until + HEARTBEAT_SECONDS)
        judged.append(watch.may_judge)
    assert judged == [False] * 5 + [True]
    assert watch == Watch(100.0, 160.0)


def test_late_heartbeats_are_no_gap() -> None:
    """Two may be missing in a row, three may not."""
    watch = Watch(0.0, 100.0)
    assert watch.beaten(100.0 + LONGEST_GAP_SECONDS).may_judge
    assert watch.beaten(100.1 + LONGEST_GAP_SECONDS) == Watch(130.1, 130.1)


def test_an_outage_or_a_leap_of_the_clock_starts_the_watch_again() -> None:
    """Whoever was away for a minute, or saw the clock go forward or back, judges nobody until a minute later."""
    watch = Watch(0.0, 1000.0)
    for now in (1000.0 + 3600.0, 940.0):
        assert watch.beaten(now) == Watch(now, now)
        assert not watch.beaten(now).may_judge


@given(st.lists(st.floats(-100.0, 200.0), max_size=30))
def test_nobody_judges_over_a_gap(steps: list[float]) -> None:
    """Whoever may judge has a row of heartbeats behind him that reaches back a minute and has no gap."""
    watch, beats = Watch(0.0, 0.0), [0.0]
    for step in steps:
        watch = watch.beaten(beats[-1] + step)
        beats.append(watch.until)
        if watch.may_judge:
            row = beats[max(index for index, moment in enumerate(beats) if moment == watch.since) :]
            assert row[-1] - row[0] >= SILENCE_SECONDS
            assert all(0 <= later - earlier <= LONGEST_GAP_SECONDS for earlier, later in pairwise(row))


def test_a_minute_is_silence() -> None:
    """The last moment at which a sign of life counts."""
    assert silent_before(1060.0) == 1000.0
