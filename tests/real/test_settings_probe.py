"""The settings `probe` in force."""

from __future__ import annotations

from real.callers import call, wait_for
from real.observed_settings import observes
from real.processes import Process, Processes
from real.stalling_node import stalling_node

ROUNDS = 20


@observes("probe.interval_seconds", "probe.timeout_seconds")
def test_nodes_are_probed_as_often_and_as_patiently_as_wanted(processes: Processes) -> None:
    """By default a node that does not answer is given up; the other server still waits, and has it in the end.

    That one, with its shorter interval, has by then asked another node many times; the default has only a few times.
    """
    variables = {"OLLAMAMAX_PROBE_INTERVAL_SECONDS": "0.05", "OLLAMAMAX_PROBE_TIMEOUT_SECONDS": "60"}
    with stalling_node() as seldom, stalling_node() as often, stalling_node() as slow:
        with slow.holding_probes():
            # The patient one begins to wait before the default does, so that the same time would end for it first.
            eager = processes.bare_gateway(*options(often.url, slow.url), environ=variables)
            wait_for(lambda: slow.probes)
            default = processes.bare_gateway(*options(seldom.url, slow.url))
            wait_for(lambda: seldom.probes)
            for server in (default, eager):
                server.wait_listening()
            asked_before = often.probes
            wait_for(lambda: often.probes >= asked_before + ROUNDS)
            assert seldom.probes < ROUNDS
            default.wait_ready()
            assert state(default) == ("down", "timeout")
            assert state(eager) == ("unknown", "not_probed")
            assert eager.status("/ready") == 503
        eager.wait_ready()
        assert state(eager) == ("up", None)


def options(node: str, slow: str) -> tuple[str, ...]:
    """The command line of a server before two nodes."""
    return ("--listen=tcp:0:interface=127.0.0.1", f"--node=prompt={node}", f"--node=slow={slow}")


def state(server: Process) -> tuple[str, str | None]:
    """What a server knows of the slow node."""
    node = call(server.url, "GET", "/api/v1/nodes/slow").json()
    return node["status"], node["error"]
