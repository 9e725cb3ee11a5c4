"""What moves each metric, and each value of its closed labels: causes, each with what it has to move."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import attrs
import httpx
from real.callers import wait_for
from real.samples import samples, scraped
from real.world import PATIENCE_SECONDS, SAID, World

from ollamamax.metrics import catalogue as known
from ollamamax.metrics.catalogue import Metric

Happening = Callable[[World], AbstractContextManager[None]]
Shown = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""The samples of a scrape by their names: each with its labels."""

NOTHING: Shown = {}

_IMPATIENCE_SECONDS = 0.3


@attrs.frozen
class Moved:
    """A metric that is moved, by all of its series together that have these labels.

    Attributes:
        metric: which one.
        labels: of the series that are meant.
    """

    metric: Metric
    labels: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    def __str__(self) -> str:
        """As a query would have it."""
        pairs = ",".join(f'{name}="{text}"' for name, text in self.labels.items())
        return self.metric.name + (f"{{{pairs}}}" if pairs else "")

    def value(self, shown: Shown) -> float:
        """What a scrape has of it; of what is distributed, how much was observed."""
        name = self.metric.name + ("_count" if self.metric.kind in ("histogram", "summary") else "")
        wanted = self.labels.items()
        return sum(number for labels, number in shown.get(name, ()) if wanted <= labels.items())


@attrs.frozen
class Cause:
    """Something that happens.

    Attributes:
        words: what it is.
        happens: makes it happen, for the time of a `with` block.
        moves: what moves while it lasts.
        afterwards: what moves when it is over.
        of_other: whether that is to be seen at the second gateway.
        from_nothing: whether there was no server before it.
    """

    words: str
    happens: Happening
    moves: tuple[Moved, ...]
    afterwards: tuple[Moved, ...] = ()
    of_other: bool = False
    from_nothing: bool = False


CAUSES: list[Cause] = []


def looked_at(url: str) -> Shown:
    """What a server shows, buckets left out."""
    shown: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    text = "\n".join(line for line in scraped(url).splitlines() if "_bucket{" not in line)
    for (name, pairs), number in samples(text).items():
        shown.setdefault(name, []).append((dict(pairs), number))
    return shown


def cause(
    words: str,
    *moves: Moved | Metric,
    afterwards: tuple[Moved | Metric, ...] = (),
    of_other: bool = False,
    from_nothing: bool = False,
) -> Callable[[Callable[[World], Iterator[None]]], None]:
    """Adds to the causes what a function makes happen until it is gone on with."""

    def added(happens: Callable[[World], Iterator[None]]) -> None:
        made = Cause(words, contextmanager(happens), _moved(moves), _moved(afterwards), of_other, from_nothing)
        CAUSES.append(made)

    return added


def each(metric: Metric, label: str, *values: str) -> tuple[Moved, ...]:
    """A metric with some values of a label."""
    return tuple(Moved(metric, {label: value}) for value in values)


def ended(outcome: str, operation: str = "chat") -> tuple[Moved, ...]:
    """A request that ends like this, and the attempt of it."""
    labels = {"operation": operation, "outcome": outcome}
    return Moved(known.INFERENCE_REQUESTS, labels), Moved(known.NODE_REQUESTS, {"outcome": outcome})


def _moved(moves: tuple[Moved | Metric, ...]) -> tuple[Moved, ...]:
    return tuple(move if isinstance(move, Moved) else Moved(move) for move in moves)


def _resident(world: World) -> set[str]:
    """The models in the memory of the node that loads them, as the gateway sees it."""
    shown = looked_at(world.gateway.url).get(known.NODE_MODEL_SIZE.name, ())
    return {labels["model"] for labels, _ in shown if labels["node"] == "desk"}


# The first gateway.


@cause(
    "the server starts, and looks at its nodes",
    *(known.BUILD_INFO, known.PYTHON_INFO, known.PYTHON_GC_COLLECTIONS, known.PYTHON_GC_COLLECTED),
    *(known.PROCESS_VIRTUAL_MEMORY, known.PROCESS_RESIDENT_MEMORY, known.PROCESS_START_TIME, known.PROCESS_CPU_SECONDS),
    *(known.PROCESS_OPEN_FDS, known.PROCESS_MAX_FDS, known.REACTOR_TICK_DURATION, known.REACTOR_LAST_TICK),
    *(known.DB_MAX_OPEN, known.DB_OPEN, known.DB_IDLE, known.DB_QUERY_DURATION, known.STORE_SIZE),
    *(known.SCRAPES, known.SCRAPE_DURATION, known.SERIES, known.SERIES_OVERFLOWED),
    *(known.NODE_UP, known.NODE_INFO, known.NODE_LAST_PROBE, known.NODE_MODELS_SIZE, known.NODE_MEMORY),
    known.NODE_DISK,
    *each(known.DB_QUERIES, "status", "ok"),
    *each(known.THREADPOOL_THREADS, "state", "idle"),
    *each(known.NODE_STATE, "state", *known.NODE_STATE.closed["state"]),
    *each(known.NODE_PROBES, "result", *known.NODE_PROBES.closed["result"]),
    from_nothing=True,
)
def _starts(world: World) -> Iterator[None]:
    yield


@cause(
    "a chat whose model has to be loaded",
    *(known.HTTP_REQUESTS, known.HTTP_REQUEST_DURATION),
    *ended("success"),
    *(known.INFERENCE_FIRST_TOKEN, known.INFERENCE_OUTPUT_TOKEN, known.INFERENCE_PROMPT_DURATION),
    *(known.INFERENCE_SLOT_WAIT_DURATION, known.INFERENCE_LOAD_DURATION, known.INFERENCE_COLD_STARTS),
    *(known.INFERENCE_INPUT_TOKENS, known.INFERENCE_OUTPUT_TOKENS),
    *each(known.TOKENS, "type", "input", "output"),
    *each(known.NODE_TOKENS, "type", "input", "output"),
    *(known.NODE_FIRST_TOKEN, known.NODE_OUTPUT_TOKEN, known.NODE_RESPONSE_START, known.NODE_SLOT_BUSY),
    *(known.NODE_MODEL_VRAM, known.NODE_MODEL_SIZE, known.NODE_MODEL_EXPIRES),
    *each(known.NODE_MODEL_LOADS, "cause", "first"),
    *each(known.INFERENCE_DURATION, "operation", "chat"),
    *each(known.GATEWAY_OVERHEAD, "operation", "chat"),
    known.LEDGER_FLUSH_DURATION,
)
def _chats(world: World) -> Iterator[None]:
    world.chat()
    yield


@cause("a chat with another context", *each(known.NODE_MODEL_LOADS, "cause", "options"))
def _changes_options(world: World) -> Iterator[None]:
    world.chat(options={"num_ctx": 2048})
    yield


@cause("a model that had to make room is asked for", *each(known.NODE_MODEL_LOADS, "cause", "evicted"))
def _evicts(world: World) -> Iterator[None]:
    world.chat(model="small")
    world.chat(keep_alive="1s")
    yield


@cause("a model whose time in memory has passed is asked for", *each(known.NODE_MODEL_LOADS, "cause", "expired"))
def _expires(world: World) -> Iterator[None]:
    wait_for(lambda: not _resident(world))
    world.chat()
    yield


@cause("a model that was unloaded is asked for", *each(known.NODE_MODEL_LOADS, "cause", "other"))
def _unloads(world: World) -> Iterator[None]:
    world.ask("/api/generate", model="tiny", keep_alive=0)
    wait_for(lambda: not _resident(world))
    world.chat()
    yield


def _of(operation: str) -> tuple[Moved, ...]:
    return (
        Moved(known.INFERENCE_REQUESTS, {"operation": operation, "outcome": "success"}),
        *each(known.INFERENCE_DURATION, "operation", operation),
        *each(known.GATEWAY_OVERHEAD, "operation", operation),
    )


@cause("every other operation", *_of("generate"), *_of("embed"), *_of("transcribe"), *_of("load"))
def _operates(world: World) -> Iterator[None]:
    world.ask("/api/generate", model="tiny", prompt="LIMIT 3", stream=False)
    world.ask("/api/generate", model="tiny")
    file = {"file": ("speech.wav", b"RIFFdata")}
    url = f"{world.gateway.url}/v1/audio/transcriptions"
    assert httpx.post(url, data={"model": "tiny"}, files=file, timeout=PATIENCE_SECONDS).status_code == 200
    world.ask("/api/embed", model="minilm", input="one two")
    yield


@cause("a limit of tokens", *ended("length"))
def _limits(world: World) -> Iterator[None]:
    world.chat("LIMIT 40", options={"num_predict": 3})
    yield


@cause("a request that the node refuses", *ended("client_error"))
def _is_refused(world: World) -> Iterator[None]:
    world.ask("/api/chat", status=400, model="wrong", messages=SAID)
    yield


@cause("a node without room, and no other", *ended("unavailable"))
def _is_busy(world: World) -> Iterator[None]:
    world.ask("/api/chat", status=503, model="busy", messages=SAID)
    yield


@cause("a node that says nothing", *ended("timeout"))
def _is_silent(world: World) -> Iterator[None]:
    world.ask("/api/chat", status=504, model="silent", messages=SAID)
    yield


@cause("an engine that fails", *ended("node_error"), *each(known.USAGE_MISSING, "reason", "node_error"))
def _fails(world: World) -> Iterator[None]:
    world.chat("HTTP500")
    yield


@cause("an error within a stream", *ended("stream_error"))
def _fails_within(world: World) -> Iterator[None]:
    world.chat("INBAND 2")
    yield


@cause("a stream that breaks off", *ended("incomplete"))
def _breaks_off(world: World) -> Iterator[None]:
    world.chat("TRUNCATE 2")
    yield


@cause(
    "a stream, and its client leaves",
    *(known.HTTP_REQUESTS_IN_FLIGHT, known.INFERENCE_IN_FLIGHT, known.NODE_IN_FLIGHT),
    afterwards=(
        *ended("client_disconnected"),
        *each(known.HTTP_CLIENT_DISCONNECTS, "phase", "mid_stream"),
        *each(known.USAGE_MISSING, "reason", "aborted"),
    ),
)
def _streams(world: World) -> Iterator[None]:
    with world.streaming():
        yield


@cause("a client leaves before it is answered", *each(known.HTTP_CLIENT_DISCONNECTS, "phase", "before_response"))
def _leaves_early(world: World) -> Iterator[None]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "HANG"}]}
    with suppress(httpx.ReadTimeout):
        httpx.post(f"{world.gateway.url}/api/chat", json=body, timeout=_IMPATIENCE_SECONDS)
    yield


@cause("numbers that cannot be true", *each(known.USAGE_MISSING, "reason", "not_reported"))
def _tells_nonsense(world: World) -> Iterator[None]:
    world.chat(model="absurd")
    yield


@cause("a prompt that the node had in its cache", known.INPUT_TOKENS_CACHED)
def _is_cached(world: World) -> Iterator[None]:
    world.chat(model="cached")
    yield


@cause(
    "another program locks the ledger's table",
    *(known.LEDGER_PENDING, known.DB_IN_USE, known.THREADPOOL_QUEUED),
    *each(known.THREADPOOL_THREADS, "state", "busy"),
    afterwards=(known.DB_WAITS, known.DB_WAIT_DURATION),
)
def _locks(world: World) -> Iterator[None]:
    def read() -> None:
        httpx.get(f"{world.gateway.url}/api/v1/inference/requests", timeout=PATIENCE_SECONDS)

    readers = [threading.Thread(target=read) for _ in range(3)]
    with world.cluster.connect(world.database) as connection, connection.transaction():
        connection.execute("lock table requests in access exclusive mode")
        world.chat()
        for reader in readers:
            reader.start()
        yield
    for reader in readers:
        reader.join()


@cause(
    "the database's connections are ended, one in the middle of a query",
    *each(known.DB_CLOSED, "reason", "error"),
    *each(known.DB_QUERIES, "status", "error"),
)
def _disconnects(world: World) -> Iterator[None]:
    url = f"{world.gateway.url}/api/v1/inference/requests"
    reader = threading.Thread(target=httpx.get, args=(url,), kwargs={"timeout": PATIENCE_SECONDS})
    waits = f"select 1 from pg_stat_activity where datname = '{world.database}' and wait_event_type = 'Lock'"
    with world.cluster.connect(world.database) as connection, connection.transaction():
        connection.execute("lock table requests in access exclusive mode")
        reader.start()
        wait_for(lambda: world.cluster.run(waits))
        world.cluster.terminate(world.database, but=connection.info.backend_pid)
    reader.join()
    yield


@cause("PostgreSQL is away", known.LEDGER_SPOOL_BYTES)
def _is_away(world: World) -> Iterator[None]:
    world.cluster.stop()
    try:
        world.chat()
        yield
    finally:
        world.cluster.start()


@cause(
    "a collector has a defect, and leaves what Python cannot collect",
    *(known.COLLECTOR_ERRORS, known.PYTHON_GC_UNCOLLECTABLE),
)
def _has_a_defect(world: World) -> Iterator[None]:
    world.defect.touch()
    try:
        yield
    finally:
        world.defect.unlink()


# The second one.


@cause("a server on SQLite starts", known.STORE_FREE, of_other=True, from_nothing=True)
def _starts_on_sqlite(world: World) -> Iterator[None]:
    yield


@cause("a node refuses connections", *each(known.RETRIES, "reason", "connect_failed"), of_other=True)
def _refuses(world: World) -> Iterator[None]:
    world.refusing.refuse()
    world.ask("/api/chat", of_other=True, model="gone", messages=SAID)
    yield


@cause("a node takes no connections", *each(known.RETRIES, "reason", "connect_timeout"), of_other=True)
def _drops(world: World) -> Iterator[None]:
    world.dropping.drop_connections()
    world.ask("/api/chat", of_other=True, model="far", messages=SAID)
    yield


@cause(
    "one node is busy, one dies before it answers",
    *each(known.RETRIES, "reason", "busy", "unanswered"),
    of_other=True,
)
def _moves_on(world: World) -> Iterator[None]:
    world.ask("/api/chat", of_other=True, model="busy-once", messages=SAID)
    world.ask("/api/chat", of_other=True, model="unanswered", messages=SAID)
    yield


@cause("a retry too many", *each(known.RETRIES, "reason", "over_budget"), of_other=True)
def _is_over_budget(world: World) -> Iterator[None]:
    body = {"model": "held", "messages": SAID}
    asked = {"json": body, "timeout": PATIENCE_SECONDS}
    held = threading.Thread(target=httpx.post, args=(f"{world.other.url}/api/chat",), kwargs=asked)
    before = _BUSY_ONES.value(looked_at(world.other.url))
    held.start()
    wait_for(lambda: _BUSY_ONES.value(looked_at(world.other.url)) > before)
    world.ask("/api/chat", of_other=True, status=503, model="too-many", messages=SAID)
    world.failing.gate.set()
    held.join()
    yield


@cause("more rows than there is room for, while SQLite's file is locked", known.LEDGER_DROPPED, of_other=True)
def _drops_rows(world: World) -> Iterator[None]:
    (file,) = Path(world.other.directory).rglob("*.db")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(8):
            world.ask("/api/chat", of_other=True, model="busy-once", messages=SAID)
        yield


(_BUSY_ONES,) = each(known.RETRIES, "reason", "busy")
