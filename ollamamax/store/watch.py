"""Who is alive, as one instance may judge of the others. Pure: every moment is an argument, in unix seconds.

Each instance writes a heartbeat, and one that has been silent for a minute is gone. But an instance that could not
reach the database for a minute finds everybody silent when it comes back, itself included, and so does everybody after
the database was away, or its clock leapt. So nobody judges before he has kept his own heartbeat for as long a time: had
the others been there, he would have seen theirs.
"""

from __future__ import annotations

import attrs

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
LONGEST_GAP_SECONDS = 30.0
"""Between two heartbeats of an instance that was there all the time: two of them may be late."""


@attrs.frozen
class Watch:
    """For how long an instance has been keeping its heartbeat.

    Attributes:
        since: the first heartbeat of the row without a gap.
        until: the last one.
    """

    since: float
    until: float

    def beaten(self, now: float) -> Watch:
        """The watch after one more heartbeat."""
        is_unbroken = 0.0 <= now - self.until <= LONGEST_GAP_SECONDS
        return Watch(self.since if is_unbroken else now, now)

    @property
    def may_judge(self) -> bool:
        """Whether it has lasted long enough to tell who is silent."""
        return self.until - self.since >= SILENCE_SECONDS


def silent_before(now: float) -> float:
    """The moment such that whoever gave no sign since then is gone."""
    return now - SILENCE_SECONDS
