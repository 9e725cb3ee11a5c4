"""The scheduler under any course of events: what never happens, and that everybody gets a turn."""

from __future__ import annotations

import math
from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.simulator.models import model_of
from ollamamax.simulator.scheduler import Event, Job, Outcome, Runner, Scheduler
from ollamamax.simulator.settings import parsed_model

MODELS = [model_of(parsed_model(name), 0.0) for name in "abcd"]

_JOBS = st.builds(
    Job,
    st.sampled_from(MODELS),
    st.integers(1, 2),
    keep_alive=st.sampled_from([0.0, 1.0, 5.0, math.inf]),
    load_seconds=st.sampled_from([0.0, 1.0, 3.0]),
    parallel=st.just(2),
    takes_slot=st.booleans(),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), _JOBS),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 0.001, 0.5, 1.0, 7.0])),
        st.tuples(st.sampled_from(["release", "crash alone", "crash for all"]), st.integers(0, 20)),
        st.tuples(st.just("expire"), st.sampled_from(MODELS)),
    ),
    max_size=40,
)


class Walk:
    """A scheduler, and what became of whom so far."""

    def __init__(self, max_queue: int, max_loaded: int, overhead: float) -> None:
        self.target = Scheduler(max_queue=max_queue, max_loaded=max_loaded, overhead_seconds=overhead)
        self.max_loaded = max_loaded
        self.now = 0.0
        self.live: list[Job] = []
        self.told: dict[Job, list[Event]] = {}

    def take(self, outcomes: list[Outcome]) -> None:
        """Notes outcomes; each is of a request that is still there."""
        for event, job in outcomes:
            assert job in self.live
            self.told[job].append(event)
            if event in (Event.REFUSED, Event.LOST):
                self.live.remove(job)
        self.check()

    def step(self, kind: str, what: object) -> None:
        """One event."""
        if isinstance(what, Job):
            job = attrs.evolve(what)
            self.live.append(job)
            self.told[job] = []
            self.take(self.target.submit(job, self.now))
        elif kind == "pass":
            assert isinstance(what, float)
            self.now += what
            self.take(self.target.advance(self.now))
        elif kind == "expire":
            self.take(self.target.expire(what.weights.digest, self.now))  # type: ignore[attr-defined]
        elif self.live:
            assert isinstance(what, int)
            job = self.live.pop(what % len(self.live))
            if kind == "release":
                self.take(self.target.release(job, self.now))
            else:
                self.take(self.target.crash(job, self.now, everyone=kind == "crash for all"))

    def check(self) -> None:
        """What is so after every event."""
        residents = list(self.target.resident(self.now))
        assert len(residents) <= self.max_loaded
        assert len({runner.model.weights.digest for runner in residents}) == len(residents)
        leaving = [runner.leaves_at(self.now) for runner in residents]
        assert leaving == sorted(leaving, reverse=True)
        due = self.target.next_at()
        assert due is None or self.now < due < math.inf
        for runner in residents:
            self.check_runner(runner)
        for job in self.live:
            held = job.runner is not None
            assert held == (job.acquired_at is not None)
            assert not held or job.runner in residents or job.runner.broken  # type: ignore[union-attr]
            events = [Event.ACQUIRED] * held + [Event.STARTED] * (job.started_at is not None)
            assert self.told[job] == events

    def check_runner(self, runner: Runner) -> None:
        """Slots are not oversold, none is free while somebody waits, and nobody holds it who is gone."""
        assert runner.jobs <= set(self.live)
        assert runner.running | set(runner.waiting) == {job for job in runner.jobs if job.takes_slot}
        assert not runner.running & set(runner.waiting)
        assert len(runner.running) <= runner.parallel
        assert not runner.waiting or len(runner.running) == runner.parallel
        assert (runner.expires_at is None) == bool(runner.jobs)
        assert runner.expires_at is None or runner.expires_at > self.now


@given(_STEPS, st.integers(0, 4), st.integers(1, 3), st.sampled_from([0.0, 0.002]))
def test_whatever_happens_everybody_gets_a_turn(
    steps: list[tuple[str, object]], max_queue: int, max_loaded: int, overhead: float
) -> None:
    """No slot is sold twice, no memory holds too much, nobody is told a thing twice; who stays is served in the end."""
    walk = Walk(max_queue, max_loaded, overhead)
    for kind, what in steps:
        walk.step(kind, what)
    for _ in range(4 * len(steps) + 4):
        for job in [job for job in walk.live if job.acquired_at is not None]:
            walk.step("release", walk.live.index(job))
        due = walk.target.next_at()
        if not walk.live:
            break
        walk.step("pass", max(due or 0.0, walk.now) - walk.now)
    assert walk.live == []
    walk.step("pass", 1000.0)
    assert all(runner.keep_alive == math.inf for runner in walk.target.resident(walk.now))
    assert walk.target.next_at() is None
    counts = Counter(event for events in walk.told.values() for event in set(events))
    assert counts.total() == sum(len(events) for events in walk.told.values())


@pytest.mark.parametrize("max_queue", [0, 1, 5])
def test_the_queue_holds_what_it_may(max_queue: int) -> None:
    """One is looked at, so many wait, the next one is refused."""
    walk = Walk(max_queue, 1, 0.0)
    for _ in range(max_queue + 3):
        walk.step("submit", Job(MODELS[0], 1, 5.0, 1.0))
    assert list(walk.told.values()) == [[]] * (max_queue + 1) + [[Event.REFUSED]] * 2
