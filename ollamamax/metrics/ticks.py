"""How long the event loop takes before it does what is due.

No reactor tells how long its turns are, and what can be hooked in one (epoll's poll) is not there in another
(asyncio's). What every reactor has is a timer: a call is scheduled ten times a second, and how late it comes is how
long the loop was busy with something else when it should have come. A turn that takes longer than the interval is
always seen, at most one interval too short; shorter ones are sampled. An idle loop shows the grain of its timers, a
millisecond or so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Histogram

from ollamamax.metrics.catalogue import REACTOR_LAST_TICK, REACTOR_TICK_DURATION
from ollamamax.metrics.families import Families, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

TICK_METRICS = (REACTOR_TICK_DURATION, REACTOR_LAST_TICK)
INTERVAL_SECONDS = 0.1


class ReactorTicks:
    """Watches one reactor; to be started and stopped with the server, on the reactor's thread.

    Args:
        clock: the reactor, whose clock has to be monotonic.
        now: Unix time.
        interval_seconds: from one measurement to the next; a blocked loop is not measured more often than once.
    """

    def __init__(
        self, clock: IReactorTime, now: Callable[[], float], *, interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._clock = clock
        self._now = now
        self._interval_seconds = interval_seconds
        self._durations = Histogram(
            REACTOR_TICK_DURATION.name,
            REACTOR_TICK_DURATION.help,
            buckets=REACTOR_TICK_DURATION.buckets,
            registry=None,
        )
        self._last: float | None = None
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._due = self._clock.seconds() + self._interval_seconds
        self._call = self._clock.callLater(self._interval_seconds, self._tick)

    def stop(self) -> None:
        """Ends, and leaves nothing in the reactor; may be called at any time."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def snapshot(self) -> Families:
        """The families as they are now; no tick is told of before the first."""
        last = self._last
        collect = self._durations.collect
        return lambda: [*collect(), *([] if last is None else [value(REACTOR_LAST_TICK, last)])]

    def _tick(self) -> None:
        self._durations.observe(max(0.0, self._clock.seconds() - self._due))
        self._last = self._now()
        self.start()
