"""The fixtures themselves: what fails a test, and what a run that left something out ends with.

Each case is a small suite of its own, run by a pytest of its own with this conftest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
HEAD = """
from twisted.internet.defer import fail
from twisted.logger import Logger
import pytest, pytest_twisted
log = Logger()
"""


def run(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a suite of the given source in a folder of its own."""
    (folder / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test_case.py").write_text(HEAD + tests, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_case.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CASES = """
def test_fails_critical(): log.critical("said one")
def test_fails_failure():
    try: 1 / 0
    except ZeroDivisionError: log.failure("said two")
def test_fails_deferred(): fail(ValueError("said three"))
@pytest_twisted.ensureDeferred
async def test_fails_coroutine(): fail(ValueError("said four"))
def test_fails_ticking():
    from twisted.internet import reactor
    reactor.callLater(9, print, "said five")
def test_fails_other_type(flush_logged_errors):
    fail(KeyError("said six"))
    assert flush_logged_errors(ValueError) == []

def test_passes_flushed(flush_logged_errors):
    fail(ValueError("x"))
    assert len(flush_logged_errors(ValueError)) == 1
def test_passes_flushed_critical(flush_logged_errors):
    log.critical("x")
    assert flush_logged_errors() == []
def test_passes_due_at_once():
    from twisted.internet import reactor
    reactor.callLater(0, lambda: None)
def test_passes_cancelled():
    from twisted.internet import reactor
    reactor.callLater(9, print).cancel()
"""


def test_what_is_left_behind_fails_its_test_alone(tmp_path: Path) -> None:
    """A failure logged, a failed Deferred forgotten, a call left ticking fail their test; what is flushed does not."""
    ran = run(tmp_path, CASES, "-rAE")
    errors = {
        line.split("::")[1].split(" ")[0] for line in ran.stdout.splitlines() if line.startswith("ERROR test_case")
    }
    assert errors == {
        f"test_fails_{case}" for case in ("critical", "failure", "deferred", "coroutine", "ticking", "other_type")
    }
    assert all(f"said {word}" in ran.stdout for word in ("one", "two", "three", "four", "five", "six"))
    assert ran.returncode == 1


TWO = "def test_one(): pass\ndef test_two(): pytest.skip('no such service')\ndef test_three(): pass\n"


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        ((), 0, "tests skipped: 1, deselected: 0"),
        (("--strict-services",), 1, "tests skipped: 1, deselected: 0: not allowed here"),
        (("--strict-services", "-k", "one or two", "-n", "1"), 1, "tests skipped: 1, deselected: 1: not allowed here"),
        (
            ("--strict-services", "--deselect", "test_case.py::test_two"),
            1,
            "tests skipped: 0, deselected: 1: not allowed here",
        ),
    ],
)
def test_a_run_counts_what_it_left_out(tmp_path: Path, options: tuple[str, ...], status: int, line: str) -> None:
    """What was skipped or deselected is told, and fails a strict run, in one process as in several."""
    ran = run(tmp_path, TWO, *options)
    assert line in ran.stdout.splitlines()
    assert ran.returncode == status


def test_a_strict_run_with_nothing_left_out_passes(tmp_path: Path) -> None:
    """Strictness asks for nothing more than a whole run."""
    ran = run(tmp_path, "def test_one(): pass", "--strict-services")
    assert "tests skipped: 0, deselected: 0: nothing left out" in ran.stdout.splitlines()
    assert ran.returncode == 0


STORES = """
@pytest.fixture(scope="session")
def postgresql(): pass
def test_both(store_kind): pass
@pytest.mark.parametrize("store_kind", ["sqlite"], scope="module")
def test_one(store_kind): pass
def test_neither(): pass
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two"])
def test_a_strict_run_has_as_many_tests_on_each_database(tmp_path: Path, options: tuple[str, ...]) -> None:
    """They are counted by the database they ran on, and a difference fails the run."""
    ran = run(tmp_path, STORES, "--strict-services", *options)
    assert "store tests: sqlite 2 passed, postgresql 1 passed" in ran.stdout.splitlines()
    assert ran.returncode == 1
    (tmp_path / "equal").mkdir()
    equal = run(tmp_path / "equal", STORES.replace("test_one", "unused"), "--strict-services", *options)
    assert "store tests: sqlite 1 passed, postgresql 1 passed" in equal.stdout.splitlines()
    assert equal.returncode == 0
