"""A gateway between the clients of a test and a fault node, and what has to hold after whatever happened there.

The invariants: one observation and one finished row of the ledger per request, nothing in flight, no connection to a
node that is still in use, nothing asked of a node twice, no failure in the log, and a request for another model works.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import attrs
from faults.dialects import CHAT, Dialect
from faults.fault_node import FaultNode, Seen
from faults.playbook import HEALTHY, Kind, Playbook
from faults.steps import Script
from fidelity import Exchange, parsed
from real.callers import Caller
from real.processes import Process
from real.samples import Ended, requests_ended, samples, scraped
from real.wire import End, asked, received, request

_POLL_SECONDS = 0.01
_IN_FLIGHT = ("http_requests_in_flight", "ollamamax_node_in_flight")
_LOGGED = ("Traceback", "#critical", "Unhandled")


@attrs.frozen
class Expected:
    """What the server has to note of one request.

    Attributes:
        dialect: in which it was asked.
        client_id: the client's own id of it, by which its row is found.
        outcome: in the ledger.
        status: in the ledger; None where nothing was sent to the client.
        code: of the error, in the ledger.
        counted: the status in the metrics.
        attempts: how many nodes were tried.
    """

    dialect: Dialect
    client_id: str
    outcome: str
    status: int | None
    code: str | None
    counted: int
    attempts: int


@attrs.frozen
class Answer:
    """What a client got.

    Attributes:
        exchange: the answer taken apart.
        end: how the connection ended.
    """

    exchange: Exchange
    end: End

    @property
    def status(self) -> int:
        """Its status."""
        return self.exchange.status

    @property
    def body(self) -> bytes:
        """Its body."""
        return self.exchange.body

    @property
    def whole(self) -> bool:
        """Whether it ended as its framing says."""
        return self.exchange.end != "broken"


class Bench:
    """The server under test; `case` is where a test happens.

    Attributes:
        gateway: the server's process.
        nodes: the fault nodes behind it that play from the playbook.
        playbook: what its nodes do.
        patience_seconds: how long what is bound to happen may take.
    """

    def __init__(
        self, gateway: Process, nodes: Sequence[FaultNode], playbook: Playbook, patience_seconds: float = 10.0
    ) -> None:
        self.gateway = gateway
        self.nodes = nodes
        self.playbook = playbook
        self.patience_seconds = patience_seconds
        scrape = scraped(gateway.url)
        self.ended: Counter[Ended] = requests_ended(scrape)
        self.departed = _departed(scrape)
        self.rows = 0
        self.logged = 0

    @contextmanager
    def case(self) -> Iterator[Case]:
        """What a test does with the server; the invariants are checked at its end."""
        case = Case(self)
        try:
            yield case
        finally:
            complaints = case.close()
        assert not complaints, "\n".join(complaints)

    def recover(self) -> None:
        """Waits until nothing is in flight any more, after a case that left something behind."""
        Case(self).close()

    def recent_rows(self, count: int) -> tuple[list[dict[str, Any]], int]:
        """The ledger's newest rows, and how many there are in all."""
        answer = asked(self.gateway.url, request("GET", f"/api/v1/inference/requests?limit={count}"))
        document = json.loads(answer.body)
        return document["requests"], document["pagination"]["total"]


class Case:
    """One test's requests, and what is expected of them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._expected: list[Expected] = []
        self._models: list[str] = []
        self._gates: list[threading.Event] = []
        self._before = [len(node.requests) for node in bench.nodes]

    @property
    def url(self) -> str:
        """Where the server listens."""
        return self._bench.gateway.url

    # What a test arranges.

    def lay(self, *scripts: Script, kind: Kind = "warm") -> str:
        """A model whose requests are answered with these scripts, one each."""
        model = self._bench.playbook.lay(*scripts, kind=kind)
        self._models.append(model)
        return model

    def gate(self) -> threading.Event:
        """What a script may wait for; it opens at the latest when the test ends."""
        gate = threading.Event()
        self._gates.append(gate)
        return gate

    def seen(self, model: str) -> list[Seen]:
        """The requests for a model that this test brought to the nodes."""
        return [seen for seen in self._requests() if seen.model == model]

    # What its clients do.

    def ask(
        self,
        dialect: Dialect,
        model: str,
        *,
        outcome: str = "success",
        status: int | None = 200,
        code: str | None = None,
        counted: int | None = None,
        attempts: int = 1,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> Answer:
        """Asks for a model, and reads the answer until the server closes the connection."""
        with self.asking(
            dialect,
            model,
            outcome=outcome,
            status=status,
            code=code,
            counted=counted,
            attempts=attempts,
            body=body,
            content_type=content_type,
        ) as client:
            return client.answer()

    @contextmanager
    def asking(
        self,
        dialect: Dialect,
        model: str,
        *,
        outcome: str = "success",
        status: int | None = 200,
        code: str | None = None,
        counted: int | None = None,
        attempts: int = 1,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> Iterator[Client]:
        """A connection on which a model has been asked for, for the time of a block, at whose end the client leaves."""
        client_id = uuid4().hex
        assert counted is not None or status is not None
        number = counted if counted is not None else status or 0
        self._expected.append(Expected(dialect, client_id, outcome, status, code, number, attempts))
        with Client(self.url) as client:
            client.send(dialect.request(model, client_id, body=body, content_type=content_type))
            yield client

    def in_flight(self) -> int:
        """How many requests the server has that have not ended."""
        return len(_in_flight(scraped(self.url)))

    def others_are_served(self) -> None:
        """Another model's request is answered as ever."""
        answer = self.ask(CHAT, HEALTHY)
        assert (answer.status, answer.body, answer.whole) == (200, CHAT.good, True)

    # What has to hold.

    @contextmanager
    def memory_within(self, limit_bytes: int) -> Iterator[None]:
        """The server's memory never grows by more than so much within the block."""
        process = Path(f"/proc/{self._bench.gateway.pid}")
        before = self._bench.gateway.resident_bytes()
        # Linux: the peak begins anew (proc_pid_clear_refs(5)).
        (process / "clear_refs").write_text("5")
        yield
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        grown = int(status["VmHWM"].split()[0]) * 1024 - before
        print(f"memory grew by {grown / 1e6:.1f} MB at most")  # noqa: T201 - a figure, for those who ask with -s
        assert grown < limit_bytes, f"memory grew by {grown} bytes"

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Waits for something that is bound to happen."""
        assert self._happens(condition), what

    def close(self) -> list[str]:
        """Ends the test; what does not hold."""
        for gate in self._gates:
            gate.set()
        complaints: list[str] = []
        try:
            self.others_are_served()
        except (AssertionError, OSError, ValueError) as error:
            complaints.append(f"others are not served: {error}")
        scrape = self._settled()
        complaints += [f"still in flight: {line}" for line in _in_flight(scrape)]
        complaints += self._observations(scrape)
        complaints += self._departures(scrape)
        complaints += self._rows()
        complaints += self._node()
        log = self._bench.gateway.text()
        new, self._bench.logged = log[self._bench.logged :], len(log)
        complaints += [f"logged: {new}"] if any(word in new for word in _LOGGED) else []
        return complaints

    def _settled(self) -> str:
        """A scrape once nothing is in flight any more, or after a long enough wait for that."""
        texts: list[str] = []

        def settled() -> bool:
            texts.append(scraped(self.url))
            return not _in_flight(texts[-1])

        self._happens(settled)
        return texts[-1]

    def _observations(self, scrape: str) -> list[str]:
        wanted = Counter[Ended](("POST", each.dialect.path, str(each.counted)) for each in self._expected)
        now = requests_ended(scrape)
        found = Counter({ended: number for ended, number in (now - self._bench.ended).items() if ended[0] == "POST"})
        self._bench.ended = now
        return [] if found == wanted else [f"observed {dict(found)} instead of {dict(wanted)}"]

    def _departures(self, scrape: str) -> list[str]:
        wanted = Counter(
            (each.dialect.path, "before_response" if each.status is None else "mid_stream")
            for each in self._expected
            if each.outcome == "client_disconnected"
        )
        now = _departed(scrape)
        found = now - self._bench.departed
        self._bench.departed = now
        return [] if found == wanted else [f"clients that left: {dict(found)} instead of {dict(wanted)}"]

    def _rows(self) -> list[str]:
        rows, total = self._bench.recent_rows(len(self._expected) + 10)
        complaints = []
        if total - self._bench.rows != len(self._expected):
            complaints.append(f"{total - self._bench.rows} rows of {len(self._expected)} requests")
        self._bench.rows = total
        for each in self._expected:
            found = [row for row in rows if row["client_request_id"] == each.client_id]
            if len(found) != 1 or not _agrees(found[0], each):
                complaints.append(f"instead of {each}: {found}")
        return complaints

    def _node(self) -> list[str]:
        bench = self._bench

        def busy() -> list[Seen]:
            return [seen for seen in self._requests() if not seen.over.is_set()]

        self._happens(lambda: not busy())
        complaints = [f"the node's connection is still in use: {seen}" for seen in busy()]
        for model in self._models:
            left = bench.playbook.take_back(model)
            complaints += [f"{left} requests too few reached the node"] if left else []
        complaints += [f"the node was asked once more: {seen}" for seen in bench.playbook.unexpected]
        bench.playbook.unexpected.clear()
        return complaints

    def _requests(self) -> list[Seen]:
        """What this test brought to the nodes."""
        nodes = zip(self._bench.nodes, self._before, strict=True)
        return [seen for node, before in nodes for seen in node.requests[before:]]

    def _happens(self, condition: Callable[[], object]) -> bool:
        deadline = time.monotonic() + self._bench.patience_seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _in_flight(scrape: str) -> list[str]:
    """What a scrape shows to be under way."""
    return [line for line in scrape.splitlines() if line.startswith(_IN_FLIGHT) and not line.endswith(" 0.0")]


def _departed(scrape: str) -> Counter[tuple[str, str]]:
    """How many clients have left, by endpoint and phase."""
    found = samples(scrape, "ollamamax_http_client_disconnects_total")
    return Counter(
        {(dict(labels)["endpoint"], dict(labels)["phase"]): int(count) for (_, labels), count in found.items()}
    )


def _agrees(row: dict[str, Any], expected: Expected) -> bool:
    """Whether a row is finished and tells what it should."""
    wanted = {
        "outcome": expected.outcome,
        "status": expected.status,
        "error_code": expected.code,
        "attempts": expected.attempts,
    }
    return row["finished_at"] is not None and all(row[name] == value for name, value in wanted.items())


class Client(Caller):
    """A caller that reads to the end, leaves in either of TCP's two ways, and remembers when."""

    left_at = 0.0

    def answer(self) -> Answer:  # type: ignore[override] # with its end
        """The answer, read until the server closes the connection."""
        data, end = received(self._socket)
        return Answer(parsed(data, end), end)

    def piece(self) -> bytes:
        """What has come by now; empty at the connection's end."""
        return self._socket.recv(1 << 20)

    def leave(self, how: End) -> None:
        """Closes the connection."""
        if how == "rst":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
        self.left_at = time.monotonic()

    def __enter__(self) -> Self:
        return self


def together(acts: Sequence[Callable[[], object]]) -> None:
    """Does all of it at once, a thread each; what one of them raises is raised here."""
    raised: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is looked for
            raised.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
