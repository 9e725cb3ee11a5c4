"""Time limits, on a clock that a test turns."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from ollamamax.errors import NodeTimedOut
from ollamamax.relay.deadlines import Deadlines, RelayTimeouts


class Watched:
    """Deadlines whose end is noted."""

    def __init__(self, clock: Clock, timeouts: RelayTimeouts) -> None:
        self.clock = clock
        self.expired: list[tuple[str, float, float]] = []
        self.deadlines = Deadlines(clock, timeouts, self._note)

    def _note(self, error: NodeTimedOut) -> None:
        self.expired.append((error.phase, error.seconds, self.clock.seconds()))

    def touch(self) -> None:
        """A piece has come."""
        self.deadlines.touched_at = self.clock.seconds()


def test_without_limits_there_is_no_timer(clock: Clock) -> None:
    """No limit costs nothing."""
    watched = Watched(clock, RelayTimeouts(connect=1.0))
    watched.deadlines.head_arrived()
    assert not clock.getDelayedCalls()
    watched.deadlines.stop()


def test_first_byte(clock: Clock) -> None:
    """The head has its time; once there, that limit is over."""
    watched = Watched(clock, RelayTimeouts(1.0, first_byte=5.0))
    clock.advance(5)
    assert watched.expired == [("first_byte", 5.0, 5.0)]
    watched = Watched(clock, RelayTimeouts(1.0, first_byte=5.0))
    clock.advance(4)
    watched.deadlines.head_arrived()
    clock.advance(100)
    assert watched.expired == []
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("first_byte", [None, 1000.0])
def test_idle(clock: Clock, first_byte: float | None) -> None:
    """A gap counts from the last piece, and pieces set no timer."""
    watched = Watched(clock, RelayTimeouts(1.0, first_byte=first_byte, idle=10.0))
    clock.advance(50)
    watched.deadlines.head_arrived()
    for _ in range(5):
        clock.advance(9)
        watched.touch()
        assert len(clock.getDelayedCalls()) == 1
    clock.advance(9.5)
    assert watched.expired == []
    clock.advance(0.5)
    assert watched.expired == [("idle", 10.0, 105.0)]


def test_idle_while_the_client_is_slow(clock: Clock) -> None:
    """While the client is waited for, the node's silence does not count."""
    watched = Watched(clock, RelayTimeouts(1.0, idle=10.0))
    watched.deadlines.head_arrived()
    clock.advance(9)
    watched.deadlines.pause()
    clock.pump([5.0] * 20)
    assert watched.expired == []
    watched.deadlines.resume()
    watched.deadlines.resume()
    clock.advance(9.9)
    assert watched.expired == []
    clock.advance(0.2)
    assert [phase for phase, _, _ in watched.expired] == ["idle"]


def test_whole(clock: Clock) -> None:
    """The whole answer has a limit of its own, which a slow client does not stretch."""
    watched = Watched(clock, RelayTimeouts(1.0, first_byte=30.0, idle=10.0, whole=25.0))
    watched.deadlines.head_arrived()
    watched.deadlines.pause()
    clock.pump([5.0] * 5)
    assert watched.expired == [("whole_response", 25.0, 25.0)]


def test_stop(clock: Clock) -> None:
    """Nothing fires after the end."""
    watched = Watched(clock, RelayTimeouts(1.0, first_byte=1.0))
    watched.deadlines.stop()
    watched.deadlines.stop()
    clock.advance(2)
    assert watched.expired == []
