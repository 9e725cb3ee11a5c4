"""The processes of a benchmark: started, watched for what they print, always ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).resolve().parent
START_SECONDS = 60.0


class Program:
    """A program of this folder, in a process of its own.

    Args:
        name: its file.
        arguments: of its command line.
        folder: where it runs, with its state and its log.
        environ: further variables.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OLLAMAMAX_")}
        path = os.pathsep.join([str(HERE.parent), kept.get("PYTHONPATH", "")])
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / name), *arguments],
                cwd=folder,
                env={**kept, "PYTHONPATH": path, "XDG_STATE_HOME": str(folder), **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self, words: str) -> list[str]:
        """The rest of each line with these words, once there is one.

        Raises:
            RuntimeError: it ended, or says nothing of the kind, with its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = [line.partition(words)[2] for line in self.log().splitlines() if words in line]
            if lines:
                return lines
            time.sleep(0.05)
        raise RuntimeError(self.log())

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def cpu_seconds(self) -> float:
        """The processor's time that it has used (`proc(5)`: fields 14 and 15 of `stat`, counted behind the name)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Gateway(Program):
    """A gateway before some nodes, ready.

    Args:
        nodes: their URLs.
        folder: see `Program`.
        options: of `gateway.py`.

    Attributes:
        port: of loopback, where it listens.
    """

    def __init__(self, nodes: Sequence[str], folder: Path, *options: str) -> None:
        named = [f"--node=node{number}={url}" for number, url in enumerate(nodes, start=1)]
        super().__init__("gateway.py", [*options, "--listen=tcp:0:interface=127.0.0.1", *named], folder)
        self.port = 0

    def __enter__(self) -> Self:
        (where,) = self.said("listening on http://127.0.0.1:")
        self.port = int(where)
        self.said("] ready: ")
        return self

    def get(self, path: str, **headers: str) -> bytes:
        """The body of a GET."""
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=asked)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def try_get(self, path: str) -> None:
        """A GET whose answer may be an error."""
        with suppress(OSError):
            self.get(path)
