"""A real Prometheus of a test: started before servers that it scrapes, asked by its API, always stopped."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import httpx

PATIENCE_SECONDS = 20.0


class Result(TypedDict):
    """One element of a query's result: `value` of an instant, `values` of a range."""

    metric: dict[str, str]
    value: tuple[float, str]
    values: list[tuple[float, str]]


def wait_for(condition: Callable[[], object], problem: Callable[[], object]) -> None:
    """Waits for what is bound to happen; says what was seen where it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, problem()
        time.sleep(0.05)


class Prometheus:
    """A Prometheus that scrapes servers as the job `ollamamax`.

    Args:
        program: its path.
        folder: where its configuration, its data and its log are; it is made.
        targets: `host:port` of each server.
        interval: the time between two scrapes, and between two evaluations of the rules.
        rules: files of rules.
    """

    def __init__(
        self, program: str, folder: Path, targets: Sequence[str], interval: str, rules: Sequence[Path] = ()
    ) -> None:
        folder.mkdir()
        configuration = folder / "prometheus.yml"
        # JSON is YAML.
        text = json.dumps({
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [{"job_name": "ollamamax", "static_configs": [{"targets": list(targets)}]}],
        })  # fmt: skip
        configuration.write_text(text, encoding="utf-8")
        self._log = folder / "log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._client = httpx.Client(timeout=PATIENCE_SECONDS)

    def wait_ready(self) -> None:
        """Waits until it answers queries; it takes a free port and tells it in its log."""
        wait_for(self._is_listening, self.text)
        wait_for(lambda: self._client.get("/-/ready").status_code == 200, self.text)

    def instant(self, query: str, **at: str) -> Sequence[Result]:
        """The result of a query about now, or about `time=`."""
        result: Sequence[Result] = self.ask("/api/v1/query", query=query, **at)["result"]
        return result

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Result]:
        """The results of a query about each step of a range of time; all in seconds."""
        asked = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        result: Sequence[Result] = self.ask("/api/v1/query_range", query=query, **asked)["result"]
        return result

    def ask(self, path: str, **arguments: str) -> Any:
        """What its API answers."""
        answer = self._client.post(path, data=arguments).json()
        assert answer["status"] == "success", (arguments, answer)
        return answer["data"]

    def text(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """Ends it."""
        self._client.close()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_listening(self) -> bool:
        assert self._process.poll() is None, self.text()
        found = re.search(r'"Listening on".* address=(\S+)', self.text())
        if found is not None:
            self._client.base_url = httpx.URL(f"http://{found[1]}")
        return found is not None
