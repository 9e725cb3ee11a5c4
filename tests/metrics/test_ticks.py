"""How long the event loop takes before it does what is due."""

from __future__ import annotations

from twisted.internet.task import Clock

from ollamamax.metrics.ticks import INTERVAL_SECONDS, ReactorTicks

NAME = "ollamamax_reactor_tick_duration_seconds"
LAST = "ollamamax_reactor_last_tick_timestamp_seconds"


class Loop:
    """Ticks on a loop whose turns take as long as the test says; its Unix time is the clock's and 1000."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ticks = ReactorTicks(self.clock, lambda: 1000.0 + self.clock.seconds())

    def turn(self, seconds: float) -> None:
        """One turn that does nothing else for so long."""
        self.clock.advance(seconds)

    def samples(self) -> dict[str, float]:
        """What is shown, buckets by their bounds."""
        found = [sample for family in self.ticks.snapshot()() for sample in family.samples]
        return {sample.labels.get("le", sample.name): sample.value for sample in found}


def test_an_idle_loop_is_on_time() -> None:
    """Each interval brings one observation, of nothing, and the time of the last one."""
    loop = Loop()
    loop.ticks.start()
    for _ in range(5):
        loop.turn(INTERVAL_SECONDS)
    shown = loop.samples()
    assert (shown["0.001"], shown[f"{NAME}_count"]) == (5, 5)
    assert shown[LAST] == 1000.5
    loop.ticks.stop()


def test_a_turn_that_blocks_is_as_long_as_it_was_late() -> None:
    """What is due during a block of 1.1 s comes 1 s late: one observation, in its bucket; the next is on time again."""
    loop = Loop()
    loop.ticks.start()
    loop.turn(INTERVAL_SECONDS + 1.0)
    loop.turn(INTERVAL_SECONDS)
    shown = loop.samples()
    assert (shown["0.001"], shown["0.5"], shown["2.5"], shown["+Inf"]) == (1, 1, 2, 2)
    assert round(shown[f"{NAME}_sum"], 6) == 1.0
    loop.ticks.stop()


def test_short_turns_are_sampled() -> None:
    """Turns of 3 ms are seen where a call was due within them, each time with what was left of the turn."""
    loop = Loop()
    loop.ticks.start()
    for _ in range(1000):
        loop.turn(0.003)
    shown = loop.samples()
    assert 28 <= shown[f"{NAME}_count"] <= 30
    assert shown["0.005"] == shown[f"{NAME}_count"] > shown["0.001"]
    loop.ticks.stop()


def test_nothing_is_told_before_the_first_tick() -> None:
    """No time of a tick is shown that has not been, and the histogram is there with nothing in it."""
    loop = Loop()
    loop.ticks.start()
    shown = loop.samples()
    assert LAST not in shown
    assert shown["+Inf"] == 0
    loop.ticks.stop()


def test_nothing_is_left_in_the_reactor() -> None:
    """After the end, and an end without a beginning, no call is pending; what was seen stays."""
    loop = Loop()
    loop.ticks.stop()
    loop.ticks.start()
    loop.turn(INTERVAL_SECONDS)
    loop.ticks.stop()
    loop.ticks.stop()
    assert loop.clock.getDelayedCalls() == []
    assert loop.samples()["+Inf"] == 1


def test_what_was_copied_does_not_change() -> None:
    """The time of the last tick is that of the snapshot, whenever it is rendered."""
    loop = Loop()
    loop.ticks.start()
    loop.turn(INTERVAL_SECONDS)
    families = loop.ticks.snapshot()
    loop.turn(INTERVAL_SECONDS)
    assert [s.value for family in families() for s in family.samples if s.name == LAST] == [1000.1]
    loop.ticks.stop()
