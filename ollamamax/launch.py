"""A server's start and end as `twistd` and `twist` see them.

A start that fails prints one line on standard error and ends with status 1, in the foreground and as a daemon. Signals
are taken over once the reactor runs: Twisted's own handlers cut what is running, and end the process by the signal
itself instead of with status 0. Then, too, what is there to stay is taken out of the garbage collector's sight.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from types import FrameType

    from twisted.internet.base import ReactorBase

PROGRAM = "ollamamax"


class DrainableService(Protocol):
    """The server, as far as its launch and its end are concerned."""

    def privilegedStartService(self) -> None:
        """Takes what may fail: the port, the store."""

    def startService(self) -> None:
        """Starts, doing the former if nobody has."""

    def stopService(self) -> Deferred[None]:
        """Ends in good order."""

    def drain(self) -> Deferred[None]:
        """Ends in good order; may be asked again."""

    def force_stop(self) -> None:
        """Ends a drain at once."""


class StandardError:
    """Standard error as it was before `twistd` redirected it to the log or, as a daemon, to nothing."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = os.dup(descriptor)

    def say(self, line: str) -> None:
        """Prints a line, and lets go."""
        with suppress(OSError):
            os.write(self._descriptor, f"{line}\n".encode())
        self.release()

    def release(self) -> None:
        """Lets go, so that whoever reads the other end sees its end."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def freeze_heap() -> None:
    """Takes everything that is alive out of the garbage collector's sight, for good.

    The imported modules are most of what it would walk: without them a full collection stops the loop for some
    milliseconds instead of 50 to 90, and the interpreter's end takes 0.4 s less.
    """
    gc.collect()
    gc.freeze()


class Launch(Service):
    """A server's start and end as a service: failures become one line and status 1, signals a drain.

    Args:
        server: what is launched.
        reactor: the reactor that it runs on.
        start_error: what the server raises, with one line, where it cannot start.
        standard_error: where that line goes.
        daemon: whether the process is one, with a parent that waits in the terminal.
        pid_file: the file with this process's id that `twistd -n` leaves behind on such an end; empty for none.
        set_handler: sets the handler of a signal.
        freeze: called once the reactor runs, when what lives as long as the process has been made.
        log_observer: where `twistd` writes its log; None where that is not this server's to say.
    """

    _log = Logger()

    def __init__(
        self,
        server: DrainableService,
        reactor: ReactorBase,
        *,
        start_error: type[Exception],
        standard_error: StandardError,
        daemon: bool = False,
        pid_file: str = "",
        set_handler: Callable[[signal.Signals, Callable[[int, FrameType | None], None]], object] = signal.signal,
        freeze: Callable[[], object] = freeze_heap,
        log_observer: ILogObserver | None = None,
    ) -> None:
        self._server = server
        self._reactor = reactor
        self._start_error = start_error
        self._standard_error = standard_error
        self._daemon = daemon
        self._pid_file = pid_file
        self._set_handler = set_handler
        self._freeze = freeze
        self._log_observer = log_observer
        self._told_to_stop = False

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Takes its place in the application, where `twistd` looks for the observer of its log."""
        if self._log_observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log_observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Has the server take its port and open its store; not called by `twist`."""
        self._attempt(self._server.privilegedStartService)

    def startService(self) -> None:
        """Starts the server, and takes over the signals once the reactor has set its own handlers."""
        super().startService()
        self._attempt(self._server.startService)
        self._standard_error.release()
        self._reactor.callWhenRunning(self._take_signals)
        self._reactor.callWhenRunning(self._freeze)

    def stopService(self) -> Deferred[None]:
        """Ends the server, whatever stopped the reactor."""
        super().stopService()
        return self._server.stopService()

    def _attempt(self, start: Callable[[], None]) -> None:
        try:
            start()
        except self._start_error as error:
            self._log.error("cannot start: {error}", error=str(error))
            self._standard_error.say(f"{PROGRAM}: {error}")
            if self._daemon:
                # The parent waits for a word through twistd's status pipe, which only an Exception makes twistd write.
                raise
            with suppress(OSError):
                if self._pid_file and Path(self._pid_file).read_text(encoding="ascii") == str(os.getpid()):
                    Path(self._pid_file).unlink()
            raise SystemExit(1) from None

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._set_handler(number, lambda caught, _: self._reactor.callFromThread(self._stop, caught))
        self._set_handler(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._reload))

    def _reload(self) -> None:
        self._log.warn("SIGHUP: reload is not supported yet; restart to read the settings again")

    def _stop(self, caught: int) -> None:
        name = signal.Signals(caught).name
        if self._told_to_stop:
            self._log.warn("{signal} again: stopping at once", signal=name)
            self._server.force_stop()
            return
        self._told_to_stop = True
        self._log.info("{signal}: stopping", signal=name)
        self._server.drain().addErrback(self._drain_failed).addCallback(self._end)

    def _drain_failed(self, failure: Failure) -> None:
        self._log.failure("the drain failed; stopping all the same", failure)

    def _end(self, _: None) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()
