"""The harness itself: each of these defects, planted in a running server, makes a case fail for what it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from faults.bench import Bench, Case
from faults.bulk import MEGABYTE, assert_waits, long_answer
from faults.dialects import CHAT
from faults.fault_node import FaultNode
from faults.playbook import Playbook
from faults.servers import FaultServers
from faults.steps import Reset, script
from faults.views import broken_off, left, redirected

PLANTED = Path(__file__).with_name("planted")
PATIENCE_SECONDS = 2.0


@attrs.frozen
class Infested:
    """A server with bugs, of which one at a time is in force.

    Attributes:
        bench: the server.
        control: the file that names that one.
        elsewhere: where redirects lead.
    """

    bench: Bench
    control: Path
    elsewhere: FaultNode


@pytest.fixture(scope="module")
def infested(fault_servers: FaultServers, tmp_path_factory: pytest.TempPathFactory) -> Infested:
    """The server, with no bug in force."""
    (control := tmp_path_factory.mktemp("planted") / "bug").write_text("")
    path = os.pathsep.join([str(PLANTED), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {"PYTHONPATH": path, "PLANTED_BUGS": str(control)}
    bench = fault_servers.bench(environ=environ, patience_seconds=PATIENCE_SECONDS)
    return Infested(bench, control, fault_servers.node(Playbook(), "nobody"))


@pytest.fixture
def none_in_force(infested: Infested) -> Iterator[None]:
    """After a test no bug is in force."""
    yield
    infested.control.write_text("")


def breaks_off(case: Case, elsewhere: FaultNode) -> None:
    """A node that resets its connection in the middle of a stream."""
    broken_off(case, CHAT, script(CHAT.begun(2), Reset()))


def leaves(case: Case, elsewhere: FaultNode) -> None:
    """A client that leaves in the middle of a stream."""
    left(case, CHAT, after=1, how="fin")


def redirects(case: Case, elsewhere: FaultNode) -> None:
    """A node that answers with a redirect."""
    redirected(case, CHAT, elsewhere)


def reads_nothing(case: Case, elsewhere: FaultNode) -> None:
    """A client that does not read a long stream, and leaves."""
    model = case.lay(long_answer(CHAT, 60 * MEGABYTE))
    with case.asking(CHAT, model, outcome="client_disconnected", counted=499) as client:
        assert_waits(case, model)
        client.leave("fin")


BUGS: dict[str, tuple[Callable[[Case, FaultNode], None], str]] = {
    "leaks-a-lease": (breaks_off, "still in flight: ollamamax_node_in_flight"),
    "counts-twice": (breaks_off, r"observed .*'200'\): 4"),
    "loses-a-row": (breaks_off, r"instead of Expected.*'finished_at': None"),
    "writes-two-rows": (breaks_off, "4 rows of 2 requests"),
    "ends-well": (breaks_off, r"end='fin'\), end='fin'"),
    "leaves-a-failure": (breaks_off, "logged: (.|\n)*nobody hears of this"),
    "swallows-the-frame": (breaks_off, "^b''"),
    "says-done": (breaks_off, '"done":true'),
    "holds-everything": (reads_nothing, "a node was not made to wait"),
    "keeps-the-node": (leaves, "the node's connection is still open"),
    "follows-redirects": (redirects, "a redirect was followed"),
    "tries-again": (breaks_off, "the node was asked once more"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(infested: Infested, none_in_force: None, bug: str) -> None:
    """While it is in force the case fails, and says why; when it is not, the case holds."""
    act, words = BUGS[bug]
    infested.control.write_text(bug)
    with pytest.raises(AssertionError, match=words), infested.bench.case() as case:
        act(case, infested.elsewhere)
    infested.control.write_text("")
    infested.bench.recover()
    with infested.bench.case() as case:
        act(case, infested.elsewhere)
