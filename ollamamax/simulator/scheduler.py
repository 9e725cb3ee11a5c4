"""Which request gets a runner, and when: Ollama's scheduler as a state machine that is told the time. Pure.

The rules (`server/sched.go`, and measured on 0.33):

- A request whose model is loaded with the same options takes that runner at once, whatever else waits; it then waits
  for one of the runner's slots without bound, first in first out.
- Every other request goes into one queue of bounded length; one is looked at at a time, the others wait behind it,
  the load included. A full queue refuses.
- The one looked at reuses, replaces (other options, a broken engine), evicts (too many models) or loads. What is busy
  is waited for, and requests for it that come later still go first.
- A load belongs to the request that started it and is given up with it.
- A runner that nobody uses stays for the keep_alive of its last request.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from .models import Model

_SLACK = 1e-9
"""Seconds by which a timer may come early: floating point."""


class Event(enum.Enum):
    """What becomes of a request."""

    REFUSED = "refused"
    ACQUIRED = "acquired"
    STARTED = "started"
    LOST = "lost"


@attrs.define(eq=False)
class Job:
    """One request on its way.

    Attributes:
        model: what it asks for.
        signature: the options whose change forces a reload.
        keep_alive: seconds that the model stays afterwards.
        load_seconds: how long a load takes.
        parallel: slots that a runner of this model has.
        takes_slot: False for one that only wants the model loaded.
        arrived_at: when it came; all times are of one clock, in seconds.
        acquired_at: when it got a runner.
        started_at: when it got a slot.
        cold: whether it paid for a load.
        runner: the runner that it has.
    """

    model: Model
    signature: Hashable
    keep_alive: float
    load_seconds: float
    parallel: int = 1
    takes_slot: bool = True
    arrived_at: float = 0.0
    acquired_at: float | None = None
    started_at: float | None = None
    cold: bool = False
    runner: Runner | None = None


@attrs.define(eq=False)
class Runner:
    """A model in memory, or on its way there.

    Attributes:
        loaded_at: when the load is or was complete.
        loader: the request that it is loaded for, while it is.
        jobs: all requests that hold it.
        running: those in a slot.
        waiting: those that wait for one.
        expires_at: when it goes, while nobody holds it.
        broken: whether its engine has died.
    """

    model: Model
    signature: Hashable
    parallel: int
    keep_alive: float
    loaded_at: float
    loader: Job | None = None
    jobs: set[Job] = attrs.Factory(set)
    running: set[Job] = attrs.Factory(set)
    waiting: deque[Job] = attrs.Factory(deque)
    expires_at: float | None = None
    used_at: float = 0.0
    broken: bool = False

    def fits(self, job: Job) -> bool:
        """Whether a request can use it as it is."""
        return not self.broken and self.signature == job.signature

    def leaves_at(self, now: float) -> float:
        """When it goes if nobody asks again."""
        return now + self.keep_alive if self.expires_at is None else self.expires_at


Outcome = tuple[Event, Job]


class Scheduler:
    """The state of all runners and of the queue before them.

    Args:
        max_queue: how many requests may wait for a load.
        max_loaded: how many models may be in memory.
        overhead_seconds: from a request's arrival to its being looked at.
    """

    def __init__(self, *, max_queue: int, max_loaded: int, overhead_seconds: float = 0.0) -> None:
        self._max_queue = max_queue
        self._max_loaded = max_loaded
        self._overhead = overhead_seconds
        self._arriving: deque[Job] = deque()
        self._pending: deque[Job] = deque()
        self._current: Job | None = None
        self._runners: dict[str, Runner] = {}
        self._outcomes: list[Outcome] = []

    def submit(self, job: Job, now: float) -> list[Outcome]:
        """A request has come."""
        job.arrived_at = now
        self._arriving.append(job)
        return self.advance(now)

    def release(self, job: Job, now: float) -> list[Outcome]:
        """A request is done with, or its client has left, wherever it is."""
        runner = job.runner
        if runner is not None:
            self._detach(runner, job, now)
        elif job is self._current:
            self._current = None
            loading = self._runners.get(job.model.weights.digest)
            if loading is not None and loading.loader is job:
                self._unload(loading)
        else:
            for queue in (self._arriving, self._pending):
                if job in queue:
                    queue.remove(job)
        return self.advance(now)

    def expire(self, digest: str, now: float) -> list[Outcome]:
        """Unload the model of these weights, once nobody uses it."""
        runner = self._runners.get(digest)
        if runner is not None and runner.loader is None:
            runner.keep_alive = 0.0
            if not runner.jobs:
                self._unload(runner)
        return self.advance(now)

    def crash(self, job: Job, now: float, *, everyone: bool) -> list[Outcome]:
        """The engine of this request's runner died; with `everyone`, for all who used it."""
        runner = job.runner
        if runner is not None:
            runner.broken = True
            others = [other for other in (*runner.running, *runner.waiting) if other is not job] if everyone else []
            if everyone:
                runner.waiting.clear()
            for other in others:
                self._outcomes.append((Event.LOST, other))
                self._detach(runner, other, now)
        return self.release(job, now)

    def advance(self, now: float) -> list[Outcome]:
        """The time is now; whatever is due happens.

        Returns:
            What became of which request, in order, since the last call.
        """
        while self._arriving and self._arriving[0].arrived_at + self._overhead <= now + _SLACK:
            self._route(self._arriving.popleft(), now)
        self._end_loads_and_stays(now)
        while self._look_at_next(now):
            pass
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def next_at(self) -> float | None:
        """When something is due without anybody's doing."""
        times = [math.inf]
        if self._arriving:
            times.append(self._arriving[0].arrived_at + self._overhead)
        for runner in self._runners.values():
            if runner.loader is not None:
                times.append(runner.loaded_at)
            elif runner.expires_at is not None:
                times.append(runner.expires_at)
        soonest = min(times)
        return None if soonest == math.inf else soonest

    def resident(self, now: float) -> Iterator[Runner]:
        """The loaded models, the one that stays longest first; one that is still loading is not among them."""
        loaded = [runner for runner in self._runners.values() if runner.loader is None]
        yield from sorted(loaded, key=lambda runner: runner.leaves_at(now), reverse=True)

    def _route(self, job: Job, now: float) -> None:
        runner = self._runners.get(job.model.weights.digest)
        if runner is not None and runner.loader is None and runner.fits(job):
            self._attach(runner, job, now)
        elif self._current is None and not self._pending:
            self._current = job
        elif len(self._pending) < self._max_queue:
            self._pending.append(job)
        else:
            self._outcomes.append((Event.REFUSED, job))

    def _end_loads_and_stays(self, now: float) -> None:
        for runner in list(self._runners.values()):
            loader = runner.loader
            if loader is not None and runner.loaded_at <= now + _SLACK:
                runner.loader = None
                self._current = None
                self._attach(runner, loader, now)
            elif runner.expires_at is not None and runner.expires_at <= now + _SLACK:
                self._unload(runner)

    def _look_at_next(self, now: float) -> bool:
        """One step for the request that is looked at; whether there may be a further one."""
        if self._current is None:
            if not self._pending:
                return False
            self._current = self._pending.popleft()
        job = self._current
        runner = self._runners.get(job.model.weights.digest)
        if runner is not None and runner.loader is not None:
            return False
        if runner is not None and runner.fits(job):
            self._current = None
            self._attach(runner, job, now)
            return True
        victim = runner
        if victim is None and len(self._runners) >= self._max_loaded:
            idle = [other for other in self._runners.values() if not other.jobs]
            victim = min(idle or self._runners.values(), key=lambda other: other.used_at)
        if victim is not None:
            if victim.jobs:
                return False
            self._unload(victim)
            return True
        job.cold = True
        self._runners[job.model.weights.digest] = Runner(
            job.model, job.signature, job.parallel, job.keep_alive, now + job.load_seconds, loader=job, used_at=now
        )
        self._end_loads_and_stays(now)
        return self._current is None

    def _attach(self, runner: Runner, job: Job, now: float) -> None:
        runner.jobs.add(job)
        runner.keep_alive = job.keep_alive
        runner.used_at = now
        runner.expires_at = None
        job.runner = runner
        job.acquired_at = now
        self._outcomes.append((Event.ACQUIRED, job))
        if job.takes_slot:
            runner.waiting.append(job)
            self._fill_slots(runner, now)

    def _detach(self, runner: Runner, job: Job, now: float) -> None:
        job.runner = None
        runner.jobs.discard(job)
        runner.running.discard(job)
        if job in runner.waiting:
            runner.waiting.remove(job)
        self._fill_slots(runner, now)
        if not runner.jobs:
            runner.used_at = now
            runner.expires_at = now + runner.keep_alive
            if runner.broken or runner.keep_alive <= 0:
                self._unload(runner)

    def _fill_slots(self, runner: Runner, now: float) -> None:
        while runner.waiting and len(runner.running) < runner.parallel:
            job = runner.waiting.popleft()
            runner.running.add(job)
            job.started_at = now
            self._outcomes.append((Event.STARTED, job))

    def _unload(self, runner: Runner) -> None:
        digest = runner.model.weights.digest
        if self._runners.get(digest) is runner:
            del self._runners[digest]
