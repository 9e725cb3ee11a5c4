"""A launch over a fake server: its start, its refusals, its signals."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from twisted.application.service import Application, IService, IServiceCollection
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, globalLogPublisher

from ollamamax.launch import Launch, StandardError, freeze_heap


class StartRefused(Exception):
    """What the fake server raises where it cannot start."""


class FakeServer:
    """A server that notes what it is asked for."""

    def __init__(self, *, broken: str = "") -> None:
        self.broken = broken
        self.asked: list[str] = []
        self.drained: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        self.asked.append("privileged")
        if self.broken == "privileged":
            raise StartRefused("listen: the port is in use")

    def startService(self) -> None:
        self.asked.append("start")
        if self.broken == "start":
            raise StartRefused("listen: the port is in use")

    def stopService(self) -> Deferred[None]:
        self.asked.append("stop")
        return self.drained

    def drain(self) -> Deferred[None]:
        self.asked.append("drain")
        return self.drained

    def force_stop(self) -> None:
        self.asked.append("force")
        self.drained.callback(None)


class FakeReactor:
    """As much of a reactor as a launch uses; calls from elsewhere wait until `turn`."""

    def __init__(self) -> None:
        self.when_running: list[Callable[[], None]] = []
        self.waiting: list[Callable[[], None]] = []
        self.stops = 0

    def callWhenRunning(self, call: Callable[[], None]) -> None:  # noqa: N802 - Twisted's name
        self.when_running.append(call)

    def callFromThread(self, call: Callable[..., None], *arguments: object) -> None:
        self.waiting.append(lambda: call(*arguments))

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning

    def run(self) -> None:
        for call in self.when_running:
            call()

    def turn(self) -> None:
        calls, self.waiting = self.waiting, []
        for call in calls:
            call()


class Launched:
    """A launch with everything around it."""

    def __init__(
        self,
        server: FakeServer,
        path: Path,
        pid: str = "",
        *,
        daemon: bool = False,
        log_observer: ILogObserver | None = None,
    ) -> None:
        self.reader, writer = os.pipe()
        self.server = server
        self.reactor = FakeReactor()
        self.handlers: dict[int, Callable[[int, FrameType | None], None]] = {}
        self.frozen: list[list[str]] = []
        self.pid_file = path / "twistd.pid"
        if pid:
            self.pid_file.write_text(pid)
        self.service = Launch(
            server,
            self.reactor,  # type: ignore[arg-type]
            start_error=StartRefused,
            standard_error=StandardError(writer),
            daemon=daemon,
            pid_file=str(self.pid_file),
            set_handler=self.handlers.__setitem__,
            freeze=lambda: self.frozen.append(list(server.asked)),
            log_observer=log_observer,
        )
        os.close(writer)

    def said(self) -> str:
        """All that was printed; waits until the launch has let go of standard error."""
        with os.fdopen(self.reader) as stream:
            return stream.read()

    def signal(self, number: signal.Signals) -> None:
        """Delivers a signal, and lets the reactor see it."""
        self.handlers[number](number, None)
        self.reactor.turn()


# Starting.


def test_a_start_goes_through_both_phases_and_lets_go_of_standard_error(tmp_path: Path) -> None:
    """As `twistd` starts it; nothing is printed."""
    launched = Launched(FakeServer(), tmp_path)
    assert IService.providedBy(launched.service)
    launched.service.privilegedStartService()
    launched.service.startService()
    assert launched.server.asked == ["privileged", "start"]
    assert launched.service.running
    assert launched.said() == ""


def test_what_stays_is_taken_from_the_collector_once_all_of_it_is_there(tmp_path: Path) -> None:
    """That happens once, when the server has started and the reactor runs, and not before."""
    launched = Launched(FakeServer(), tmp_path)
    launched.service.privilegedStartService()
    launched.service.startService()
    assert launched.frozen == []
    launched.reactor.run()
    assert launched.frozen == [["privileged", "start"]]
    assert launched.said() == ""


def test_what_is_frozen_is_collected_no_more() -> None:
    """The collector no longer sees what was alive, and sees what comes after."""
    before: list[object] = [[]]
    freeze_heap()
    after: list[object] = [[]]
    seen = {id(each) for each in gc.get_objects()}
    assert (id(before) in seen, id(after) in seen) == (False, True)


def test_twistd_finds_the_observer_of_the_log_in_the_application(tmp_path: Path) -> None:
    """Where it looks for one; a launch that has none leaves twistd its own."""
    for observer in (globalLogPublisher, None):
        application = Application("x")
        launched = Launched(FakeServer(), tmp_path, log_observer=observer)
        launched.service.setServiceParent(application)
        assert application.getComponent(ILogObserver, None) is observer
        assert list(IServiceCollection(application)) == [launched.service]
        launched.service.startService()
        assert launched.said() == ""


@pytest.mark.parametrize("broken", ["privileged", "start"])
def test_a_refused_start_is_one_line_and_status_1(broken: str, tmp_path: Path) -> None:
    """On the standard error that the process was started with; the id file that nobody else removes goes too."""
    launched = Launched(FakeServer(broken=broken), tmp_path, pid=str(os.getpid()))
    with pytest.raises(SystemExit) as caught:
        launched.service.startService() if broken == "start" else launched.service.privilegedStartService()
    assert caught.value.code == 1
    assert launched.said() == "ollamamax: listen: the port is in use\n"
    assert not launched.pid_file.exists()


def test_a_daemons_refused_start_is_told_to_its_parent_by_twistd(tmp_path: Path) -> None:
    """The line is printed, and the error goes on to `twistd`, which tells the parent and removes the id file."""
    launched = Launched(FakeServer(broken="privileged"), tmp_path, pid=str(os.getpid()), daemon=True)
    with pytest.raises(StartRefused):
        launched.service.privilegedStartService()
    assert launched.said() == "ollamamax: listen: the port is in use\n"
    assert launched.pid_file.exists()


def test_an_id_file_of_another_process_stays(tmp_path: Path) -> None:
    """Only what this process wrote is removed."""
    launched = Launched(FakeServer(broken="start"), tmp_path, pid="1")
    with pytest.raises(SystemExit):
        launched.service.startService()
    assert launched.pid_file.read_text() == "1"
    launched.said()


# Stopping.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_then_stops_the_reactor(number: signal.Signals, tmp_path: Path) -> None:
    """Handlers are set once the reactor runs, after its own; the reactor stops when the drain is over, not before."""
    launched = Launched(FakeServer(), tmp_path)
    launched.service.startService()
    launched.said()
    assert not launched.handlers
    launched.reactor.run()
    launched.signal(number)
    assert launched.server.asked[-1] == "drain"
    assert launched.reactor.stops == 0
    launched.server.drained.callback(None)
    assert launched.reactor.stops == 1


def test_a_second_signal_forces_the_drain(tmp_path: Path) -> None:
    """Whichever the second is; the reactor stops once."""
    launched = Launched(FakeServer(), tmp_path)
    launched.service.startService()
    launched.said()
    launched.reactor.run()
    launched.signal(signal.SIGTERM)
    launched.signal(signal.SIGINT)
    assert launched.server.asked[-2:] == ["drain", "force"]
    assert launched.reactor.stops == 1


def test_a_drain_that_fails_is_logged_and_stops_all_the_same(
    tmp_path: Path, flush_logged_errors: Callable[..., list[object]]
) -> None:
    """A defect must not keep the process alive."""
    launched = Launched(FakeServer(), tmp_path)
    launched.service.startService()
    launched.said()
    launched.reactor.run()
    launched.server.drained = fail(ValueError("broken"))
    launched.reactor.stops = 1  # somebody else has stopped it already
    launched.signal(signal.SIGTERM)
    assert launched.reactor.stops == 2
    assert len(flush_logged_errors(ValueError)) == 1


def test_sighup_is_no_end(tmp_path: Path) -> None:
    """It neither stops nor drains."""
    launched = Launched(FakeServer(), tmp_path)
    launched.service.startService()
    launched.said()
    launched.reactor.run()
    launched.signal(signal.SIGHUP)
    assert launched.server.asked == ["start"]
    assert launched.reactor.stops == 0


def test_stopping_the_service_stops_the_server(tmp_path: Path) -> None:
    """Whatever stopped the reactor waits for the server."""
    launched = Launched(FakeServer(), tmp_path)
    launched.service.startService()
    launched.said()
    assert launched.service.stopService() is launched.server.drained
    assert not launched.service.running
