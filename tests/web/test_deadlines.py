"""web.deadlines: one lazily moved timer, and the pace of a body."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from ollamamax.web.deadlines import BodyPace, Deadline


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


def test_expires_once(clock: Clock) -> None:
    """A deadline that passes is reported once, at its time."""
    passed: list[float] = []
    deadline = Deadline(clock, lambda: passed.append(clock.seconds()))
    deadline.set(3)
    clock.pump([1, 1, 1, 1, 1])
    assert passed == [3]
    assert clock.getDelayedCalls() == []


def test_moves_away_without_a_call(clock: Clock) -> None:
    """A deadline that moves away again and again costs one call, which looks again when it fires."""
    passed: list[float] = []
    deadline = Deadline(clock, lambda: passed.append(clock.seconds()))
    for _ in range(10):
        deadline.set(3)
        clock.advance(1)
        assert len(clock.getDelayedCalls()) == 1
    assert passed == []
    clock.pump([1] * 3)
    assert passed == [12]


def test_moves_nearer(clock: Clock) -> None:
    """A deadline that is set to an earlier moment passes then."""
    passed: list[float] = []
    deadline = Deadline(clock, lambda: passed.append(clock.seconds()))
    deadline.set(60)
    deadline.set(5)
    clock.pump([1] * 60)
    assert passed == [5]


def test_cleared_and_stopped(clock: Clock) -> None:
    """A cleared deadline does not pass; a stopped one leaves no delayed call."""
    passed: list[float] = []
    deadline = Deadline(clock, lambda: passed.append(clock.seconds()))
    deadline.set(5)
    deadline.clear()
    clock.advance(6)
    assert clock.getDelayedCalls() == []
    deadline.set(5)
    deadline.stop()
    deadline.stop()
    assert clock.getDelayedCalls() == []
    assert passed == []


def test_rated_pace() -> None:
    """With a least rate, every window has to bring its share."""
    pace = BodyPace(100, idle_seconds=60)
    assert pace.window_seconds == 10
    pace.start()
    pace.arrived(600)
    pace.arrived(400)
    assert pace.kept()
    pace.arrived(999)
    assert not pace.kept()


def test_unrated_pace() -> None:
    """Without one, a byte in the idle time is enough."""
    pace = BodyPace(0, idle_seconds=60)
    assert pace.window_seconds == 60
    pace.arrived(1)
    assert pace.kept()
    assert not pace.kept()


def test_excused_pace() -> None:
    """A window in which the gateway did not read counts for nothing, the next one counts again."""
    pace = BodyPace(100, idle_seconds=60)
    pace.excuse()
    assert pace.kept()
    assert not pace.kept()
