"""Two servers in one process: separate metrics, separate databases, and the end of one is not the other's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import prometheus_client
import pytest_twisted
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.task import deferLater

from ollamamax.service import Gateway
from ollamamax.settings import load
from ollamamax.simulator.service import SimulatorService
from ollamamax.simulator.settings import THINKER, TINY, ModelSpec, SimulatorSettings

if TYPE_CHECKING:
    from twisted.internet.base import ReactorBase

ATTEMPTS = 500
Ended = tuple[str, str, str]


class Client:
    """Asks one server.

    Args:
        port: where it listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def ask(self, method: str, path: str, document: object = None) -> tuple[int, bytes]:
        """One request on a connection of its own: the status and the body."""
        import treq

        data = None if document is None else json.dumps(document).encode()
        response = await treq.request(method, self._url + path, data=data, persistent=False)
        return response.code, await response.content()

    async def wait_ready(self) -> None:
        """Waits until every node has been tried."""
        for _ in range(ATTEMPTS):
            if (await self.ask("GET", "/ready"))[0] == 200:
                return
            await deferLater(reactor, 0.01)
        raise AssertionError("it was never ready")

    async def samples(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """What a scrape shows: by the samples' names, by their labels."""
        _, body = await self.ask("GET", "/metrics")
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return found

    async def ended(self) -> Counter[Ended]:
        """How many requests have ended, by method, endpoint and status, but for those of `wait_ready`."""
        series = (await self.samples()).get("http_requests_total", {})
        counted: Counter[Ended] = Counter()
        for pairs, number in series.items():
            labels = dict(pairs)
            if labels["endpoint"] != "/ready":
                counted[labels["method"], labels["endpoint"], labels["status"]] = int(number)
        return counted

    async def database(self) -> dict[str, Any]:
        """The database's figures."""
        _, body = await self.ask("GET", "/metrics.json")
        return dict(json.loads(body)["database"])


@asynccontextmanager
async def serving(state: Path, *models: ModelSpec) -> AsyncIterator[tuple[Client, Gateway]]:
    """A server with a database and a simulated node of its own, for the time of a block."""
    node = SimulatorService(reactor, settings=SimulatorSettings(models=models, load_seconds=0.0, tokens_per_second=0.0))
    node.startService()
    options = {"listen": "tcp:0:interface=127.0.0.1", "nodes": [f"desk={node.url}"]}
    gateway = Gateway(load(options, {"XDG_STATE_HOME": str(state)}), cast("ReactorBase", reactor))
    gateway.privilegedStartService()
    gateway.startService()
    try:
        assert gateway._port is not None
        address = gateway._port.getHost()
        assert isinstance(address, IPv4Address)
        client = Client(address.port)
        await client.wait_ready()
        yield client, gateway
    finally:
        await gateway.stopService()
        await node.stopService()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_two_servers_have_separate_metrics(tmp_path: Path) -> None:
    """What one is asked never shows in the other, nor in the process's own registry; one goes on after the other."""
    own_before = {family.name for family in prometheus_client.REGISTRY.collect()}
    async with serving(tmp_path / "second", THINKER) as (second, second_gateway):
        async with serving(tmp_path / "first", TINY) as (first, first_gateway):
            assert first_gateway.metrics.registry is not second_gateway.metrics.registry
            for _ in range(3):
                await first.ask("GET", "/api/v1/health")
            generated = {"model": "tiny", "prompt": "LIMIT 2"}
            assert (await first.ask("POST", "/api/generate", generated))[0] == 200
            assert (await second.ask("POST", "/api/generate", generated))[0] == 404
            await second.ask("GET", "/nope")

            assert await first.ended() == {
                ("GET", "/api/v1/health", "200"): 3,
                ("POST", "/api/generate", "200"): 1,
            }
            of_the_second = {("POST", "/api/generate", "404"): 1, ("GET", "unmatched", "404"): 1}
            assert await second.ended() == of_the_second
            for client in (first, second):
                assert (await client.samples())["http_requests_in_flight"] == {(): 0.0}
                assert (await client.samples())["ollamamax_node_up"] == {(("node", "desk"),): 1.0}

            await second.ask("GET", "/api/v1/inference/requests")  # waits for what the ledger has still to write
            before = await second.database()
            for _ in range(5):
                await first.ask("GET", "/api/v1/inference/requests")
            assert await second.database() == before
            of_the_second[("GET", "/api/v1/inference/requests", "200")] = 1

        await second.ask("GET", "/api/v1/health")
        assert await second.ended() == of_the_second | {("GET", "/api/v1/health", "200"): 1}
        _, rows = await second.ask("GET", "/api/v1/inference/requests")
        assert [row["requested_model"] for row in json.loads(rows)["requests"]] == ["tiny"]
    own_after = {family.name for family in prometheus_client.REGISTRY.collect()}
    assert own_after == own_before
    assert not any(name.startswith(("http_", "ollamamax_", "db_")) for name in own_after)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_starts_again_with_nothing_counted(tmp_path: Path) -> None:
    """Its ledger is there again, its metrics begin anew; nothing of the first one is left in the process."""
    for number in (1, 2):
        async with serving(tmp_path, TINY) as (client, _):
            assert await client.ended() == {}
            assert (await client.ask("POST", "/api/generate", {"model": "tiny", "prompt": "LIMIT 2"}))[0] == 200
            assert await client.ended() == {("POST", "/api/generate", "200"): 1}
            _, body = await client.ask("GET", "/api/v1/inference/requests")
            assert json.loads(body)["pagination"]["total"] == number
