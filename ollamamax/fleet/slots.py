"""For how long slots of nodes were held.

Pure. Time is counted in whole nanoseconds, as the order in which floats are added shows in their last digit, and a
counter that falls by that much is taken for one that began anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

_NANOSECONDS = 1_000_000_000

SlotKey = tuple[str, str]
"""A node and a model, both as they are shown."""


@attrs.frozen
class _Held:
    key: SlotKey
    since: int


class SlotTimes:
    """Seconds for which slots were held, those that are held now included; they never decrease.

    Each slot is known by whatever holds it, so that one can neither be counted twice nor be left behind.
    """

    def __init__(self) -> None:
        self._held: dict[object, _Held] = {}
        self._spent: Counter[SlotKey] = Counter()

    def begin(self, holder: object, key: SlotKey, at: float) -> None:
        """A slot is taken, at a time of a monotonic clock, in seconds."""
        self._held[holder] = _Held(key, round(at * _NANOSECONDS))
        self._spent.setdefault(key, 0)

    def end(self, holder: object, at: float) -> None:
        """It is given back; one that is not held is no concern."""
        held = self._held.pop(holder, None)
        if held is not None:
            self._spent[held.key] += _elapsed(held, at)

    def forget(self, node: str) -> None:
        """A node is gone, with all that was held there."""
        for holder in [holder for holder, held in self._held.items() if held.key[0] == node]:
            del self._held[holder]
        for key in [key for key in self._spent if key[0] == node]:
            del self._spent[key]

    def seconds(self, at: float) -> Mapping[SlotKey, float]:
        """The time spent by now, by node and model."""
        total = Counter(self._spent)
        for held in self._held.values():
            total[held.key] += _elapsed(held, at)
        return {key: nanoseconds / _NANOSECONDS for key, nanoseconds in total.items()}


def _elapsed(held: _Held, at: float) -> int:
    return max(0, round(at * _NANOSECONDS) - held.since)
