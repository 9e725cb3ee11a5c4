"""Real server processes for tests: started from settings, found by what they log, always stopped."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ollamamax.store.sqlite import DEFAULT_FILE_NAME
from ollamamax.store.upgrade import Administration

START_SECONDS = 30.0
STOP_SECONDS = 20.0
_LISTENING = re.compile(r"listening on ([^\s\"]+)")
_POLL_SECONDS = 0.02


class Process:
    """One `twistd` process.

    Attributes:
        url: where it listens, once started.
        log: the file that takes its output.
    """

    def __init__(
        self, program: str, directory: Path, arguments: Sequence[str], environ: Mapping[str, str], reactor: str
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "log"
        self.directory = directory
        self.url = ""
        self._stopping = False
        twistd = str(Path(sys.executable).with_name("twistd"))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMAMAX_")}
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [twistd, "-n", f"--reactor={reactor}", "--pidfile=", program, *arguments],
                cwd=directory,
                env={**clean, "XDG_STATE_HOME": str(directory / "state"), "HOME": str(directory), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_listening(self) -> None:
        """Waits for the line in its log that tells where it listens.

        Raises:
            AssertionError: it ended, or took too long; the text has its log.
        """
        self._wait(self._found, "did not say where it listens")

    def wait_ready(self) -> None:
        """Waits until `/ready` answers 200."""
        self.wait_listening()
        self._wait(lambda: self.status("/ready") == 200, "was not ready")

    def status(self, path: str) -> int:
        """The status of a GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def text(self) -> str:
        """What it has logged by now."""
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Waits for its end; its exit status."""
        return self._process.wait(seconds)

    def begin_stop(self) -> None:
        """Tells it to end, once, as an operator would."""
        if self._process.poll() is None and not self._stopping:
            self._stopping = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ends it as an operator would; its exit status."""
        self.begin_stop()
        if self._process.poll() is None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def resident_bytes(self) -> int:
        """Its resident memory."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def _found(self) -> bool:
        match = _LISTENING.search(self.text())
        if match is None:
            return False
        self.url = match.group(1)
        return True

    def _wait(self, condition: object, problem: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():  # type: ignore[operator]
            ended = self._process.poll()
            if ended is not None:
                raise AssertionError(f"the process ended with status {ended}:\n{self.text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the process {problem}:\n{self.text()}")
            time.sleep(_POLL_SECONDS)


class Processes:
    """Starts processes and ends all of them; the fixtures `processes` and `shared_processes`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Process] = []

    def gateway(
        self, *arguments: str, environ: Mapping[str, str] | None = None, reactor: str = "default", ready: bool = True
    ) -> Process:
        """A gateway on a free port of loopback, with a store of its own, whose schema is there already."""
        given = (
            arguments
            if any(a.startswith("--listen") for a in arguments) or (environ or {}).get("OLLAMAMAX_LISTEN")
            else ("--listen=tcp:0:interface=127.0.0.1", *arguments)
        )
        _put_schema(self._next("ollamamax") / "state" / "ollamamax")
        process = self._start("ollamamax", given, environ, reactor)
        if ready:
            process.wait_ready()
        return process

    def bare_gateway(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Process:
        """A gateway with these arguments and no others, which may come to nothing: nothing is waited for."""
        return self._start("ollamamax", arguments, environ, "default")

    def simulator(self, *arguments: str) -> Process:
        """A simulated Ollama on a free port of loopback."""
        process = self._start("ollamamax-simulator", ("--listen=tcp:0:interface=127.0.0.1", *arguments), {}, "default")
        process.wait_listening()
        return process

    def stop_all(self) -> None:
        """Ends every process that is still running."""
        for process in self._started:
            process.begin_stop()
        for process in self._started:
            process.stop()

    def _start(
        self, program: str, arguments: Sequence[str], environ: Mapping[str, str] | None, reactor: str
    ) -> Process:
        process = Process(program, self._next(program), arguments, environ or {}, reactor)
        self._started.append(process)
        return process

    def _next(self, program: str) -> Path:
        return self._directory / f"{program}-{len(self._started)}"


def _put_schema(state_directory: Path) -> None:
    """Saves a server the migration of an empty file, a third of its start; that it makes one is tested for itself."""
    state_directory.mkdir(mode=0o700, parents=True)
    shutil.copy(_empty_database(), state_directory / DEFAULT_FILE_NAME)


@cache
def _empty_database() -> Path:
    """A SQLite file with the present schema, made once in each process of a test run."""
    directory = Path(tempfile.mkdtemp(prefix="ollamamax-schema-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    Administration("", directory).upgrade()
    return directory / DEFAULT_FILE_NAME
