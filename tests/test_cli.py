"""The `ollamamax` command: its help, its statuses, its lines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from ollamamax import __version__
from ollamamax.cli import main
from ollamamax.store.lock import FileLock
from ollamamax.store.revisions import HEAD_REVISION

if TYPE_CHECKING:
    from postgresql_cluster import Cluster

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 30.0


def run(*arguments: str, **environ: str) -> Result:
    """The command in this process, in an environment without settings."""
    unset = {name: None for name in os.environ if name.startswith("OLLAMAMAX_")}
    return CliRunner().invoke(main, arguments, env={**unset, "HOME": "/home/ada", **environ})


def test_the_version_is_printed() -> None:
    """Name and number."""
    assert run("--version").output == f"OllamaMax {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["verify", "check-config", "twistd -n ollamamax"]),
        (["verify", "-h"], ["OLLAMAMAX_URL", "http://localhost:8080", "OLLAMAMAX_API_KEY", "Exit status"]),
        (["check-config", "--help"], ["--config FILE", "OLLAMAMAX_*", "Exit status"]),
        (
            ["usage", "--help"],
            ["OLLAMAMAX_URL", "OLLAMAMAX_API_KEY", "--by", "30d", "--csv", "october.csv", "Exit status"],
        ),
        (["requests", "--help"], ["OLLAMAMAX_URL", "--follow", "--status", "24h", "Ctrl-C", "Exit status"]),
        (["database", "--help"], ["upgrade", "status", "OLLAMAMAX_DATABASE"]),
        (["database", "upgrade", "--help"], ["--config FILE", "--database URL", "Exit status"]),
        (["database", "status", "--help"], ["--config FILE", "--database URL", "Exit status"]),
    ],
)
def test_help_says_what_there_is(arguments: list[str], words: list[str]) -> None:
    """Commands, variables, statuses."""
    result = run(*arguments)
    assert result.exit_code == 0
    for word in words:
        assert word in result.output


@pytest.mark.parametrize(
    ("command", "example"),
    [("usage", "  ollamamax usage --since 7d --by model,node\n"), ("requests", "  ollamamax requests\n")],
)
def test_an_example_has_a_line_of_its_own(command: str, example: str) -> None:
    """As it would be typed, whatever the width; nothing is left of what tells the help so."""
    output = run(command, "--help").output
    assert example in output
    assert "\\b" not in output
    assert "\b" not in output


def test_the_settings_in_force_are_printed_with_their_sources(tmp_path: Path) -> None:
    """A line each, as JSON, with where it comes from; a password is masked."""
    file = tmp_path / "settings.toml"
    file.write_text('drain_seconds = 5\n[nodes.desk]\nurl = "http://desk:11434"\n')
    result = run("check-config", "--config", str(file), OLLAMAMAX_AUTH="off")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert 'listen = "tcp:8080:interface=127.0.0.1"  # default' in lines
    assert 'auth = "off"  # OLLAMAMAX_AUTH' in lines
    assert f"drain_seconds = 5.0  # {file}" in lines
    node = '{"name": "desk", "url": "http://desk:11434", "memory_bytes": null, "disk_bytes": null}'
    assert f"nodes = [{node}]  # {file}" in lines
    assert "limits.max_blob_bytes = null  # default" in lines


def test_wrong_settings_are_one_line_and_status_1() -> None:
    """As the server itself would say it."""
    result = run("check-config", OLLAMAMAX_LISTN="x")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == 'ollamamax: OLLAMAMAX_LISTN: no such setting; did you mean "OLLAMAMAX_LISTEN"?\n'


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://x:y", "http://x:0", "http://x?a=b", "http://[x"]
)
def test_what_is_no_url_is_a_wrong_command_line(url: str) -> None:
    """Status 2, with what it should be."""
    result = run("verify", url)
    assert result.exit_code == 2
    assert f'"{url}" is not the URL of a server; expected one like http://localhost:8080' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["usage", "--json", "--csv"], "--json and --csv: expected one of them"),
        (["usage", "--url", "nowhere"], '"nowhere" is not the URL of a server'),
        (["requests", "--follow", "--running"], "--follow: expected without --running and --until"),
        (["requests", "--follow", "--until", "1h"], "--follow: expected without --running and --until"),
        (["requests", "--limit", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], message: str) -> None:
    """Status 2, before any server is asked."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    """Status 2."""
    assert run("verifi").exit_code == 2


class Stranger(BaseHTTPRequestHandler):
    """A web server that is something else, and notes the keys that it is shown."""

    keys: list[str | None]

    def do_GET(self) -> None:
        self.keys.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the standard library's name
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    """The URL of one."""
    Stranger.keys = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_verify_runs_as_a_process_and_ends_with_its_status(stranger: str, tmp_path: Path) -> None:
    """URL and key from the environment; lines on standard output, nothing on standard error, status 1."""
    kept = {name: os.environ[name] for name in os.environ if name.startswith("COVERAGE") or name == "PATH"}
    done = subprocess.run(
        [sys.executable, "-c", "from ollamamax.cli import main; main()", "verify"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), "OLLAMAMAX_URL": stranger, "OLLAMAMAX_API_KEY": "omx_k"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == (
        f"FAIL {stranger}: this is no OllamaMax: GET /api/v1/health gave 200 text/html, "
        "and /metrics has no http_* metrics\n"
    )
    assert done.stderr == ""
    assert set(Stranger.keys) == {"Bearer omx_k"}


@pytest.fixture
def empty_database(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The URL of an empty database of either kind, and how it is shown."""
    if store_kind == "sqlite":
        return f"sqlite:///{tmp_path}/a.db", f"{tmp_path}/a.db"
    cluster: Cluster = request.getfixturevalue("postgresql")
    url = cluster.url(cluster.empty(), password="geheim")
    return url, url.replace("geheim", "***")


def test_a_database_is_upgraded_once(empty_database: tuple[str, str]) -> None:
    """Its status tells what is to be done; the upgrade says what it did, and the next one that nothing was left."""
    url, shown = empty_database
    before = run("database", "status", "--database", url)
    assert before.exit_code == 1
    assert before.stdout.startswith(f"store: {shown}\nneeded: {HEAD_REVISION}\n")
    assert "run `ollamamax database upgrade`" in before.output
    first = run("database", "upgrade", OLLAMAMAX_DATABASE=url)
    assert first.output == f"store: {shown}\nschema: {HEAD_REVISION}, upgraded from an empty database\n"
    second = run("database", "upgrade", "--database", url)
    assert second.output == f"store: {shown}\nschema: {HEAD_REVISION}, nothing to do\n"
    after = run("database", "status", "--database", url)
    assert after.output == f"store: {shown}\nneeded: {HEAD_REVISION}\nschema: {HEAD_REVISION}\n"
    assert (first.exit_code, second.exit_code, after.exit_code) == (0, 0, 0)


def test_only_an_upgrade_makes_a_database(tmp_path: Path) -> None:
    """Looking leaves nothing behind: where there was nothing, and where there was a database that nobody uses."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    looked = run("database", "status", **state)
    assert looked.exit_code == 1
    path = tmp_path / "ollamamax" / "ollamamax.db"
    assert looked.stderr == (
        f"ollamamax: database {path} does not exist: run `ollamamax database upgrade`, or start the server\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert run("database", "upgrade", **state).exit_code == 0
    made = sorted(entry.name for entry in path.parent.iterdir())
    assert made == ["ollamamax.db", "ollamamax.db.lock"]
    assert run("database", "status", **state).exit_code == 0
    assert sorted(entry.name for entry in path.parent.iterdir()) == made


def test_a_database_that_a_server_uses(tmp_path: Path) -> None:
    """A SQLite file is not upgraded under a server's hands, and may be looked at."""
    url = f"sqlite:///{tmp_path}/a.db"
    assert run("database", "upgrade", "--database", url).exit_code == 0
    lock = FileLock(tmp_path / "a.db")
    lock.acquire()
    upgrading = run("database", "upgrade", "--database", url)
    assert upgrading.exit_code == 1
    assert upgrading.stderr.startswith(f"ollamamax: database {tmp_path}/a.db is in use by process {os.getpid()}: ")
    assert run("database", "status", "--database", url).exit_code == 0
    lock.release()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--database", "mysql://u:geheim@h/x"), 'ollamamax: database (from --database): "mysql://u:***@h/x" is not'),
        (("--config", "/nowhere"), "ollamamax: config (from --config): /nowhere cannot be read"),
        (
            ("--database", "postgresql://u:geheim@127.0.0.1:1/x"),
            "ollamamax: database postgresql://u:***@127.0.0.1:1/x ",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    """Status 1, and no password."""
    for command in ("upgrade", "status"):
        result = run("database", command, *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(line)
        assert result.stderr.count("\n") == 1
        assert "geheim" not in result.output
