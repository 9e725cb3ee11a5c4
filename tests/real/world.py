"""Servers to which everything happens that metrics tell of: two gateways, a simulator, nodes of scripts, crooked ones.

The first gateway keeps its accounts in PostgreSQL, looks at its nodes often, and has little patience and little room
for anything. The second one keeps them in SQLite and looks at its nodes once, so that what becomes of them meets
requests.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import httpx
from faults.dialects import CHAT
from faults.fault_node import FaultNode, Seen
from faults.steps import Close, Script, Send, Stall, Wait, chunks, head, last_chunk, reads
from postgresql_cluster import Cluster
from real.crooked_nodes import crooked_nodes
from real.processes import Process, Processes

PATIENCE_SECONDS = 30.0
SAID = [{"role": "user", "content": "LIMIT 3"}]
ARRANGED = Path(__file__).parent / "arranged"

_COMMON = """\
database_pool_size = 2

[timeouts]
connect_seconds = 0.3

[retries]
budget_ratio = 0
budget_minimum = 1

[models.silent]
first_byte_seconds = 0.3
load_seconds = 0.1

[ledger]
memory_rows = 5

[probe]
"""
_OFTEN = "interval_seconds = 0.5\ntimeout_seconds = 3\n"
_ONCE = "interval_seconds = 3600\ntimeout_seconds = 30\n"
_NODE = '\n[nodes.{}]\nurl = "{}"\n'
_SIMULATOR = (
    *("--max-loaded-models=1", "--load-seconds=0.2", "--tokens-per-second=200"),
    *("--model=tiny", "--model=small", "--model=minilm,capabilities=embedding"),
)

_ABSURD = (
    b'{"model":"x","message":{"content":""},"done":true,"done_reason":"stop","eval_count":-5,"total_duration":1e99}\n'
)
_CACHED = (
    b'{"model":"x","message":{"content":"a"},"done":true,"done_reason":"stop","total_duration":9000000,'
    b'"prompt_eval_count":30,"prompt_eval_cached_count":20,"eval_count":2,"eval_duration":1000000}\n'
)
SCRIPTS: Mapping[str, Script] = {
    "busy": CHAT.error(b"503 Service Unavailable", "server busy, please try again."),
    "wrong": CHAT.error(b"400 Bad Request", "no such thing"),
    "silent": reads(Stall()),
    "absurd": reads(head(b"Content-Type: application/x-ndjson"), Send(_ABSURD), Close()),
    "cached": reads(
        head(b"Content-Type: application/x-ndjson", b"Transfer-Encoding: chunked"), chunks(_CACHED), last_chunk()
    ),
}
"""What a node of scripts does with a request, by its model."""


class Failing:
    """A pair of nodes of scripts: the first that is asked for a model fails as told, the second one answers well.

    Attributes:
        first: what the first one does, by the model.
        gate: holds the second answer for the model `held`, until it is set.
    """

    def __init__(self) -> None:
        self.first: Mapping[str, Script] = {
            "busy-once": SCRIPTS["busy"],
            "unanswered": reads(Close()),
            "held": SCRIPTS["busy"],
            "too-many": SCRIPTS["busy"],
        }
        self.gate = threading.Event()
        self._asked: set[str] = set()

    def direct(self, seen: Seen) -> Script:
        """The script of one request."""
        model = seen.model.removesuffix(":latest")
        if model in self.first and model not in self._asked:
            self._asked.add(model)
            return self.first[model]
        return (Wait(self.gate), *CHAT.answered()) if model == "held" else CHAT.answered()


@attrs.frozen
class World:
    """All of them.

    Attributes:
        gateway: the one on PostgreSQL; its nodes are the simulator `desk`, `rack` of scripts, and crooked ones.
        other: the one on SQLite; its nodes are of scripts: a pair, one that will refuse, one that will be silent.
        cluster: the PostgreSQL server.
        database: the first gateway's in it.
        failing: what the pair does.
        refusing: the node that will refuse; its only model is `gone`, which the next one has, too.
        dropping: the node to which no connection will come about; its only model is `far`, which the pair has, too.
        defect: as long as this file is there, a collector of the first gateway fails, and leaves garbage behind.
    """

    gateway: Process
    other: Process
    cluster: Cluster
    database: str
    failing: Failing
    refusing: FaultNode
    dropping: FaultNode
    defect: Path

    def ask(self, path: str, *, of_other: bool = False, status: int = 200, **body: object) -> httpx.Response:
        """A request, read to its end."""
        answer = httpx.post((self.other if of_other else self.gateway).url + path, json=body, timeout=PATIENCE_SECONDS)
        assert answer.status_code == status, answer.text
        return answer

    def chat(self, prompt: str = "LIMIT 4", *, model: str = "tiny", stream: bool = True, **more: object) -> None:
        """A chat that may end badly."""
        message = {"role": "user", "content": prompt}
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            body = {"model": model, "messages": [message], "stream": stream, **more}
            with suppress(httpx.RemoteProtocolError):  # some are broken off, as they should be
                client.post(f"{self.gateway.url}/api/chat", json=body)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """A chat that goes on until the end of a `with` block, where its client leaves."""
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "LIMIT 4000"}],
            "options": {"num_predict": 4000},
        }
        with (
            httpx.Client(timeout=PATIENCE_SECONDS) as client,
            client.stream("POST", f"{self.gateway.url}/api/chat", json=body) as answer,
        ):
            pieces = answer.iter_raw()  # without a name it would end, and close the stream
            next(pieces)
            yield


@contextmanager
def world(processes: Processes, cluster: Cluster, folder: Path) -> Iterator[World]:
    """The servers, for the time of a `with` block; whoever made `processes` and the cluster ends those."""
    failing = Failing()
    pair = [FaultNode(failing.direct, [*failing.first, "gone", "far"]) for _ in range(2)]
    refusing, dropping = FaultNode(failing.direct, ["gone"]), FaultNode(failing.direct, ["far"])
    rack = FaultNode(lambda seen: SCRIPTS[seen.model.removesuffix(":latest")], list(SCRIPTS))
    desk = processes.simulator(*_SIMULATOR)
    database, defect = cluster.create(), folder / "defect"
    with crooked_nodes() as crooked:
        # The one that will fail is the first of its name: among equals the first one is asked.
        urls = {"refusing": refusing.url, "dropping": dropping.url, "one": pair[0].url, "two": pair[1].url}
        other = processes.gateway(_settings(folder / "other.toml", _ONCE, urls))
        gateway = processes.gateway(
            _settings(
                folder / "gateway.toml",
                _OFTEN,
                {"desk": desk.url, "rack": rack.url, "absent": "http://127.0.0.1:9", **crooked},
                'memory_bytes = "24 GiB"\ndisk_bytes = "1 TB"\n',
                '[nodes.rebinding]\nurl = "http://node.rebinding.test:11434"\n',
            ),
            f"--database={cluster.url(database)}",
            environ={"PYTHONPATH": _path(ARRANGED), "DEFECT": str(defect)},
            ready=False,
        )
        gateway.wait_listening()
        try:
            yield World(gateway, other, cluster, database, failing, refusing, dropping, defect)
        finally:
            failing.gate.set()
            for node in (*pair, refusing, dropping, rack):
                node.close()


def _settings(file: Path, probing: str, urls: Mapping[str, str], *more: str) -> str:
    tables = [_NODE.format(name, url) for name, url in urls.items()]
    file.write_text(_COMMON + probing + "".join([*tables, *more]), encoding="utf-8")
    return f"--config={file}"


def _path(*folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
