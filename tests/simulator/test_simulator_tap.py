"""The command line: options, what is wrong with them, and the process that they start."""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from ollamamax.simulator.faults import KINDS, Fault, Share
from ollamamax.simulator.settings import SimulatorSettings, parsed_model
from ollamamax.simulator.tap import Options

ROOT = Path(__file__).resolve().parents[2]
TWISTD = str(Path(sys.executable).with_name("twistd"))


def options(*arguments: str) -> Options:
    """A parsed command line."""
    parsed = Options()
    parsed.parseOptions(arguments)
    return parsed


def command(*arguments: str, reactor: str = "default") -> list[str]:
    """A command line that starts the simulator."""
    return [TWISTD, "-n", f"--reactor={reactor}", "--pidfile=", "ollamamax-simulator", *arguments]


def run(tmp_path: Path, *arguments: str, reactor: str = "default") -> subprocess.CompletedProcess[str]:
    """A process that is expected to end by itself."""
    return subprocess.run(
        command(*arguments, reactor=reactor), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_options_the_defaults_hold() -> None:
    """An empty command line gives the default settings."""
    assert options().settings() == SimulatorSettings()


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--ollama-version=0.24.0", "version", "0.24.0"),
        ("--load-seconds=0.5", "load_seconds", 0.5),
        ("--prompt-seconds=1", "prompt_seconds", 1.0),
        ("--prompt-tokens-per-second=9", "prompt_tokens_per_second", 9.0),
        ("--tokens-per-second=0", "tokens_per_second", 0.0),
        ("--token-bytes=7", "token_bytes", 7),
        ("--overhead-seconds=0", "overhead_seconds", 0.0),
        ("--parallel=4", "parallel", 4),
        ("--max-queue=0", "max_queue", 0),
        ("--max-loaded-models=1", "max_loaded_models", 1),
        ("--keep-alive=1", "keep_alive_seconds", 1.0),
        ("--pull-bytes-per-second=1e6", "pull_bytes_per_second", 1e6),
        ("--keep-alive=-1", "keep_alive_seconds", math.inf),
        ("--seed=5", "seed", 5),
        ("--mark", "marked", True),
        ("--fail=reset=3:0.1", "faults", (Share(Fault("reset", 3), 0.1),)),
        ("--model=a:b,capabilities=tools+completion,size=1e9,context=8192,load=3", "models", None),
    ],
)
def test_each_option_sets_its_setting(argument: str, name: str, value: object) -> None:
    """And nothing else."""
    settings, default = options(argument).settings(), SimulatorSettings()
    changed = [
        each
        for each in (field.name for field in attrs.fields(SimulatorSettings))
        if getattr(settings, each, 0) != getattr(default, each, 0)
    ]
    assert changed == [name]
    if value is not None:
        assert getattr(settings, name) == value


def test_a_models_description() -> None:
    """Name, capabilities, size, context and load time."""
    model = parsed_model("a:b,capabilities=completion+tools,size=1e9,context=8192,load=3")
    assert (model.name, model.capabilities, model.load_seconds) == ("a:b", ("completion", "tools"), 3.0)
    assert (model.weights.size, model.weights.context_length) == (10**9, 8192)


@pytest.mark.parametrize(
    "argument",
    [
        "--ollama-version=1",
        "--load-seconds=-1",
        "--load-seconds=nan",
        "--parallel=0",
        "--parallel=1.5",
        "--pull-bytes-per-second=0",
        "--model=",
        "--model=a,size=big",
        "--model=a,colour=red",
        "--model=a,capabilities=flying",
        "--keep-alive=long",
        "--fail=fly:0.1",
        "--fail=cut:2",
    ],
)
def test_what_is_wrong_is_refused(argument: str) -> None:
    """Numbers out of range, unknown fields and capabilities."""
    with pytest.raises(SystemExit) as caught:
        options(argument)
    assert str(caught.value).startswith(f"ollamamax-simulator: {argument.partition('=')[0]}: ")


def test_faults_may_be_several() -> None:
    """In the order of the command line; together no more than all requests."""
    told = options("--fail", "cut:0.5", "--fail", "slow=9:0.5").settings().faults
    assert told == (Share(Fault("cut"), 0.5), Share(Fault("slow", 9), 0.5))
    with pytest.raises(SystemExit, match=r"--fail: the shares add up to 1.1, more than all requests\Z"):
        options("--fail", "cut:0.5", "--fail", "slow=9:0.5", "--fail", "hang:0.1")


def test_the_help_lists_every_word_and_option() -> None:
    """What steers a prompt, and how to make requests fail."""
    told = " ".join(str(Options()).split())
    for word in ("LIMIT n", "SIZE n", "THINK", "TOOL", *(kind.upper() for kind in KINDS), "--fail=", "KIND[=N]:SHARE"):
        assert word in told


def test_the_tap_chooses_no_reactor() -> None:
    """Neither importing the options nor the service's module installs one."""
    code = "import sys, ollamamax.simulator.{}; print('twisted.internet.reactor' in sys.modules)"
    for module in ("tap", "service"):
        ran = subprocess.run(
            [sys.executable, "-c", code.format(module)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert ran.stdout == "False\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--listen=nonsense"], "ollamamax-simulator: --listen nonsense: "),
        (["--model=../x"], "ollamamax-simulator: --model: '../x' is no model name"),
        (["--parallel=0"], "ollamamax-simulator: --parallel: must be a whole number of at least 1, not '0'"),
        (["--accounts=absent/file"], "ollamamax-simulator: --accounts absent/file: cannot be written: No such file"),
        (["more"], 'ollamamax-simulator: unexpected argument "more"'),
    ],
)
def test_wrong_options_end_the_process_with_a_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    """Status 1 and no traceback."""
    ran = run(tmp_path, *arguments)
    assert ran.returncode == 1
    assert line in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("reactor", ["default", "asyncio", "epoll"])
def test_a_busy_port_ends_the_process_with_a_line(tmp_path: Path, busy_port: int, reactor: str) -> None:
    """Under every reactor."""
    ran = run(tmp_path, f"--listen=tcp:{busy_port}:interface=127.0.0.1", reactor=reactor)
    told = ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert f"ollamamax-simulator: --listen tcp:{busy_port}:interface=127.0.0.1: cannot listen: " in told
    assert "Traceback" not in told


@pytest.mark.parametrize(("reactor", "number"), [("default", signal.SIGTERM), ("asyncio", signal.SIGINT)])
def test_it_runs_says_what_it_is_and_ends_with_status_0(tmp_path: Path, reactor: str, number: signal.Signals) -> None:
    """A process answers, tells loudly that it is a simulator, and ends at once when asked to, a stream under way.

    What it did is in the file that was asked for, by the clock that all processes of the machine share.
    """
    before = time.monotonic()
    with subprocess.Popen(
        command("--listen=tcp:0:interface=127.0.0.1", "--load-seconds=0", "--accounts=accounts", reactor=reactor),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "listening on" in line)
        assert "SIMULATED Ollama 0.33.0" in told
        found = re.search(r"listening on (\S+)", told)
        assert found is not None
        body = b'{"model":"tiny","prompt":"LIMIT 100000","options":{"num_predict":-1}}'
        request = urllib.request.Request(found[1] + "/api/generate", body, {"X-Request-Id": "mine"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert b'"response"' in answer.readline()
            process.send_signal(number)
            assert process.wait(20) == 0
        rest = process.stdout.read()
    assert "Traceback" not in rest
    (line,) = (tmp_path / "accounts").read_text().splitlines()
    account = json.loads(line)
    assert (account["path"], account["request_id"], account["outcome"]) == ("/api/generate", "mine", "client_left")
    assert before < account["arrived_at"] < account["first_token_at"] < account["finished_at"] < time.monotonic()
