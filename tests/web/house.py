"""The whole server in memory: the real house on a fake clock, with a network, a node and a ledger of the test's.

    with House(models=("tiny:latest",)) as house:
        client = house.ask("POST", "/api/generate", {"model": "tiny", "prompt": "x", "stream": False})
        house.node.exchange.answer(b'{"response":"y","done":true}')
        assert client.answers()[0].status == 200
        assert house.row.outcome == "success"

Whoever leaves the house has every rule checked that holds for all requests: see `House.close`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self, cast

from memory_network import MemoryReactor
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from web.memory_site import Answer, MemoryConnection
from web.memory_store import MemoryStore
from web.scripted_node import ScriptedNode

from ollamamax.service import Gateway
from ollamamax.settings import LEAVES, LoadedSettings, ModelSettings, NodeSettings, Settings
from ollamamax.simulator.service import simulated_site
from ollamamax.simulator.settings import SimulatorSettings
from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.store import Store

NODE_PORT = 11434
NODE_NAME = "ollama"
LISTEN = "tcp:8080:interface=127.0.0.1"


class House:
    """A running server, its network, and what is to be seen of it.

    Args:
        models: of the scripted node, resident unless told.
        resident: of the scripted node.
        others: further scripted nodes by their names, each with its models, which are resident; they listen on the
            ports behind the first one's, in this order.
        simulated: a simulated node in its place.
        sources: where a setting is said to come from, if not from its default.
        store_fault: what opening the store raises.
        models_settings: the setting `models`.
        start: whether to start the server, with its first round of probes.
        settings: fields of `Settings`.

    Attributes:
        reactor: the clock and the network.
        node: the scripted node, which listens where the default setting looks for one.
        nodes: the scripted nodes by name; the first one is called `ollama`.
        store: what was kept.
        gateway: the service.
    """

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("tiny:latest",),
        resident: tuple[str, ...] | None = None,
        others: Mapping[str, tuple[str, ...]] | None = None,
        simulated: SimulatorSettings | None = None,
        start: bool = True,
        sources: dict[str, str] | None = None,
        store_fault: Exception | None = None,
        models_settings: dict[str, ModelSettings] | None = None,
        **settings: Any,
    ) -> None:
        self.reactor = MemoryReactor()
        self.store = MemoryStore()
        self.node = ScriptedNode(self.reactor, models, models if resident is None else resident)
        self.nodes = {NODE_NAME: self.node}
        for name, names in (others or {}).items():
            self.nodes[name] = ScriptedNode(self.reactor, names, names)
            self.reactor.listenTCP(self.port_of(name), self.nodes[name])
        if others:
            urls = {name: f"http://127.0.0.1:{self.port_of(name)}" for name in self.nodes}
            settings["nodes"] = tuple(NodeSettings(name=name, url=url) for name, url in urls.items())
        self._runners = None
        if simulated is None:
            self.reactor.listenTCP(NODE_PORT, self.node)
        else:
            site, simulation = simulated_site(self.reactor, simulated)
            self._runners = simulation.runners
            self.reactor.listenTCP(NODE_PORT, site)
        loaded = LoadedSettings(
            Settings(**{"listen": LISTEN, "state_directory": "/proc/no", "models": models_settings or {}, **settings}),
            dict.fromkeys(LEAVES, "default") | (sources or {}),
        )
        self.gateway = Gateway(loaded, cast("Any", self.reactor), open_store=self._open_store)
        self.clients: list[MemoryConnection] = []
        self._store_fault = store_fault
        if start:
            self.start()

    def start(self) -> None:
        """Starts the server."""
        self.gateway.startService()
        self.reactor.settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()

    def _open_store(self, *_: object) -> Store:
        if self._store_fault is not None:
            raise self._store_fault
        return cast("Store", self.store)

    # Nodes.

    def port_of(self, name: str) -> int:
        """Where a node listens."""
        return NODE_PORT + list(self.nodes).index(name)

    def refuse(self, name: str) -> None:
        """From now on a node takes no connections."""
        self.reactor.ports[self.port_of(name)].stopListening()

    # Clients.

    def connect(self) -> MemoryConnection:
        """A client's connection."""
        client = MemoryConnection(self.reactor.ports[8080].factory, self.reactor)
        self.clients.append(client)
        return client

    def ask(
        self, method: str, path: str, body: object = None, *, headers: tuple[str, ...] = (), settle: bool = True
    ) -> MemoryConnection:
        """Sends a request on a connection of its own.

        Args:
            method: such as GET.
            path: path and query.
            body: bytes, or what becomes JSON.
            headers: further lines; a Host among them takes the place of localhost.
            settle: whether everything that follows at once is let happen.
        """
        client = self.connect()
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", *headers]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("Host: localhost:8080")
        if body is not None:
            lines.append(f"Content-Length: {len(raw)}")
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + raw
        if settle:
            client.send(data)
            self.reactor.settle()
        else:
            client.channel.dataReceived(data)
        return client

    def answer(self, method: str, path: str, body: object = None, *, headers: tuple[str, ...] = ()) -> Answer:
        """Sends a request that is answered at once."""
        (answer,) = self.ask(method, path, body, headers=headers).answers(method)
        return answer

    def pass_time(self, seconds: float) -> None:
        """Lets time pass."""
        self.reactor.pass_time(seconds)

    # What is to be seen.

    @property
    def rooms(self) -> Any:
        """The parts of the server."""
        return self.gateway._house

    @property
    def row(self) -> LedgerRow:
        """The only finished row."""
        (row,) = self.store.ledger.ended
        return row

    @property
    def observed(self) -> dict[tuple[str, str, str], int]:
        """How often each method, endpoint and status was counted."""
        return {
            (sample.labels["method"], sample.labels["endpoint"], sample.labels["status"]): int(sample.value)
            for sample in self._samples("http_requests_total")
        }

    @property
    def disconnects(self) -> dict[tuple[str, str], int]:
        """How often a client left, by endpoint and phase."""
        found = self._samples("ollamamax_http_client_disconnects_total")
        return {(sample.labels["endpoint"], sample.labels["phase"]): int(sample.value) for sample in found}

    @property
    def attempts(self) -> dict[tuple[str, str], int]:
        """How many attempts ended, by node and outcome."""
        found = self._exposed("ollamamax_node_requests_total")
        return {(labels["node"], labels["outcome"]): value for labels, value in found}

    @property
    def retries(self) -> dict[str, int]:
        """How many retries there were, by reason, those that never were left out."""
        found = self._exposed("ollamamax_retries_total")
        return {labels["reason"]: value for labels, value in found if value}

    def value(self, name: str, **labels: str) -> float | None:
        """One sample of what is exposed; None where there is none."""
        return self.gateway.metrics.registry.get_sample_value(name, labels)

    def series(self, name: str) -> dict[str, float]:
        """The samples of a name that are not 0, by the values of their labels in the labels' order."""
        family = [family for family in self.gateway.metrics.registry.collect() if name.startswith(family.name)]
        samples = [sample for one in family for sample in one.samples if sample.name == name and sample.value]
        return {" ".join(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples}

    def _exposed(self, name: str) -> list[tuple[dict[str, str], int]]:
        lines = [line for line in self.gateway.metrics.text().decode().splitlines() if line.startswith(f"{name}{{")]
        return [(dict(re.findall(r'(\w+)="([^"]*)"', line)), int(float(line.rpartition(" ")[2]))) for line in lines]

    def _samples(self, name: str) -> list[Any]:
        families = self.gateway.metrics.http.snapshot()()
        return [sample for family in families for sample in family.samples if sample.name == name]

    # Clients and servers that go.

    @staticmethod
    def leave(client: MemoryConnection) -> None:
        """A client closes its connection; nothing but what happens in the same turn has happened then."""
        client.transport.lose(Failure(ConnectionDone()))

    def stop(self) -> list[object]:
        """Begins to stop the server; the list holds something once it has."""
        stopped: list[object] = []
        self.gateway.stopService().addBoth(stopped.append)
        self.reactor.settle()
        return stopped

    def close(self) -> None:
        """Stops the server, and sees that nothing is left of anything: the rule for every test."""
        for client in self.clients:
            client.transport.lose(Failure(ConnectionDone()))
        stopped = self.stop()
        if not stopped:
            self.reactor.pass_time(45.0)
        assert stopped == [None]
        assert self.reactor.ends == set(), "a connection that nobody closed"
        rows = Counter(row.id for row in self.store.ledger.ended)
        assert [identifier for identifier, count in rows.items() if count > 1] == [], "two final rows of one request"
        assert {row.id for row in self.store.ledger.begun} <= set(rows), "a row without an end"
        assert self.store.closed_after in (None, len(self.store.ledger.ended)), "a row after the store was closed"
        if self.rooms is not None:
            assert [node.name for node in self.rooms.fleet.nodes.values() if node.in_flight] == []
            assert len(self.rooms.relay) == 0
            assert (self.rooms.budget.active, self.rooms.budget.retrying) == (0, 0)
            self._compare_ledger_and_metrics()
        assert self.gateway.metrics.http.live == set()
        for port in list(self.reactor.ports.values()):
            port.stopListening()
        if self._runners is not None:
            self._runners.stop()
        assert self.reactor.connecting == set()
        assert [str(call) for call in self.reactor.getDelayedCalls()] == []

    def _compare_ledger_and_metrics(self) -> None:
        ended, counted = self.store.ledger.ended, self.rooms.inference
        assert counted.live == set()
        assert +Counter(counted.requests_by_outcome()) == Counter(row.outcome for row in ended)
        worked = [row for row in ended if row.operation != "load"]
        assert counted.tokens_by_type() == {
            "input": sum(row.input_tokens or 0 for row in worked),
            "output": sum(row.output_tokens or 0 for row in worked),
        }


def error_of(body: bytes) -> object:
    """What an answer of any dialect says went wrong: the native text, or the code."""
    error = json.loads(body)["error"]
    return error["code"] if isinstance(error, dict) else error
