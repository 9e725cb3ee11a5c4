"""The truth: what is reported of requests is what happened to them, by every account that there is.

The run is of a few hundred requests; `OLLAMAMAX_TEST_TRUTH=5000` asks for as many (it takes longer than a test may, so
with `-o faulthandler_timeout=0`), `OLLAMAMAX_TEST_TRUTH_CLIENTS=4` for so many at a time: how close first tokens are is
a matter of that. With `OLLAMAMAX_TEST_NODES=URL,URL` the run is before real nodes, which need the models `tiny`,
`thinker` and `senses` and 50 tokens in a second.

That the comparison finds what it should is seen on defects that are planted in a running server, one at a time.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs
import pytest
from real.processes import Process, Processes
from truth import real_asks
from truth.accounts import AccountFiles
from truth.asks import SIMULATED, counts, mixed
from truth.run import Nodes, run, start_gateway, start_nodes

CLIENTS = int(os.environ.get("OLLAMAMAX_TEST_TRUTH_CLIENTS", "16"))
REQUESTS = int(os.environ.get("OLLAMAMAX_TEST_TRUTH", "300"))
# Of 5,000.
_LEAST_OF_EACH = 100


@pytest.fixture(scope="module")
def simulators(shared_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    """Three of them, who write down what they do."""
    return start_nodes(shared_processes, tmp_path_factory.mktemp("accounts"))


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Nodes:
    """The nodes of the long run: the simulators, or those that are named."""
    if "OLLAMAMAX_TEST_NODES" not in os.environ:
        return request.getfixturevalue("simulators")  # type: ignore[no-any-return]
    urls = os.environ["OLLAMAMAX_TEST_NODES"].split(",")
    return Nodes([f"--node=node{number}={url}" for number, url in enumerate(urls)], None, real_asks.SETTINGS)


@pytest.fixture(scope="module")
def gateway(shared_processes: Processes, fleet: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Process:
    """The server before them."""
    return start_gateway(shared_processes, tmp_path_factory.mktemp("gateway"), fleet)


def test_an_account_that_is_still_being_written_is_none_yet(tmp_path: Path) -> None:
    """Nodes write while their files are read."""
    path = tmp_path / "accounts"
    line = '{"method": "GET", "path": "/api/ps", "arrived_at": 1.0, "request_id": "run-1"}\n'
    for written, expected in (("", 0), (line[:40], 0), (line[:-1], 0), (line, 1), (line + line[:40], 1)):
        path.write_text(written, encoding="utf-8")
        assert len(AccountFiles({"node": path}).attempts("run").get("run-1", [])) == expected


def test_what_is_reported_is_what_happened(gateway: Process, fleet: Nodes) -> None:
    """Outcome, tokens, phases and first token of each request, and the sums of all, by every account."""
    plots = SIMULATED if fleet.files is not None else real_asks.REAL
    found = run(gateway, mixed(counts(REQUESTS, plots), "truth", plots=plots), files=fleet.files, at_a_time=CLIENTS)
    print(found)  # noqa: T201 - figures, for those who ask with -s
    assert found.complaints == []
    outcomes = found.outcomes()
    assert {name for name in plots if outcomes[name] < _LEAST_OF_EACH * REQUESTS // 5000} == set()
    assert set(outcomes) == set(plots)


# --- planted bugs ----------------------------------------------------------------------------------------------------

PLANTED = Path(__file__).parents[1] / "faults" / "planted"
SOME = {"success": 24, "length": 6, "stream_error": 8, "incomplete": 8}
BUGS = {
    "counts-tokens-of-each-attempt": ({"success": 120}, r"^tokens: \((\d+), (\d+), None\) and not"),
    "takes-unknown-for-zero": (SOME, r"^tokens: \(0, 0, None\) and not \(None, None, None\)"),
    "takes-the-load-for-the-prompt": (SOME, "^phases: prompt_seconds"),
    "names-the-first-node": ({"success": 120}, "^node: node0 and not node[12]"),
    "stamps-the-head": (SOME, "^first token: True and not False|^first token: after .* s, before it was made"),
    "length-is-success": (SOME, "^outcome: success and not length"),
    "leaving-is-success": ({"client_disconnected": 12}, "^outcome: success and not client_disconnected"),
    "errors-are-lines": (SOME, "^outcome: success and not stream_error"),
    "needs-no-end": ({"incomplete": 30}, "^outcome: success and not incomplete"),
    "counts-tokens-twice": (SOME, "^ollamamax_tokens_total: "),
    "misses-an-outcome": (SOME, "^ollamamax_inference_requests_total: .*'stream_error'} 0 and not [1-8]$"),
    "times-what-failed": (SOME, "^ollamamax_inference_time_to_first_token_seconds: "),
    "misses-timeouts": ({"timeout": 8}, "^outcome: None and not timeout"),
}


@attrs.frozen
class Infested:
    """A server with bugs, of which one at a time is in force.

    Attributes:
        gateway: the server.
        control: the file that names that one.
    """

    gateway: Process
    control: Path


@pytest.fixture(scope="module")
def infested(shared_processes: Processes, simulators: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Infested:
    """Another server before the same nodes."""
    directory = tmp_path_factory.mktemp("infested")
    (control := directory / "bug").write_text("")
    path = os.pathsep.join([str(PLANTED), *filter(None, [os.environ.get("PYTHONPATH")])])
    environ = {"PYTHONPATH": path, "PLANTED_BUGS": str(control)}
    return Infested(start_gateway(shared_processes, directory, simulators, environ), control)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(infested: Infested, simulators: Nodes, bug: str) -> None:
    """While it is in force the accounts disagree, and it is seen in what."""
    wanted, complaint = BUGS[bug]
    infested.control.write_text(bug)
    found = run(infested.gateway, mixed(wanted, bug), files=simulators.files)
    assert [each for each in found.complaints if re.search(complaint, each)] != [], str(found)


def test_without_a_bug_nothing_is_found(infested: Infested, simulators: Nodes) -> None:
    """The same server, none in force."""
    infested.control.write_text("")
    assert run(infested.gateway, mixed(SOME, "none"), files=simulators.files).complaints == []
