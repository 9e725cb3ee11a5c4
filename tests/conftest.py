"""What every test stands on: nothing logged as a failure, nothing forgotten in a Deferred, nothing left ticking.

The reactor is pytest-twisted's (`--reactor=default|asyncio`); every test, synchronous ones too, runs inside it. Nothing
here may import klein or prometheus_client.twisted at module level: both install the default reactor.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from postgresql_cluster import Cluster
    from twisted.internet.interfaces import IDelayedCall
    from xdist.workermanage import WorkerController

hypothesis.settings.register_profile("quick", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "quick"))

# A failing property's patch is written by libcst (mutmut brings it), which stumbles over zope's attributes and takes
# the whole run down; without it Hypothesis tells the example, and writes no patch.
sys.modules.setdefault("hypothesis.extra._patching", None)  # type: ignore[arg-type]

_STRICT = "--strict-services"
_DESELECTED = pytest.StashKey[int]()
_MODULE = pytest.StashKey[Path]()
# A test that runs on each database says by this property on which one it ran.
_STORE_PROPERTY = "store"
_STORES = ("sqlite", "postgresql")
# Folders whose tests have processes do the work; "tests" is where those of commands and documents are.
_OF_PROCESSES = ("real", "faults", "verify", "tests")
_UNMEASURED = ("real", "faults")
# How often the reactor may turn before what is due at once counts as left behind (a connection's end takes two turns).
_GRACE_TURNS = 5
# A Deferred that nobody heard logs this first, and its failure in an event of its own.
_DEFERRED_HEADING = "Unhandled error in Deferred:"


# --- the run: what was left out, and whether it may be ---------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option under which nothing may be left out."""
    parser.addoption(
        _STRICT,
        action="store_true",
        help="fail when any test is skipped or deselected: on a machine that has every service that the tests use",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Starts the count of deselected tests; has a worker, which is measured, start what is not."""
    config.stash[_DESELECTED] = 0
    if hasattr(config, "workerinput"):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Takes what is alive by now out of the collector's sight, so that collecting after every test costs little."""
    _draw_once()
    gc.collect()
    gc.freeze()


@hypothesis.settings(max_examples=1, database=None)
@hypothesis.given(hypothesis.strategies.none())
def _draw_once(_: None) -> None:
    """Has Hypothesis make its source of chance: it asks the collector who holds that, which sees nothing frozen."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that run on each database; puts those that wait for processes first, so that none ends the run.

    Files go to the workers of a parallel run in this order (`--no-loadscope-reorder`).
    """
    items.sort(key=lambda item: item.path.parent.name not in _OF_PROCESSES)
    for item in items:
        kind = getattr(item, "callspec", None) and item.callspec.params.get("store_kind")  # type: ignore[attr-defined]
        if kind:
            item.user_properties.append((_STORE_PROPERTY, kind))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Counts what an option or a plugin took out."""
    if items:
        items[0].config.stash[_DESELECTED] += len(items)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a parallel worker hands its count on; in the process that reports, fails a run that left something out."""
    config = session.config
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["deselected"] = config.stash[_DESELECTED]
        return
    if not config.getoption(_STRICT) or session.exitstatus != pytest.ExitCode.OK:
        return
    if any(_left_out(config)) or len(set(_store_tests(config).values())) > 1:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Takes a worker's count; every worker collects everything, so that the highest is the run's."""
    count = getattr(node, "workeroutput", {}).get("deselected", 0)
    stash = node.config.stash
    stash[_DESELECTED] = max(stash[_DESELECTED], count)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Says how many tests were left out, whether or not that is allowed."""
    skipped, deselected = _left_out(terminalreporter.config)
    verdict = ""
    if terminalreporter.config.getoption(_STRICT):
        verdict = ": not allowed here" if skipped or deselected else ": nothing left out"
    terminalreporter.write_line(f"tests skipped: {skipped}, deselected: {deselected}{verdict}")
    stores = _store_tests(terminalreporter.config)
    if any(stores.values()):
        counted = ", ".join(f"{store} {count} passed" for store, count in stores.items())
        terminalreporter.write_line(f"store tests: {counted}")


def _left_out(config: pytest.Config) -> tuple[int, int]:
    """How many tests were skipped and how many deselected so far."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter is not None else 0
    return skipped, config.stash[_DESELECTED]


def _store_tests(config: pytest.Config) -> dict[str, int]:
    """How many of the tests that run on each database passed on which."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    passed = reporter.stats.get("passed", []) if reporter is not None else []
    ran = [value for report in passed for name, value in report.user_properties if name == _STORE_PROPERTY]
    return {store: ran.count(store) for store in _STORES}


# --- a test: what it may not leave behind ----------------------------------------------------------------------------


Flush = Callable[..., list[Failure]]


@implementer(ILogObserver)
class LoggedErrors:
    """The failures and critical events logged during one test.

    A test that provokes a logged error says so by flushing it, as with trial's `flushLoggedErrors`; what nobody flushed
    fails the test.
    """

    def __init__(self) -> None:
        self._events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """Keeps an event that is a failure or critical."""
        if event.get("log_format") == _DEFERRED_HEADING and event.get("log_failure") is None:
            return
        if event.get("log_failure") is not None or event.get("log_level") is LogLevel.critical:
            self._events.append(event)

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Takes out what was logged and expected.

        Args:
            types: exceptions; none for every failure and critical event.

        Returns:
            The failures taken out, in the order of their logging.
        """
        # What a Deferred still holds is logged when it is collected.
        gc.collect()
        left: list[LogEvent] = []
        failures: list[Failure] = []
        for event in self._events:
            failure = _failure(event)
            expected = not types or (failure is not None and failure.check(*types) is not None)
            if not expected:
                left.append(event)
            elif failure is not None:
                failures.append(failure)
        self._events = left
        return failures

    def texts(self) -> list[str]:
        """What is left, a text each."""
        return [_text(event) for event in self._events]


def _failure(event: LogEvent) -> Failure | None:
    """The failure that an event carries."""
    failure = event.get("log_failure")
    return failure if isinstance(failure, Failure) else None


def _text(event: LogEvent) -> str:
    """An event for the person who reads the test's complaint."""
    failure = _failure(event)
    head = f"[{event.get('log_namespace', '?')}] {formatEvent(event)}"
    return f"{head}\n{failure.getTraceback()}" if failure is not None else head


@pytest.fixture(autouse=True)
def flush_logged_errors(request: pytest.FixtureRequest) -> Iterator[Flush]:
    """Fails a test that logged a failure, dropped a failed Deferred or left a delayed call, unless it flushed it.

    A test that expects a logged error takes this fixture and calls it: `flush_logged_errors(ValueError)`.
    """
    errors = LoggedErrors()
    ticking = _delayed_calls()
    globalLogPublisher.addObserver(errors)
    try:
        _freeze_what_stays(request)
        yield errors.flush
        left = _left_ticking(ticking)
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(errors)
    complaints = [f"logged and not expected: {text}" for text in errors.texts()]
    complaints += [f"left in the reactor: {call}" for call in left]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def _freeze_what_stays(request: pytest.FixtureRequest) -> None:
    """Takes what earlier tests left alive out of the collector's sight: to collect what this one leaves is quick then.

    With the first test of a file all is looked at again, since what the last file's fixtures held may be garbage now.
    """
    stash = request.config.stash
    if stash.get(_MODULE, None) != request.path:
        stash[_MODULE] = request.path
        gc.unfreeze()
    gc.collect()
    gc.freeze()


def _delayed_calls() -> list[IDelayedCall]:
    """The calls that the reactor still has before it; empty while there is no reactor."""
    reactor = sys.modules.get("twisted.internet.reactor")
    return list(reactor.getDelayedCalls()) if reactor is not None else []


def _left_ticking(before: list[IDelayedCall]) -> list[str]:
    """The delayed calls that a test added and neither ended nor cancelled, a text each; they are cancelled here.

    The reactor may turn a few times first: what only finishes (a connection being closed) is not left behind.
    """
    left: list[IDelayedCall] = []
    for _ in range(_GRACE_TURNS):
        left = [call for call in _delayed_calls() if all(call is not known for known in before)]
        if not left:
            return []
        _turn()
    texts = []
    for call in left:
        if call.active():
            texts.append(str(call))
            call.cancel()
    return texts


def _turn() -> None:
    """Lets the reactor turn once."""
    import pytest_twisted
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    pytest_twisted.blockon(deferLater(reactor, 0))


@pytest.fixture(autouse=True, scope="module")
def look_away(request: pytest.FixtureRequest) -> Iterator[None]:
    """Has coverage rest where all that is to be measured happens in other processes; it would double the time."""
    coverage = sys.modules.get("coverage")
    measuring = coverage.Coverage.current() if coverage and request.path.parent.name in _UNMEASURED else None
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    measuring.start()


# --- services of the machine -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Finds a program that a real test needs; where it is missing the test is skipped, and says what to install.

    The fixture is a function: `program("promtool")` returns the program's path.
    """

    def find(name: str, package: str = "") -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed (Debian's package {package or name})")
        return path

    return find


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server of this run (of this worker of it), running at the start of each test."""
    from postgresql_cluster import MISSING, Cluster, programs

    found = programs()
    if found is None:
        pytest.skip(MISSING)
    cluster = Cluster(found)
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module", params=_STORES)
def store_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite` or `postgresql`: a test that takes it, or takes what takes it, runs on each and is counted."""
    kind = str(request.param)
    if kind == "postgresql":
        request.getfixturevalue("postgresql")
    return kind
