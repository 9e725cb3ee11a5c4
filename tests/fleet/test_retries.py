"""Which failures are tried elsewhere, and how many at a time."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from ollamamax import errors
from ollamamax.errors import GatewayError
from ollamamax.fleet.retries import REASONS, AttemptCounts, RetryBudget, reason_of

TRIED_ELSEWHERE = [
    # error, reason, with a body that streams in, with `unstarted` off
    (errors.NodeConnectFailed(), "connect_failed", "connect_failed", "connect_failed"),
    (errors.NodeTimedOut("connect", 2.0), "connect_timeout", "connect_timeout", "connect_timeout"),
    (errors.NodeBusy(), "busy", None, "busy"),
    (errors.NodeClosedEarly(unanswered=True), "unanswered", None, None),
]
ANSWERS = [
    errors.NodeClosedEarly(unanswered=False),
    errors.NodeProtocolError(),
    errors.NodeTruncated(),
    errors.NodeFailure(),
    *(errors.NodeTimedOut(phase, 2.0) for phase in ("first_byte", "idle", "whole_response")),
    errors.Unavailable(),
    errors.ShuttingDown(),
    errors.BodyMemoryExhausted(),
    errors.ModelNotFound("x"),
    errors.InvalidBody(),
    errors.InternalError(),
]


@pytest.mark.parametrize(("error", "reason", "streamed", "held"), TRIED_ELSEWHERE, ids=lambda value: str(value)[:30])
def test_what_is_tried_elsewhere(error: GatewayError, reason: str, streamed: str | None, held: str | None) -> None:
    """No connection always; what the node had, only where the body can be sent again and the settings let it."""
    assert reason_of(error, repeatable=True, unstarted=True) == reason
    assert reason_of(error, repeatable=False, unstarted=True) == streamed
    assert reason_of(error, repeatable=True, unstarted=False) == held
    assert reason in REASONS


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: type(error).__name__)
def test_what_is_the_answer(error: GatewayError) -> None:
    """A node that is slow, that began to answer, that makes no sense; what the gateway itself or the client did."""
    assert reason_of(error, repeatable=True, unstarted=True) is None


def test_every_kind_of_failure_is_decided_here() -> None:
    """A failure of a node that is new has to be put into one of the lists above."""
    of_nodes = {errors.NodeBusy, errors.NodeFailure, *errors.NodeFailure.__subclasses__()}
    assert of_nodes <= {type(error) for error in ANSWERS} | {type(error) for error, *_ in TRIED_ELSEWHERE}


@pytest.mark.parametrize(
    ("ratio", "minimum", "active", "room"),
    [
        (0.2, 3, 0, 3),
        (0.2, 3, 15, 3),
        (0.2, 3, 19, 3),
        (0.2, 3, 20, 4),
        (0.2, 0, 4, 0),
        (0.2, 0, 5, 1),
        (0.29, 0, 100, 29),
        (1.0, 0, 7, 7),
        (0.0, 0, 100, 0),
        (0.0, 2, 100, 2),
    ],
)
def test_the_room_for_retries(ratio: float, minimum: int, active: int, room: int) -> None:
    """A part of the requests under way, rounded down, and no less than the minimum."""
    budget = RetryBudget(ratio, minimum)
    for request in range(active):
        budget.enter(request)
    assert budget.room == room
    taken = [request for request in range(active) if budget.take(request)]
    assert taken == list(range(min(active, room)))
    assert (budget.active, budget.retrying) == (active, len(taken))


def test_a_request_holds_one_retry_at_most() -> None:
    """Its next retry takes the place of the one that failed, and it is over with its request."""
    budget = RetryBudget(0.0, 1)
    for request in "ab":
        budget.enter(request)
    assert [budget.take("a"), budget.take("a"), budget.allows("a"), budget.allows("b"), budget.take("b")] == [
        *(True, True, True, False, False)
    ]
    budget.leave("a")
    budget.leave("a")
    assert (budget.active, budget.retrying, budget.take("b")) == (1, 0, True)


def test_counts_begin_at_zero() -> None:
    """So that the first retry of a kind is seen as an increase."""
    assert AttemptCounts().retries == dict.fromkeys(REASONS, 0)
    assert AttemptCounts().attempts == {}


class BudgetMachine(RuleBasedStateMachine):
    """Requests that come, fail, are tried again and go, beside a count of them that is kept by hand."""

    budget_class = RetryBudget
    requests: Bundle[int] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.ratio, self.minimum = 0.25, 2
        self.budget = self.budget_class(self.ratio, self.minimum)
        self.active: list[int] = []
        self.retrying: list[int] = []
        self.number = 0

    @rule(target=requests)
    def enters(self) -> int:
        self.number += 1
        self.budget.enter(self.number)
        self.active.append(self.number)
        return self.number

    @rule(request=requests, asks_first=st.booleans())
    def fails(self, request: int, asks_first: bool) -> None:
        if asks_first:
            told = self.budget.allows(request)
            assert self.budget.take(request) is told
        else:
            told = self.budget.take(request)
        others = [other for other in self.retrying if other != request]
        # By hand, in whole numbers: a quarter of the requests, or two.
        assert told is (len(others) + 1 <= 2 or 4 * (len(others) + 1) <= len(self.active))
        if told:
            self.retrying = [*others, request]

    @rule(request=consumes(requests))
    def leaves(self, request: int) -> None:
        self.budget.leave(request)
        self.active.remove(request)
        self.retrying = [other for other in self.retrying if other != request]

    @invariant()
    def counts_are_those_kept_by_hand(self) -> None:
        assert (self.budget.active, self.budget.retrying) == (len(self.active), len(self.retrying))


class OffByOne(RetryBudget):
    """Lets one retry too many begin."""

    def allows(self, request: object) -> bool:
        return len(self._retrying - {request}) <= self.room


class BlindToLeaving(RetryBudget):
    """Forgets that a request that is over has no retry under way."""

    def leave(self, request: object) -> None:
        self._active.discard(request)


def _run(budget: type[RetryBudget]) -> None:
    machine = type("Machine", (BudgetMachine,), {"budget_class": budget})
    # Without the search for the shortest walk, which takes the longest time.
    limits = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    run_state_machine_as_test(machine, settings=limits)


def test_no_retry_begins_beyond_the_budget() -> None:
    """Whatever comes and goes in whatever order."""
    _run(RetryBudget)


@pytest.mark.parametrize("planted", [OffByOne, BlindToLeaving])
def test_the_walk_finds_a_planted_fault(planted: type[RetryBudget]) -> None:
    """The test above can fail."""
    with pytest.raises(AssertionError):
        _run(planted)
