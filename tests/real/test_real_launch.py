"""Real processes: `twistd` and `twist`, in the foreground and as daemons, on each reactor: lines, statuses, signals."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REACTORS = ["default", "asyncio"]  # the default one is epoll, on Linux
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.02

# A server that drains for as long as it is let, so that what a signal does can be seen from outside.
SLOW_SERVER = """
import sys
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from ollamamax.launch import Launch, StandardError
from ollamamax.tap import keep_time

log = Logger()
broken, drain_seconds = {broken!r}, {drain_seconds!r}

class Broken(Exception):
    pass

class Server:
    drained = None
    def privilegedStartService(self):
        if broken:
            raise Broken(broken)
    def startService(self):
        reactor.callLater(0, log.info, "the server runs")
    def stopService(self):
        return succeed(None)
    def drain(self):
        log.info("the server drains")
        self.drained = Deferred()
        if drain_seconds is not None:
            reactor.callLater(drain_seconds, self.drained.callback, None)
        return self.drained
    def force_stop(self):
        self.drained.callback(None)

keep_time(reactor)
application = Application("slow")
Launch(
    Server(), reactor, start_error=Broken, standard_error=StandardError(), daemon=True
).setServiceParent(application)
"""


def environment(tmp_path: Path, **more: str) -> Mapping[str, str]:
    """A plain environment in which this tree's plugin is found and nothing of the user's is."""
    kept = {name: os.environ[name] for name in os.environ if name.startswith("COVERAGE") or name == "PATH"}
    return {**kept, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1", **more}


def command(name: str) -> list[str]:
    """`twistd` or `twist`, by the interpreter that runs the tests."""
    entry = {"twistd": "twisted.scripts.twistd", "twist": "twisted.application.twist._twist"}[name]
    call = {"twistd": "run()", "twist": "Twist.main()"}[name]
    imported = {"twistd": "run", "twist": "Twist"}[name]
    return [sys.executable, "-c", f"import sys; sys.argv[0] = {name!r}; from {entry} import {imported}; {call}"]


def run(arguments: list[str], tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A process that ends by itself."""
    return subprocess.run(
        arguments,
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Running:
    """A process whose output, standard error included, goes to a file.

    Attributes:
        process: the process.
    """

    def __init__(self, arguments: list[str], tmp_path: Path) -> None:
        self._output = tmp_path / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                arguments, cwd=tmp_path, env=environment(tmp_path), stdout=output, stderr=subprocess.STDOUT
            )

    def text(self) -> str:
        """All that it has printed by now."""
        return self._output.read_text()

    def await_words(self, words: str) -> str:
        """Waits for words in its output, and returns the rest of their line."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL_SECONDS)
        return self.text().partition(words)[2].partition("\n")[0]

    def end(self) -> tuple[int, str]:
        """Waits for its end: status and output."""
        status = self.process.wait(PATIENCE_SECONDS)
        return status, self.text()


@contextmanager
def running(arguments: list[str], tmp_path: Path) -> Iterator[Running]:
    """A process that is ended at the latest when the block ends."""
    started = Running(arguments, tmp_path)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()


def slow_server(tmp_path: Path, *, drain_seconds: float | None = None, broken: str = "") -> str:
    """An application file for `twistd -y`."""
    path = tmp_path / "slow.tac"
    path.write_text(SLOW_SERVER.format(drain_seconds=drain_seconds, broken=broken))
    return str(path)


# What is wrong before anything runs.


@pytest.mark.parametrize("reactor", REACTORS)
@pytest.mark.parametrize("name", ["twistd", "twist"])
def test_wrong_settings_are_one_line_and_status_1(name: str, reactor: str, tmp_path: Path) -> None:
    """On standard error, and nothing else there: no traceback, no usage."""
    foreground = ["-n", "--pidfile="] if name == "twistd" else []
    done = run([*command(name), *foreground, f"--reactor={reactor}", "ollamamax", "--listen", "tcp:x"], tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        'ollamamax: listen (from --listen): "tcp:x" has no port from 0 to 65535; expected tcp:PORT:interface=ADDRESS\n'
    )
    assert "Traceback" not in done.stdout


def test_a_wrong_option_is_one_line_and_status_1(tmp_path: Path) -> None:
    """Where Twisted itself would print the usage of everything."""
    done = run([*command("twistd"), "-n", "ollamamax", "--lissten", "x"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "ollamamax: option --lissten not recognized\n")


def test_a_daemon_with_wrong_settings_never_leaves_the_terminal(tmp_path: Path) -> None:
    """The same line and status, without a process left behind."""
    done = run([*command("twistd"), "ollamamax"], tmp_path, OLLAMAMAX_NODES="desk")
    assert done.returncode == 1
    assert done.stderr.startswith('ollamamax: nodes (from OLLAMAMAX_NODES): "desk" cannot be used; expected NAME=URL')
    assert done.stderr.count("\n") == 1


# What is wrong when it starts.


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_busy_port_is_one_line_and_status_1(reactor: str, tmp_path: Path) -> None:
    """The whole server, under each reactor; the id file does not stay."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        done = run([*command("twistd"), "-n", f"--reactor={reactor}", "ollamamax", "--listen", listen], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("ollamamax: listen")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "twistd.pid").exists()


def test_a_busy_port_under_twist_is_one_line_and_status_1(tmp_path: Path) -> None:
    """`twist` has one phase of starting only."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        done = run([*command("twist"), "ollamamax", "--listen", listen], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("ollamamax: listen")
    assert done.stderr.count("\n") == 1


def test_a_daemon_that_cannot_start_says_so_to_the_user(tmp_path: Path) -> None:
    """After it has left the terminal: the line still gets there, with status 1, and into the log.

    The parent ends with that word; the daemon removes its pid file only then.
    """
    log, pid_file = tmp_path / "log", tmp_path / "pid"
    tac = slow_server(tmp_path, broken="the port is in use")
    done = run([*command("twistd"), f"--logfile={log}", f"--pidfile={pid_file}", "-y", tac], tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "ollamamax: the port is in use"
    assert "Traceback" not in done.stderr
    assert "cannot start: the port is in use" in log.read_text()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while pid_file.exists():
        assert time.monotonic() < deadline, "the pid file of a daemon that has ended is still there"
        time.sleep(POLL_SECONDS)


# Signals.


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_signal_drains_and_ends_with_status_0(reactor: str, tmp_path: Path) -> None:
    """SIGHUP before it changes nothing; SIGTERM waits for the drain; no critical line, no id file left."""
    tac = slow_server(tmp_path, drain_seconds=0.05)
    with running([*command("twistd"), "-n", f"--reactor={reactor}", "-y", tac], tmp_path) as started:
        started.await_words("the server runs")
        started.process.send_signal(signal.SIGHUP)
        started.await_words("reload is not supported yet")
        started.process.send_signal(signal.SIGTERM)
        status, text = started.end()
    assert status == 0
    assert "the server drains" in text
    assert "Server Shut Down" in text
    assert "critical" not in text
    assert "Traceback" not in text
    assert not (tmp_path / "twistd.pid").exists()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_forces_the_end(second: signal.Signals, tmp_path: Path) -> None:
    """A drain that would never end ends, with status 0."""
    tac = slow_server(tmp_path, drain_seconds=None)
    with running([*command("twistd"), "-n", "--pidfile=", "-y", tac], tmp_path) as started:
        started.await_words("the server runs")
        started.process.send_signal(signal.SIGTERM)
        started.await_words("the server drains")
        started.process.send_signal(second)
        status, text = started.end()
    assert status == 0
    assert "again: stopping at once" in text


def test_a_daemon_starts_logs_and_stops(tmp_path: Path) -> None:
    """The command returns with status 0 and lets go of the terminal; SIGTERM ends the daemon, and its id file goes."""
    log, pid_file = tmp_path / "log", tmp_path / "pid"
    tac = slow_server(tmp_path, drain_seconds=0.0)
    done = run([*command("twistd"), f"--logfile={log}", f"--pidfile={pid_file}", "-y", tac], tmp_path)
    pid = int(pid_file.read_text())
    ended = os.pidfd_open(pid)
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "the server runs" not in log.read_text() and time.monotonic() < deadline:
            select.select([ended], [], [], 0.02)
        os.kill(pid, signal.SIGTERM)
        # A process's descriptor becomes readable when the process has ended (pidfd_open(2)).
        assert select.select([ended], [], [], PATIENCE_SECONDS)[0]
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(ended)
    assert "the server drains" in log.read_text()
    assert not pid_file.exists()


@pytest.mark.parametrize("name", ["twistd", "twist"])
def test_the_whole_server_starts_on_a_free_port_and_drains(name: str, tmp_path: Path) -> None:
    """Port 0 is logged as the real one; SIGTERM ends with status 0."""
    foreground = ["-n", "--pidfile="] if name == "twistd" else ["--log-format=text"]
    arguments = ["ollamamax", "--listen", "tcp:0:interface=127.0.0.1", "--node", "none=http://127.0.0.1:9"]
    with running([*command(name), *foreground, *arguments], tmp_path) as started:
        port = int(started.await_words("listening on http://127.0.0.1:").rstrip("/"))
        # It listens before its reactor runs; an answer says that it does.
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_SECONDS) as response:
            assert response.status == 200
        started.process.send_signal(signal.SIGTERM)
        status, text = started.end()
    assert status == 0
    assert "Traceback" not in text
