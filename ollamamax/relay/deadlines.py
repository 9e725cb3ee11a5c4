"""The time limits of one exchange, phase by phase, on one timer.

Data only notes the time; the timer looks when it fires and sleeps again if it must. So a token costs no timer.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ollamamax.errors import NodeTimedOut


@attrs.frozen
class RelayTimeouts:
    """Limits in seconds; None is no limit.

    Attributes:
        connect: for a connection to the node.
        first_byte: from the beginning until the response's head.
        idle: between two pieces of the response, while the client takes them.
        whole: from the beginning to the end.
    """

    connect: float
    first_byte: float | None = None
    idle: float | None = None
    whole: float | None = None


class Deadlines:
    """Watches one exchange.

    Attributes:
        touched_at: clock seconds of the last piece; whoever gets one sets it.
    """

    def __init__(self, clock: IReactorTime, timeouts: RelayTimeouts, expired: Callable[[NodeTimedOut], None]) -> None:
        """Begins with the wait for the head.

        Args:
            clock: tells and schedules.
            timeouts: the limits; that of the connect is the client's to keep.
            expired: called once, when a limit is passed.
        """
        self.touched_at = clock.seconds()
        self._clock = clock
        self._timeouts = timeouts
        self._expired = expired
        self._began_at = self.touched_at
        self._streaming = False
        self._paused = False
        self._call: IDelayedCall | None = None
        self._rearm()

    def head_arrived(self) -> None:
        """The response has begun: gaps count from now on."""
        self._streaming = True
        self.touched_at = self._clock.seconds()
        self._rearm()

    def pause(self) -> None:
        """It is the client who is waited for: gaps do not count."""
        self._paused = True

    def resume(self) -> None:
        """The client takes data again."""
        if self._paused:
            self._paused = False
            self.touched_at = self._clock.seconds()
            self._rearm()

    def stop(self) -> None:
        """Watches no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _next(self) -> tuple[float, str, float] | None:
        """When the next limit is passed, its phase and its seconds."""
        limits: list[tuple[float, str, float]] = []
        first_byte, idle, whole = self._timeouts.first_byte, self._timeouts.idle, self._timeouts.whole
        if whole is not None:
            limits.append((self._began_at + whole, "whole_response", whole))
        if not self._streaming and first_byte is not None:
            limits.append((self._began_at + first_byte, "first_byte", first_byte))
        if self._streaming and not self._paused and idle is not None:
            limits.append((self.touched_at + idle, "idle", idle))
        return min(limits, default=None)

    def _rearm(self) -> None:
        limit = self._next()
        if limit is None:
            self.stop()
            return
        delay = max(limit[0] - self._clock.seconds(), 0.0)
        if self._call is None:
            self._call = self._clock.callLater(delay, self._fire)
        elif limit[0] < self._call.getTime():
            self._call.reset(delay)

    def _fire(self) -> None:
        self._call = None
        limit = self._next()
        if limit is not None and limit[0] <= self._clock.seconds():
            self._expired(NodeTimedOut(limit[1], limit[2]))
        else:
            self._rearm()
