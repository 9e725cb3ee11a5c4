"""One generation from its arrival to its last token: waiting, the prompt's time, the pace, the reader's pace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeGuard

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from .failures import ApiFailure, engine_lost, engine_refused, server_busy
from .faults import LOST, Fault, FaultKind, Injected
from .runners import Runners
from .scheduler import Job
from .tokens import Plan, Speech, Token

_BURST_TOKENS = 64
"""Tokens that a generation without a pace sends before it lets others have their turn."""


@attrs.frozen
class Phases:
    """Where the time went, in seconds; together with the wait for a slot they are the whole."""

    total: float
    load: float
    slot: float
    prompt: float
    output: float


@attrs.define
class Progress:
    """How far a generation got, for whoever keeps an account of it.

    Attributes:
        tokens: made so far.
        cold: whether it paid for a load.
        phases: where the time went, once it is over.
        injected: what went wrong on purpose.
        done_reason: why the text ended, once it has.
    """

    tokens: int = 0
    cold: bool = False
    phases: Phases | None = None
    injected: FaultKind | None = None
    done_reason: str = ""


class TokenReceiver(Protocol):
    """Who gets the tokens."""

    def token_made(self, token: Token) -> None:
        """One token is there."""

    def disturbed(self, fault: Fault) -> None:
        """A fault is due that changes what is sent; what concerns the connection comes afterwards."""


@implementer(IPushProducer)
class Generation:
    """One request's time with a runner.

    Its Deferred fires with the phases when all is said, or fails with an `ApiFailure`, or with `Injected` where a fault
    is to end the answer; cancelling it stops everything in the same turn of the reactor.

    Args:
        clock: whose time it is.
        runners: where the model is got from.
        job: the request to the scheduler.
        plan: what is said; None: only the model is to be there.
        receiver: who gets the tokens.
        tokens_per_second: 0: as fast as the receiver takes them.
        prompt_seconds: what the prompt's evaluation takes.
    """

    def __init__(
        self,
        clock: IReactorTime,
        runners: Runners,
        job: Job,
        *,
        plan: Plan | None = None,
        receiver: TokenReceiver | None = None,
        tokens_per_second: float = 0.0,
        prompt_seconds: float = 0.0,
    ) -> None:
        self.progress = Progress()
        self._clock = clock
        self._runners = runners
        self._job = job
        self._plan = plan
        self._receiver = receiver
        self._fault = plan.fault if plan is not None else None
        self._rate = tokens_per_second
        self._prompt_seconds = prompt_seconds
        self._timer: IDelayedCall | None = None
        self._speech = Speech(iter(()), (), "")
        self._begun_at: float | None = None
        self._paused = False
        self._stalled = False
        self._paced_from = (0.0, 0)
        self.done: Deferred[Phases] = Deferred(lambda _: self._abandon())
        job.takes_slot = plan is not None

    def start(self) -> Deferred[Phases]:
        """Get in line."""
        if self._struck("busy"):
            self._job.arrived_at = self._clock.seconds()
            self._fail(server_busy())
            return self.done
        self._runners.submit(self._job, self)
        return self.done

    # What the scheduler says.

    def job_acquired(self) -> None:
        """The model is there."""
        self.progress.cold = self._job.cold
        if self._plan is None:
            self._finish()

    def job_started(self) -> None:
        """A slot is free: evaluate the prompt."""
        self._later(self._prompt_seconds, self._begin)

    def job_refused(self) -> None:
        """The queue is full."""
        self._fail(server_busy())

    def job_lost(self) -> None:
        """Another request has killed the engine."""
        self._fail(engine_lost())

    # What the reader says.

    def pauseProducing(self) -> None:
        """The reader is behind."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The reader has caught up; the pace counts from here."""
        if self._paused:
            self._paused = False
            waiting = self._begun_at is not None and self._timer is None and not self._stalled
            if waiting and not self.done.called:
                self._paced_from = (self._clock.seconds(), self.progress.tokens)
                self._later(0.0, self._speak)

    def stopProducing(self) -> None:
        """The reader has gone; the request's own end says so as well."""
        self._paused = True

    # The generation.

    def _begin(self) -> None:
        plan = self._plan
        assert plan is not None
        if self._struck("hang"):
            return
        if self._struck("http500"):
            self._fail(engine_refused())
            return
        if self._fault is not None and self._struck("slow"):
            self._rate = 1000.0 / self._fault.number if self._fault.number else 0.0
        self._begun_at = self._clock.seconds()
        self._paced_from = (self._begun_at, 0)
        self._speech = plan.speech()
        self._speak()

    def _speak(self) -> None:
        """Send what is due; without a pace, as much as the reader takes in one turn."""
        made = 0
        while not self._paused:
            due = self._due_at()
            now = self._clock.seconds()
            if due > now + 1e-9:
                self._later(due - now, self._speak)
                return
            if made >= _BURST_TOKENS:
                self._later(0.0, self._speak)
                return
            fault = self._fault
            if self._is_due(fault) and self._stopped_by(fault):
                return
            token = next(self._speech, None)
            if token is None:
                fault = self._fault
                if fault is None or fault.kind == "slow" or not self._stopped_by(fault):
                    self._finish()
                return
            made += 1
            self.progress.tokens += 1
            if self._receiver is not None:
                self._receiver.token_made(token)

    def _due_at(self) -> float:
        """When the next token is due; the end is due one token's time after the last one."""
        since, spoken = self._paced_from
        return since + (self.progress.tokens - spoken) / self._rate if self._rate else since

    # What goes wrong on purpose.

    def _struck(self, kind: FaultKind) -> bool:
        """Whether this is the fault that was planned; it is then on record."""
        if self._fault is None or self._fault.kind != kind:
            return False
        self.progress.injected = kind
        return True

    def _is_due(self, fault: Fault | None) -> TypeGuard[Fault]:
        return fault is not None and fault.kind != "slow" and self.progress.tokens >= fault.number

    def _stopped_by(self, fault: Fault) -> bool:
        """Let a fault happen; whether nothing comes after it."""
        self._fault = None
        self.progress.injected = fault.kind
        if fault.kind in LOST:
            self._stop_timer()
            self._runners.crash(self._job, everyone=fault.kind == "die")
            self._fail(engine_lost())
            return True
        if self._receiver is not None:
            self._receiver.disturbed(fault)
        if fault.kind == "garbage":
            return False
        self._stalled = fault.kind == "stall"
        if not self._stalled:
            self._fail(Injected(fault))
        return True

    # Its ends.

    def _finish(self) -> None:
        now = self._clock.seconds()
        # Once: what is told and what is accounted for is the same to the nanosecond.
        phases = self.progress.phases = self._phases(now)
        self.progress.done_reason = self._speech.done_reason
        self._close()
        self.done.callback(phases)

    def _fail(self, failure: ApiFailure | Injected) -> None:
        self._close()
        self.done.errback(failure)

    def _abandon(self) -> None:
        self._close()

    def _close(self) -> None:
        if self.progress.phases is None:
            self.progress.phases = self._phases(self._clock.seconds())
        self._stop_timer()
        self._runners.release(self._job)

    def _phases(self, now: float) -> Phases:
        job = self._job
        acquired = now if job.acquired_at is None else job.acquired_at
        started = (acquired if self._plan is None else now) if job.started_at is None else job.started_at
        begun = now if self._begun_at is None else self._begun_at
        return Phases(
            total=now - job.arrived_at,
            load=acquired - job.arrived_at,
            slot=started - acquired,
            prompt=begun - started,
            output=now - begun,
        )

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, self._fired, what)

    def _fired(self, what: Callable[[], None]) -> None:
        self._timer = None
        what()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
