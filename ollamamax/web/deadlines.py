"""How long a connection waits: one timer that is moved lazily, and the pace that a body must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """The one timer of a connection.

    Most deadlines of a connection never pass: each request sets and clears some. So the timer is left where it is when
    a deadline moves away, and looks again when it fires; it costs one delayed call in a minute, not several per
    request.
    """

    def __init__(self, clock: IReactorTime, expired: Callable[[], None]) -> None:
        """Makes a timer that is not set.

        Args:
            clock: the time and its calls.
            expired: called when a deadline has passed.
        """
        self._clock = clock
        self._expired = expired
        self._due: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """Sets the deadline to so many seconds from now, whatever it was."""
        self._due = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._fire)
        elif self._call.getTime() > self._due:
            self._call.reset(seconds)

    def clear(self) -> None:
        """Takes the deadline away."""
        self._due = None

    def stop(self) -> None:
        """Takes the deadline away and leaves no delayed call behind."""
        self._due = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        if self._due is None:
            return
        remaining = self._due - self._clock.seconds()
        if remaining > 0:
            self._call = self._clock.callLater(remaining, self._fire)
            return
        self._due = None
        self._expired()


class BodyPace:
    """Pure: whether a body arrives fast enough, judged window by window.

    A window in which the gateway itself stopped reading does not count against the client.

    Attributes:
        window_seconds: the length of a window.
    """

    RATED_WINDOW_SECONDS = 10.0

    def __init__(self, min_bytes_per_second: float, idle_seconds: float) -> None:
        """Makes a judge.

        Args:
            min_bytes_per_second: what has to arrive on the average of a window; 0 for any progress at all.
            idle_seconds: the window without such a rate, in which one byte is enough.
        """
        if min_bytes_per_second > 0:
            self.window_seconds = self.RATED_WINDOW_SECONDS
            self._wanted_bytes = min_bytes_per_second * self.window_seconds
        else:
            self.window_seconds = idle_seconds
            self._wanted_bytes = 1.0
        self._arrived_bytes = 0
        self._excused = False

    def start(self) -> None:
        """Begins the first window of a body."""
        self._arrived_bytes = 0
        self._excused = False

    def arrived(self, count: int) -> None:
        """Counts bytes of the body."""
        self._arrived_bytes += count

    def excuse(self) -> None:
        """Notes that the gateway did not read during this window."""
        self._excused = True

    def kept(self) -> bool:
        """Ends a window and begins the next; says whether enough arrived in it."""
        kept = self._excused or self._arrived_bytes >= self._wanted_bytes
        self.start()
        return kept
