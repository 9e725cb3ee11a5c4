"""The scheduler on a reactor's clock: a timer for what is due, and word to whom it concerns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .scheduler import Event, Job, Outcome, Runner, Scheduler


class JobListener(Protocol):
    """Who hears what becomes of a request."""

    def job_acquired(self) -> None:
        """The model is loaded and held for it."""

    def job_started(self) -> None:
        """It has a slot."""

    def job_refused(self) -> None:
        """The queue is full."""

    def job_lost(self) -> None:
        """The engine died under it."""


class Runners:
    """Drives a scheduler.

    Args:
        clock: whose time it is.
        scheduler: the state.
    """

    def __init__(self, clock: IReactorTime, scheduler: Scheduler) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._listeners: dict[Job, JobListener] = {}
        self._timer: IDelayedCall | None = None
        self._words: deque[Outcome] = deque()
        self._telling = False

    def submit(self, job: Job, listener: JobListener) -> None:
        """A request has come."""
        self._listeners[job] = listener
        self._tell(self._scheduler.submit(job, self._clock.seconds()))

    def release(self, job: Job) -> None:
        """A request is done with; its listener hears no more."""
        if self._listeners.pop(job, None) is not None:
            self._tell(self._scheduler.release(job, self._clock.seconds()))

    def crash(self, job: Job, *, everyone: bool) -> None:
        """The engine died under a request, which is done with thereby."""
        if self._listeners.pop(job, None) is not None:
            self._tell(self._scheduler.crash(job, self._clock.seconds(), everyone=everyone))

    def expire(self, digest: str) -> None:
        """Unload the model of these weights."""
        self._tell(self._scheduler.expire(digest, self._clock.seconds()))

    def resident(self) -> Iterator[Runner]:
        """The loaded models, as `ps` lists them."""
        return self._scheduler.resident(self._clock.seconds())

    @property
    def idle(self) -> bool:
        """Whether no request is on its way."""
        return not self._listeners

    def stop(self) -> None:
        """No timer is left behind."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._tell(self._scheduler.advance(self._clock.seconds()))

    def _tell(self, outcomes: list[Outcome]) -> None:
        """Pass on what happened, in order, also when somebody who hears it causes more."""
        self._words.extend(outcomes)
        if self._telling:
            return
        self._telling = True
        try:
            while self._words:
                event, job = self._words.popleft()
                if event in (Event.REFUSED, Event.LOST):
                    listener = self._listeners.pop(job, None)
                else:
                    listener = self._listeners.get(job)
                if listener is not None:
                    _WORDS[event](listener)
        finally:
            self._telling = False
        self._set_timer()

    def _set_timer(self) -> None:
        self.stop()
        due = self._scheduler.next_at()
        if due is not None:
            self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._due)


_WORDS = {
    Event.ACQUIRED: lambda listener: listener.job_acquired(),
    Event.STARTED: lambda listener: listener.job_started(),
    Event.REFUSED: lambda listener: listener.job_refused(),
    Event.LOST: lambda listener: listener.job_lost(),
}
