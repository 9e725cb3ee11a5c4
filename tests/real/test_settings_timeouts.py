"""The settings `timeouts`, `models` and `drain_seconds` in force.

Two servers stand before one node, which is held where it would go on: the one with the shorter time gives up, and then
the other one is still waiting, and has its answer as soon as the node goes on.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from real.callers import asked
from real.observed_settings import observes
from real.processes import Process, Processes
from real.stalling_node import StallingNode, stalling_node

SHORT_FILE = """
[timeouts]
connect_seconds = 0.5
first_byte_seconds = 0.3
whole_response_seconds = 0.3
"""
SHORT_VARIABLES = {"OLLAMAMAX_TIMEOUTS_IDLE_SECONDS": "0.3"}
COLD_VARIABLES = {"OLLAMAMAX_TIMEOUTS_FIRST_BYTE_SECONDS": "0.2", "OLLAMAMAX_TIMEOUTS_LOAD_SECONDS": "0.2"}
MODELS_FILE = """
[models."cold:latest"]
first_byte_seconds = 0.2
load_seconds = 0.2

[models."half-cold"]
first_byte_seconds = 0.2

[models.quick]
first_byte_seconds = 0.3

[models.lively]
idle_seconds = 0.3

[models.brief]
whole_response_seconds = 0.3
"""
RESIDENT = ["warm", "quick", "lively", "brief"]
MODELS = ["tiny", "cold", "half-cold", *RESIDENT]


class Servers(NamedTuple):
    """Servers before the same nodes.

    Attributes:
        default: with the timeouts that nobody has set.
        short: with short ones, but the time for a load, which is the default.
        cold: with a short time for a load, too.
        models: with short ones for single models.
    """

    default: Process
    short: Process
    cold: Process
    models: Process


@pytest.fixture(scope="module")
def node() -> Iterator[StallingNode]:
    """The node that is held."""
    with stalling_node(MODELS, RESIDENT) as node:
        yield node


@pytest.fixture(scope="module")
def far_node() -> Iterator[StallingNode]:
    """The node that takes no connections any more when it is to; it has a model of its own."""
    with stalling_node(["far"]) as node:
        yield node


@pytest.fixture(scope="module")
def servers(
    shared_processes: Processes,
    node: StallingNode,
    far_node: StallingNode,
    tmp_path_factory: pytest.TempPathFactory,
) -> Servers:
    """The servers, ready."""
    directory = tmp_path_factory.mktemp("timeouts")
    (short := directory / "short.toml").write_text(SHORT_FILE)
    (models := directory / "models.toml").write_text(MODELS_FILE)
    nodes = (f"--node=near={node.url}", f"--node=far={far_node.url}")
    started = Servers(
        shared_processes.gateway(*nodes, ready=False),
        shared_processes.gateway(*nodes, f"--config={short}", environ=SHORT_VARIABLES, ready=False),
        shared_processes.gateway(nodes[0], environ=COLD_VARIABLES, ready=False),
        shared_processes.gateway(nodes[0], f"--config={models}", ready=False),
    )
    for server in started:
        server.wait_ready()
    return started


def assert_gives_up_first(
    node: StallingNode,
    phase: str,
    hurried: Process,
    patient: Process,
    *,
    model: str,
    other_model: str = "",
    stream: bool = True,
) -> None:
    """While the node does not answer, one server gives a chat up; the other waits, and then has an answer.

    Args:
        node: the node, which is held until the first server has given up.
        phase: what took too long, as the client is told.
        hurried: the server that gives up.
        patient: the server that waits.
        model: which one the hurried server is asked for.
        other_model: which one the other server is asked for, if another.
        stream: whether a stream is asked for.
    """
    with ExitStack() as closing:
        with node.holding_heads():
            waiting = closing.enter_context(asked(patient.url, other_model or model, stream=stream))
            given_up = closing.enter_context(asked(hurried.url, model, stream=stream)).answer()
            assert given_up.status == 504
            assert f"({phase}: " in given_up.json()["error"]
            assert not waiting.answered()
        served = waiting.answer()
        assert (served.status, served.whole) == (200, True)


def assert_breaks_off_first(
    node: StallingNode, phase: str, hurried: Process, patient: Process, *, model: str, other_model: str = ""
) -> None:
    """As `assert_gives_up_first`, in the middle of a stream: it ends with a line that says why, and visibly broken."""
    with ExitStack() as closing:
        with node.holding_ends():
            waiting = closing.enter_context(asked(patient.url, other_model or model))
            waiting.read_until(b'"done":false}\n\r\n')
            broken = closing.enter_context(asked(hurried.url, model)).answer()
            assert (broken.status, broken.whole) == (200, False)
            assert f"({phase}: ".encode() in broken.body.splitlines()[-1]
            assert not waiting.answered()
        waiting.read_until(b'"done":true')


@observes("timeouts.connect_seconds")
def test_a_connect_is_given_up(far_node: StallingNode, servers: Servers) -> None:
    """A node takes no connections any more: each server gives up after its own time, as it says."""
    far_node.take_no_connections()
    with asked(servers.default.url, "far") as patient, asked(servers.short.url, "far") as hurried:
        answers = (patient.answer(), hurried.answer())
    assert [(answer.status, answer.json()["error"]) for answer in answers] == [
        (504, "the node did not answer in time (connect: 2 s)"),
        (504, "the node did not answer in time (connect: 0.5 s)"),
    ]


@observes("timeouts.first_byte_seconds")
def test_a_stream_that_does_not_begin_is_given_up(node: StallingNode, servers: Servers) -> None:
    """Of a model that is loaded."""
    assert_gives_up_first(node, "first_byte", servers.short, servers.default, model="warm")


@observes("timeouts.load_seconds")
def test_a_model_that_has_to_be_loaded_has_more_time(node: StallingNode, servers: Servers) -> None:
    """Where first bytes have little time, one of a cold model has the time for a load besides."""
    assert_gives_up_first(node, "first_byte", servers.cold, servers.short, model="tiny")


@observes("timeouts.idle_seconds")
def test_a_stream_that_halts_is_broken_off(node: StallingNode, servers: Servers) -> None:
    """After its first line."""
    assert_breaks_off_first(node, "idle", servers.short, servers.default, model="warm")


@observes("timeouts.whole_response_seconds")
def test_a_whole_answer_is_given_up(node: StallingNode, servers: Servers) -> None:
    """Which is no stream."""
    assert_gives_up_first(node, "whole_response", servers.short, servers.default, model="warm", stream=False)


@observes("models")
def test_a_model_may_have_a_timeout_of_its_own(node: StallingNode, servers: Servers) -> None:
    """The same model waits where it is not named, and so does one that is not named beside it."""
    assert_gives_up_first(node, "first_byte", servers.models, servers.default, model="quick")


@observes("models.NAME.first_byte_seconds")
def test_a_model_may_have_a_first_byte_of_its_own(node: StallingNode, servers: Servers) -> None:
    """Another model of the same server has the time that all have."""
    assert_gives_up_first(node, "first_byte", servers.models, servers.models, model="quick", other_model="warm")


@observes("models.NAME.load_seconds")
def test_a_model_may_have_a_load_of_its_own(node: StallingNode, servers: Servers) -> None:
    """Of two cold models with little time for first bytes, the one that has it for a load, too, is given up."""
    assert_gives_up_first(node, "first_byte", servers.models, servers.models, model="cold", other_model="half-cold")


@observes("models.NAME.idle_seconds")
def test_a_model_may_have_a_gap_of_its_own(node: StallingNode, servers: Servers) -> None:
    """Another model of the same server has the time that all have."""
    assert_breaks_off_first(node, "idle", servers.models, servers.models, model="lively", other_model="warm")


@observes("models.NAME.whole_response_seconds")
def test_a_model_may_have_a_whole_answer_of_its_own(node: StallingNode, servers: Servers) -> None:
    """Another model of the same server has the time that all have."""
    assert_gives_up_first(
        node, "whole_response", servers.models, servers.models, model="brief", other_model="warm", stream=False
    )


@observes("drain_seconds")
def test_running_streams_have_a_grace(processes: Processes) -> None:
    """Both servers are told to stop with a stream running; the one with the shorter grace breaks it off and ends.

    By then the default still waits for its stream, which comes to its own end; both end with status 0.
    """
    with stalling_node() as node, ExitStack() as closing:
        option = f"--node=near={node.url}"
        patient = processes.gateway(option, ready=False)
        hurried = processes.gateway(option, environ={"OLLAMAMAX_DRAIN_SECONDS": "0.3"}, ready=False)
        for server in (patient, hurried):
            server.wait_ready()
        with node.holding_ends():
            callers = [closing.enter_context(asked(server.url, "tiny")) for server in (patient, hurried)]
            for caller in callers:
                caller.read_until(b'"done":false}\n\r\n')
            for server in (patient, hurried):
                server.signal(signal.SIGTERM)
            assert b"the gateway is shutting down" in callers[1].read_to_the_end()
            assert hurried.wait() == 0
            assert patient.is_running()
            assert not callers[0].answered()
        callers[0].read_until(b'"done":true')
        assert patient.wait() == 0
