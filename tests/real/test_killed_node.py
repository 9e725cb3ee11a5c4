"""One of two nodes is killed under load: what had not begun there is answered by the other one."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import Any

from real.callers import Caller, call, chat_request, wait_for
from real.processes import Process, Processes
from real.samples import samples, scraped, value

SIMULATOR = ("--load-seconds=0.05", "--tokens-per-second=50", "--parallel=1")
REQUESTS = 6


def in_flight(gateway: Process) -> list[int]:
    """What each node holds."""
    return [node["in_flight"] for node in call(gateway.url, "GET", "/api/v1/nodes").json()["nodes"]]


def rows(gateway: Process) -> list[dict[str, Any]]:
    """The accounts of all requests."""
    found: list[dict[str, Any]] = call(gateway.url, "GET", "/api/v1/inference/requests").json()["requests"]
    return found


def test_a_node_that_is_killed_under_load(processes: Processes) -> None:
    """Each node generates for one client and lets others wait; only the stream that had begun on the dead one breaks.

    The waiting ones, and all who come after, are served by the other node; one row each, and nothing is left in flight.
    """
    simulators = [processes.simulator(*SIMULATOR) for _ in range(2)]
    gateway = processes.gateway(*(f"--node=n{number}={node.url}" for number, node in enumerate(simulators)))
    with ExitStack() as closing:
        callers = [closing.enter_context(Caller(gateway.url)) for _ in range(REQUESTS)]
        for caller in callers:
            caller.send(chat_request("tiny", content="LIMIT 30"))
        wait_for(lambda: in_flight(gateway) == [REQUESTS // 2, REQUESTS // 2])
        wait_for(lambda: sum(caller.answered() for caller in callers) == 2)
        simulators[0].signal(signal.SIGKILL)
        late = closing.enter_context(Caller(gateway.url))
        late.send(chat_request("tiny", content="LIMIT 3"))
        answers = [caller.answer() for caller in (*callers, late)]
    assert [answer.status for answer in answers] == [200] * (REQUESTS + 1)
    broken = [answer for answer in answers if not answer.whole]
    assert len(broken) == 1
    assert b'"error"' in broken[0].body.splitlines()[-1]
    found = {row["id"]: row for row in rows(gateway)}
    of_answers = [found[answer.headers["x-request-id"]] for answer in answers]
    outcomes = ["success" if answer.whole else "incomplete" for answer in answers]
    assert [row["outcome"] for row in of_answers] == outcomes
    moved = [row for row in of_answers if row["attempts"] == 2]
    assert {row["node"] for row in moved} == {"n1"}
    assert in_flight(gateway) == [0, 0]
    seen = samples(scraped(gateway.url), "ollamamax_node_requests_total", "ollamamax_retries_total")
    counted = {labels[-1][-1]: int(number) for (name, labels), number in seen.items() if "retries" in name and number}
    assert sum(counted.values()) == len(moved)
    assert "over_budget" not in counted
    assert value(seen, "ollamamax_node_requests_total", node="n0", outcome="incomplete") == 1
    assert value(seen, "ollamamax_node_requests_total", node="n0", outcome="node_error") == len(moved)
