"""When a request that failed at one node is tried on another one, and how many may be at a time.

Pure. A request may go elsewhere only while nothing of its answer has reached the client, which whoever asks has made
sure of, and only after a failure that says nothing about the request itself. Retries are bounded by the requests under
way, so that a fleet that fails as a whole is not sent its load twice (Envoy's retry budget has the same bound and
defaults: `budget_percent` 20, `min_retry_concurrency` 3).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal, get_args

from ollamamax.errors import GatewayError, NodeBusy, NodeClosedEarly, NodeConnectFailed, NodeTimedOut

Reason = Literal["connect_failed", "connect_timeout", "busy", "unanswered", "over_budget"]
"""Why a request was tried again; `over_budget` counts those that would have been, had there been room."""

REASONS: tuple[Reason, ...] = get_args(Reason)


def reason_of(error: GatewayError, *, repeatable: bool, unstarted: bool) -> Reason | None:
    """Why a request that failed may be tried on another node.

    Args:
        error: how it failed, nothing of an answer having reached the client.
        repeatable: whether its body can be sent again once a part of it was sent; false for one that streams in.
        unstarted: whether a request goes elsewhere whose node had it and died without a byte of an answer.

    Returns:
        The reason, or None where the failure is the answer.
    """
    match error:
        case NodeConnectFailed():
            return "connect_failed"
        case NodeTimedOut(phase="connect"):
            return "connect_timeout"
        case NodeBusy() if repeatable:
            return "busy"
        case NodeClosedEarly(unanswered=True) if repeatable and unstarted:
            return "unanswered"
        case _:
            return None


class RetryBudget:
    """Which requests are under way, and which of them on a node that is not their first.

    A retry begins only while fewer are under way than the budget has room for; one that runs is never ended because
    other requests have. Both are sets of whatever stands for a request, so that nothing can be counted twice or drift.

    Args:
        ratio: most retries, as a part of the requests under way.
        minimum: retries that may be under way however few requests are.
    """

    def __init__(self, ratio: float, minimum: int) -> None:
        self._ratio = ratio
        self._minimum = minimum
        self._active: set[object] = set()
        self._retrying: set[object] = set()

    @property
    def active(self) -> int:
        """Requests under way."""
        return len(self._active)

    @property
    def retrying(self) -> int:
        """Those that are being tried again."""
        return len(self._retrying)

    @property
    def room(self) -> int:
        """How many retries may be under way now."""
        # Rounded, as 0.29 × 100 is a little less than 29.
        return max(self._minimum, math.floor(round(self._ratio * len(self._active), 6)))

    def enter(self, request: object) -> None:
        """A request begins."""
        self._active.add(request)

    def leave(self, request: object) -> None:
        """A request is over, and so is its retry."""
        self._active.discard(request)
        self._retrying.discard(request)

    def allows(self, request: object) -> bool:
        """Whether a request may be tried again now; a retry of it that has failed makes room for its next one."""
        return len(self._retrying - {request}) < self.room

    def take(self, request: object) -> bool:
        """Begins a retry of a request, where that is allowed; whether it was."""
        allowed = self.allows(request)
        if allowed:
            self._retrying.add(request)
        return allowed


class AttemptCounts:
    """What became of attempts and retries since the start.

    Attributes:
        attempts: how many attempts ended, by node and outcome.
        retries: how many attempts were made for each reason, and how many were not for want of budget.
    """

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.retries: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
