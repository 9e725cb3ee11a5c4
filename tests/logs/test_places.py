"""Where twistd and twist write the log."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest
from twisted.logger import ILogObserver
from twisted.python.logfile import LogFile

from ollamamax.logs.places import observer_at


class Reactor:
    """Takes calls of other threads and of signals."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.calls.append(call)


@pytest.fixture
def unhandled() -> Iterator[None]:
    """A process in which nobody handles SIGUSR1; its handler is put back."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def at(options: dict[str, Any], reactor: Reactor | None = None) -> Any:
    """The file of the observer; the factory of the test gives the file itself."""
    return observer_at(options, cast("Any", lambda file: file), cast("Any", reactor or Reactor()))


@pytest.mark.parametrize("options", [{}, {"nodaemon": 1, "logfile": None}, {"nodaemon": 1, "logfile": "-"}])
def test_the_foreground_is_standard_output(options: dict[str, Any]) -> None:
    """As twistd has it without a file."""
    assert at(options) is sys.stdout


@pytest.mark.parametrize("options", [{"logger": len}, {"syslog": True}, {"logfile": "-", "nodaemon": 0}])
def test_what_is_twistds_own_stays_so(options: dict[str, Any]) -> None:
    """An observer of the user's, the system's log, and a daemon before standard output, which twistd refuses."""
    assert at(options) is None


@pytest.mark.usefixtures("unhandled")
@pytest.mark.parametrize(("options", "name"), [({"nodaemon": 0}, "twistd.log"), ({"logfile": "my.log"}, "my.log")])
def test_a_file_rotates_at_a_signal(
    options: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon's own file, or the one that is named; at SIGUSR1 it begins anew, on the reactor's thread."""
    monkeypatch.chdir(tmp_path)
    reactor = Reactor()
    file = at(options, reactor)
    assert isinstance(file, LogFile)
    file.write("before\n")
    signal.raise_signal(signal.SIGUSR1)
    (rotate,) = reactor.calls
    rotate()
    file.write("after\n")
    file.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "after\n", f"{name}.1": "before\n"}


@pytest.mark.usefixtures("unhandled")
def test_a_handler_of_the_signal_is_left_alone(tmp_path: Path) -> None:
    """As twistd leaves it."""
    signal.signal(signal.SIGUSR1, mine := lambda *_: None)
    at({"logfile": str(tmp_path / "x")}).close()
    assert signal.getsignal(signal.SIGUSR1) is mine


def test_twist_makes_the_observer() -> None:
    """Of its own options: it chose the file, and only the form is put there."""

    def factory(file: IO[str]) -> ILogObserver:
        raise NotImplementedError

    options: dict[str, Any] = {"fileLogObserverFactory": None, "logFile": sys.stderr}
    assert observer_at(options, factory, cast("Any", Reactor())) is None
    assert options["fileLogObserverFactory"] is factory
