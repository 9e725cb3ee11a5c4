"""The documentation is true: every console block of the README and of docs/ is run against a server and compared."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from console_blocks import Session, differences, parse

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent

# The blocks that may be marked as not run, by page and first command: what needs another machine or its own terminal.
NOT_RUN: set[tuple[str, str]] = set()

READY_SECONDS = 30.0


def has_blocks(page: Path) -> bool:
    """Whether a page has a console block that is run."""
    return page.is_file() and any(block.not_run is None for block in parse(page.read_text(encoding="utf-8")))


def name(page: Path) -> str:
    """A page as it is called in messages."""
    return page.relative_to(ROOT).as_posix()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(environ: dict[str, str], folder: Path, *options: str) -> Iterator[int]:
    """A server on a port of its own until the end of the block; gives its port.

    Args:
        environ: its environment, whole.
        folder: where it runs; its log is written there.
        options: what is said to it beside the port.
    """
    port = free_port()
    log = folder / "server.log"
    command = [f"{BIN}/twistd", "--nodaemon", "--pidfile=", "ollamamax", "--listen", f"tcp:{port}:interface=127.0.0.1"]
    with log.open("w", encoding="utf-8") as stream:
        server = subprocess.Popen([*command, *options], cwd=folder, env=environ, stdout=stream, stderr=stream)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/ready", server, log)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Returns once the server says that it is ready.

    Raises:
        AssertionError: when it ended, or is not ready in time, with its log.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the server is not ready:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A shell before a server with a simulated node, as `make run` starts it on a machine without an Ollama.

    The shell's folder shows the repository's files, and what is written there is written beside them. What the pages
    call localhost:8080 is the server, what they call localhost:11434 a port on which nobody listens, and /home/you is
    a folder of the test's own.
    """
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".venv", ".git", "mutants"}:
            (work / entry.name).symlink_to(entry)
    environ = {key: value for key, value in os.environ.items() if key.startswith("COVERAGE") or key in {"LANG", "CI"}}
    environ |= {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home)}
    absent = free_port()
    with serving(environ, home, "--simulate", "1", "--node", f"ollama=http://127.0.0.1:{absent}") as port:
        replaced = {f"{host}:8080": f"{host}:{port}" for host in ("localhost", "127.0.0.1", "tcp")}
        replaced |= {f"{host}:11434": f"{host}:{absent}" for host in ("localhost", "127.0.0.1")}
        replaced |= {"/home/you": str(home)}
        with Session(work, environ | {"OLLAMAMAX_URL": f"http://localhost:{port}"}, replaced) as session:
            yield session


@pytest.mark.parametrize("page", [page for page in PAGES if has_blocks(page)], ids=name)
def test_every_console_block_shows_what_is_printed(page: Path, session: Session) -> None:
    """The commands of a page, run in their order, print what the page shows."""
    complaints = differences(parse(page.read_text(encoding="utf-8")), session)
    assert not complaints, f"{name(page)}\n" + "\n\n".join(complaints)


def test_only_what_cannot_be_run_is_not_run() -> None:
    """A block is left out only when it is in the list above, and the list holds no more than that."""
    marked = {
        (name(page), block.commands[0].text)
        for page in PAGES
        if page.is_file()
        for block in parse(page.read_text(encoding="utf-8"))
        if block.not_run is not None
    }
    assert marked == NOT_RUN


def test_shell_sessions_are_console_blocks() -> None:
    """No page shows a command in another kind of block, where nothing would run it."""
    pattern = re.compile(r"^ *(?:`{3,}|~{3,})\s*(?:bash|sh|shell|shell-session|zsh)\b", re.MULTILINE)
    assert [name(page) for page in PAGES if page.is_file() and pattern.search(page.read_text(encoding="utf-8"))] == []
