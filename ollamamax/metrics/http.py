"""The metrics of the HTTP server, in compact arrays.

One pair of a stock counter and histogram child costs 4.6 KB, and there are more triples of method, endpoint and status
than the memory set aside for metrics has room for at that price. Here all numbers of a triple are 16 doubles in one
array (its 15 buckets and its sum), some 270 bytes with its key; names, buckets and text are those of the stock client.
The counter needs no number of its own: what was counted was also timed.

Everything is called on the reactor's thread, `snapshot` too; what `snapshot` gives may be rendered on any other.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, Literal

from ollamamax.metrics.catalogue import (
    HTTP_CLIENT_DISCONNECTS,
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_IN_FLIGHT,
)
from ollamamax.metrics.families import Families, Family, histogram, value, values
from ollamamax.metrics.overflow import Overflow

if TYPE_CHECKING:
    from collections.abc import Iterable

Phase = Literal["before_response", "mid_stream"]

HTTP_METRICS = (HTTP_REQUESTS, HTTP_REQUEST_DURATION, HTTP_REQUESTS_IN_FLIGHT, HTTP_CLIENT_DISCONNECTS)
MAX_SERIES = 3400
"""Room for every route with every status that its code can answer, in 0.93 MB when all of it is taken."""

OTHER_METHOD = "_OTHER"
OTHER_ENDPOINT = "other"
CLIENT_GONE = 499
"""The status of a request whose client left, as nginx logs it."""

_METHODS = {
    name.encode("ascii"): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}
_BOUNDS = HTTP_REQUEST_DURATION.buckets
_SUM = len(_BOUNDS) + 1
_WIDTH = _SUM + 1

_Key = tuple[str, str, str]


def method_label(method: bytes) -> str:
    """The label of a request's method: those of RFC 9110, section 9.3, and PATCH by name, all others `_OTHER`."""
    return _METHODS.get(method, OTHER_METHOD)


class HttpMetrics:
    """Counts and times requests.

    Each family holds at most `max_series` triples (pairs, for disconnects) under their own labels. Whatever is beyond
    is still counted, in the right class of status, under `_OTHER` and the endpoint `other`: `200` stands for every
    2xx there and so on (499 stays), so that sums and ratios of errors remain true. It is counted as overflowed too.

    Args:
        overflow: what counts those; an own one where nobody else's is given.
        max_series: how much a family holds.

    Attributes:
        live: the requests being processed; its size is the number in flight.
        overflow: counts what found no room.
    """

    def __init__(self, overflow: Overflow | None = None, *, max_series: int = MAX_SERIES) -> None:
        self.overflow = overflow or Overflow()
        self.overflow.declare(HTTP_REQUESTS, HTTP_REQUEST_DURATION, HTTP_CLIENT_DISCONNECTS)
        self.live: set[object] = set()
        self._max_series = max_series
        self._index: dict[_Key, int] = {}
        self._cells = array("d")
        self._disconnects: dict[tuple[str, str], int] = {}
        self._statuses: dict[int, str] = {}

    def observe(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Records the end of one request.

        Args:
            method: as `method_label` gives it.
            endpoint: the route's pattern.
            status: the HTTP status, or 499 for a client that left.
            seconds: from the request's arrival to its end.
        """
        key = (method, endpoint, self._statuses.get(status) or self._status_label(status))
        at = self._index.get(key)
        if at is None:
            at = self._place(key, status)
        self._cells[at + bisect_left(_BOUNDS, seconds)] += 1.0
        self._cells[at + _SUM] += seconds

    def client_disconnected(self, endpoint: str, phase: Phase) -> None:
        """Counts a client that left: before the response's head was written, or in the middle of its body."""
        key = (endpoint, phase)
        if key not in self._disconnects and len(self._disconnects) >= self._max_series:
            self.overflow.add(HTTP_CLIENT_DISCONNECTS)
            key = (OTHER_ENDPOINT, phase)
        self._disconnects[key] = self._disconnects.get(key, 0) + 1

    def snapshot(self) -> Families:
        """Copies the state as it is now; the arrays by one `memcpy`, so this costs the reactor some 0.1 ms at most."""
        return partial(
            _families,
            tuple(self._index),
            self._cells[:],
            len(self.live),
            tuple(self._disconnects.items()),
        )

    def _status_label(self, status: int) -> str:
        """The text of a status; kept once, since each request may bring an integer object of its own."""
        label = str(status)
        if 100 <= status <= 599:
            self._statuses[status] = label
        return label

    def _place(self, key: _Key, status: int) -> int:
        if len(self._index) >= self._max_series:
            self.overflow.add(HTTP_REQUESTS, HTTP_REQUEST_DURATION)
            key = (OTHER_METHOD, OTHER_ENDPOINT, _folded(status))
            at = self._index.get(key)
            if at is not None:
                return at
        at = self._index[key] = len(self._cells)
        self._cells.extend([0.0] * _WIDTH)
        return at


def _folded(status: int) -> str:
    if status == CLIENT_GONE:
        return str(status)
    return str(status // 100 * 100) if 100 <= status <= 599 else "500"


def _families(
    keys: tuple[_Key, ...],
    cells: array[float],
    in_flight: int,
    disconnects: tuple[tuple[tuple[str, str], int], ...],
) -> Iterable[Family]:
    starts = range(0, len(cells), _WIDTH)
    yield values(HTTP_REQUESTS, ((key, sum(cells[at : at + _SUM])) for key, at in zip(keys, starts, strict=True)))
    yield histogram(
        HTTP_REQUEST_DURATION,
        ((key, cells[at : at + _SUM], cells[at + _SUM]) for key, at in zip(keys, starts, strict=True)),
    )
    yield value(HTTP_REQUESTS_IN_FLIGHT, in_flight)
    yield values(HTTP_CLIENT_DISCONNECTS, disconnects)
