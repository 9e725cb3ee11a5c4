"""A gateway before three simulated nodes, with all that may happen to it, watched by a real Prometheus.

What happens, apart from requests of every kind that go well: clients that leave, before the answer and within it;
bodies that are wrong and models that nobody has; answers that fail in each way; a node that refuses, one that pushes
models out of its memory for others, one that dies; a database that another program has locked; a gateway that stands
still.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import attrs
import httpx
from real.processes import Process, Processes
from real.prometheus import Prometheus

_STILL_SECONDS = 0.6
_PAUSE_SECONDS = 0.02
_IMPATIENCE_SECONDS = 0.3
_PATIENCE_SECONDS = 20.0

# `tiny` is on two nodes, so that what one of them refuses goes to the other; the first one has room for one model only.
# The second one is of the version that shows its models outside of the GPU's memory.
_SMALL = ("--tokens-per-second=150", "--model=tiny", "--model=small,size=90e6", "--max-loaded-models=1")
_BUSY = ("--tokens-per-second=300", "--ollama-version=0.24.0", "--fail=busy:0.25", "--model=tiny")
_EMBEDS = ("--model=minilm,capabilities=embedding",)
_ALONE = ("--model=solo", "--load-seconds=0.1")

# Probes have time: a node that is only slow, as on a busy machine, is not to be taken for the one that ends.
_CONFIGURATION = """\
database_pool_size = 2

[ledger]
memory_rows = 20

[probe]
interval_seconds = 1.0
timeout_seconds = 10.0
"""
_NODE = """
[nodes.{name}]
url = "{url}"
memory_bytes = "24 GiB"
disk_bytes = "1 TB"
"""


@attrs.frozen
class Deed:
    """One request.

    Attributes:
        path: where to.
        body: what is sent; None for a GET.
        seconds: for how long its client waits.
    """

    path: str
    body: Mapping[str, object] | None = None
    seconds: float = _PATIENCE_SECONDS


def chat(prompt: str, *, model: str = "tiny", stream: bool = True, **more: object) -> Deed:
    """A chat of the native API."""
    messages = [{"role": "user", "content": prompt}]
    return Deed("/api/chat", {"model": model, "messages": messages, "stream": stream, **more})


def completion(prompt: str, *, stream: bool = True) -> Deed:
    """A chat of the compatible API."""
    return Deed(
        "/v1/chat/completions",
        {"model": "tiny", "messages": [{"role": "user", "content": prompt}], "stream": stream},
    )


def impatient(deed: Deed) -> Deed:
    """The same, of a client that leaves soon."""
    return attrs.evolve(deed, seconds=_IMPATIENCE_SECONDS)


TALKING: Sequence[Deed] = (
    chat("How are you? LIMIT 30"),
    completion("And now? LIMIT 25"),
    chat("Say it in a longer way, with all that belongs to it. " * 8 + "LIMIT 60"),
    Deed("/api/generate", {"model": "tiny", "prompt": "Once upon LIMIT 20", "stream": False}),
    Deed("/api/embed", {"model": "minilm", "input": ["one", "two"]}),
    chat("Shorter. LIMIT 5", stream=False),
    Deed("/api/generate", {"model": "tiny"}),
)
"""What goes well."""
SWITCHING: Sequence[Deed] = (
    chat("Other weights. LIMIT 15", model="small"),
    chat("LIMIT 12", options={"num_ctx": 2048}),
)
"""What does not fit beside the rest."""
SOLO: Sequence[Deed] = (chat("Alone. LIMIT 10", model="solo"),)
"""What only the node that dies can answer."""
FAILING: Sequence[Deed] = (
    impatient(chat("SLOW 100 LIMIT 40")),
    chat("HTTP500"),
    chat("INBAND 4"),
    impatient(chat("HANG")),
    completion("TRUNCATE 3"),
    chat("NOEND 3"),
    chat("no model", model="absent"),
    Deed("/api/chat", {"model": "tiny", "messages": "no list"}),
    Deed("/nowhere"),
)
"""What goes wrong, by the caller's doing and by ours."""
LOOKING: Sequence[Deed] = (
    Deed("/api/v1/inference/requests?limit=100"),
    Deed("/api/tags"),
    Deed("/api/v1/models"),
    Deed("/metrics.json"),
)
"""What reads; several at once wait for the database's one connection that reads."""

CALLERS: Sequence[Sequence[Deed]] = (*[TALKING] * 3, SWITCHING, SOLO, FAILING, FAILING, *[LOOKING] * 3)
"""What each caller does, over and over."""


@attrs.frozen
class Monitored:
    """The servers of one run.

    Attributes:
        gateway: what is watched.
        nodes: the simulators.
        prometheus: what watches.
    """

    gateway: Process
    nodes: Sequence[Process]
    prometheus: Prometheus

    @contextmanager
    def living(self) -> Iterator[None]:
        """Has all kinds of callers make requests, until the end of a `with` block."""
        over = threading.Event()
        callers = [threading.Thread(target=self._call, args=(deeds, over)) for deeds in CALLERS]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            over.set()
            for caller in callers:
                caller.join()

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """Keeps the gateway from writing, until the end of a `with` block."""
        (file,) = Path(self.gateway.directory).rglob("*.db")
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def end_a_node(self) -> None:
        """Ends the only node of one of the models."""
        self.nodes[-1].stop()

    def stand_still(self) -> None:
        """Stops the gateway's process for a moment, as a machine that swaps or sleeps would."""
        self.gateway.signal(signal.SIGSTOP)
        time.sleep(_STILL_SECONDS)
        self.gateway.signal(signal.SIGCONT)

    def _call(self, deeds: Sequence[Deed], over: threading.Event) -> None:
        with httpx.Client(base_url=self.gateway.url, trust_env=False) as client:
            while not over.is_set():
                for deed in deeds:
                    with suppress(httpx.HTTPError):
                        _make(client, deed)
                    if over.wait(_PAUSE_SECONDS):
                        return


def _make(client: httpx.Client, deed: Deed) -> None:
    method = "GET" if deed.body is None else "POST"
    deadline = time.monotonic() + deed.seconds
    with client.stream(method, deed.path, json=deed.body, timeout=deed.seconds) as answer:
        for _ in answer.iter_raw():
            if time.monotonic() > deadline:
                return


@contextmanager
def monitored(
    processes: Processes, program: Callable[..., str], folder: Path, *, interval: str = "2s"
) -> Iterator[Monitored]:
    """The servers, for the time of a `with` block; whoever made `processes` ends the servers.

    Args:
        processes: starts servers.
        program: finds Prometheus.
        folder: where files may be.
        interval: the time between two scrapes.
    """
    nodes = [
        processes.simulator("--load-seconds=0.3", *_SMALL),
        processes.simulator("--load-seconds=0.3", *_BUSY, *_EMBEDS),
        processes.simulator(*_ALONE),
    ]
    configuration = folder / "ollamamax.toml"
    tables = [_NODE.format(name=f"node-{number}", url=node.url) for number, node in enumerate(nodes, 1)]
    configuration.write_text(_CONFIGURATION + "".join(tables), encoding="utf-8")
    gateway = processes.gateway(f"--config={configuration}")
    prometheus = Prometheus(
        program("prometheus"), folder / "prometheus", [gateway.url.removeprefix("http://")], interval
    )
    try:
        prometheus.wait_ready()
        yield Monitored(gateway, nodes, prometheus)
    finally:
        prometheus.stop()
