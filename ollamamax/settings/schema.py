"""Every setting: its name, type, default, limits and meaning.

Pure. This is the one list of them: loading, the generated reference and what `/api/v1/system/config` shows are made
from these classes. Durations are plain seconds, sizes bytes; a file or a variable may write a size as `"64 MiB"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

DEFAULT_NODE = "http://127.0.0.1:11434"
MAX_SIMULATED = 64

Seconds = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "bytes"})]
ByteRate = Annotated[int, Meta(ge=0, extra={"unit": "bytes per second"})]
Count = Annotated[int, Meta(ge=1)]
SimulatedCount = Annotated[int, Meta(ge=0, le=MAX_SIMULATED)]


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One Ollama server.

    Attributes:
        name: how the node is called in routes, metrics and the log.
        url: where it listens, as in `http://192.168.1.4:11434`.
        memory_bytes: the memory of its GPUs; None to learn it from what is seen in use.
        disk_bytes: its room for models; None where that is not known.
    """

    name: str
    url: str
    memory_bytes: Bytes | None = None
    disk_bytes: Bytes | None = None


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long each phase of a carried request may take."""

    connect_seconds: Annotated[Seconds, Meta(description="Time to connect to a node.")] = 2.0
    first_byte_seconds: Annotated[
        Seconds, Meta(description="Time to the first byte of a stream, from its dispatch to a node.")
    ] = 300.0
    load_seconds: Annotated[
        Seconds, Meta(description="Added to `first_byte_seconds` where the node has to load the model first.")
    ] = 300.0
    idle_seconds: Annotated[Seconds, Meta(description="Longest gap between two pieces of a stream.")] = 120.0
    whole_response_seconds: Annotated[
        Seconds, Meta(description="Time for a whole answer that is no stream, embeddings included.")
    ] = 1800.0


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client may send, and how fast it has to."""

    max_body_bytes: Annotated[
        Bytes,
        Meta(description="Largest request body that is read whole: everything but blobs and forms; beyond it, 413."),
    ] = 64 * 1024**2
    body_memory_bytes: Annotated[
        Bytes, Meta(description="Memory for all bodies being received together; beyond it, 503.")
    ] = 512 * 1024**2
    max_blob_bytes: Annotated[
        Bytes | None,
        Meta(
            description='Largest blob or form that is streamed to a node; "unlimited" for any size.',
            examples=["8 GiB"],
            extra={"none": "unlimited"},
        ),
    ] = None
    max_head_bytes: Annotated[Bytes, Meta(description="Largest request head; beyond it, 431.")] = 16 * 1024
    max_headers: Annotated[Count, Meta(description="Most headers of a request; beyond it, 431.")] = 100
    head_timeout_seconds: Annotated[
        Seconds, Meta(description="Time for a request's head to arrive, from its first byte; beyond it, 408.")
    ] = 10.0
    keep_alive_seconds: Annotated[
        Seconds,
        Meta(
            description="How long a connection of a client may be idle: between requests, while it does not take the "
            "end of an answer, and within a body where `min_body_bytes_per_second` is 0."
        ),
    ] = 60.0
    min_body_bytes_per_second: Annotated[
        ByteRate, Meta(description="Slowest rate at which a body may arrive; below it, 408; 0 for any rate.")
    ] = 256


class Probe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How nodes are looked after in the background."""

    interval_seconds: Annotated[Seconds, Meta(description="Time between two probes of a node.")] = 5.0
    timeout_seconds: Annotated[Seconds, Meta(description="Time for a node to answer a probe.")] = 2.0


class Retries(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an inference request that failed at one node is tried on another one.

    Only while nothing of its answer has reached the client: after a connection that failed, after a node's 503, and,
    unless `unstarted` is off, after a node that died without a byte of an answer.
    """

    unstarted: Annotated[
        bool,
        Meta(
            description="Whether a request is tried elsewhere when its node had it whole and died before the first "
            "byte of its answer; the dead node may have worked on it."
        ),
    ] = True
    budget_ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        Meta(description="Most retries under way, as a part of the inference requests under way.", examples=[0.5]),
    ] = 0.2
    budget_minimum: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(description="Retries that may be under way however few requests are; 0 here and for the ratio for none."),
    ] = 3


class LedgerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The accounts of requests: how long they stay, and what happens to them while the database cannot be written.

    What is older than they may be, or beyond their space, is kept as sums for each day, model, node, owner and end
    user, for ever. Those that PostgreSQL cannot take are kept in files, and written when it can be reached again, also
    by the next start of a server that was killed. On SQLite, and where the files are full, they are kept in memory.
    """

    retention_days: Annotated[
        Count | None,
        Meta(
            description='For how many whole days, in UTC, an account stays; "unlimited" for ever.',
            examples=[30],
            extra={"none": "unlimited"},
        ),
    ] = 90
    retention_bytes: Annotated[
        Bytes | None,
        Meta(
            description="Most disk space for accounts: beyond it the oldest ones go before their time. On SQLite it is "
            'that of the whole file; "unlimited" for any.',
            examples=["20 GiB"],
            extra={"none": "unlimited"},
        ),
    ] = 5 * 1024**3
    spool_directory: Annotated[
        str,
        Meta(
            description="The directory of those files, an absolute path; empty for `spool` in `state_directory`. Only "
            "servers that use the same database may share it. Without effect on SQLite.",
            examples=["/var/spool/ollamamax"],
        ),
    ] = ""
    spool_bytes: Annotated[Bytes, Meta(description="Most disk space for the files of one server.")] = 1024**3
    memory_rows: Annotated[Count, Meta(description="Most rows that are kept in memory.")] = 10_000
    full: Annotated[
        Literal["serve", "refuse"],
        Meta(
            description="What to do when there is no room in memory either. `serve`: requests are answered without an "
            "account, and their rows are counted as dropped. `refuse`: no inference request goes to a node; its client "
            "gets a 503.",
            examples=["refuse"],
        ),
    ] = "serve"


class Log(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told in the log, and in which form."""

    format: Annotated[
        Literal["text", "json"],
        Meta(description="Lines for people, or one JSON object a line.", examples=["json"]),
    ] = "text"
    level: Annotated[
        Literal["debug", "info", "warn", "error"],
        Meta(
            description="What is told besides requests: nothing that is less serious than this. A failure with its "
            "traceback is always told.",
            examples=["warn"],
        ),
    ] = "info"
    access: Annotated[
        bool, Meta(description="Whether there is a line for each request, whatever `log.level` is.", examples=[False])
    ] = True


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What counts as what in the metrics."""

    cold_start_seconds: Annotated[
        Seconds,
        Meta(
            description="How long a request has to wait for its model to be loaded, to count as a cold start and for "
            "that load to be timed; Ollama reports a few milliseconds for a model that is in its memory already."
        ),
    ] = 0.1


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Timeouts of one model, where they differ from `timeouts`."""

    first_byte_seconds: Seconds | None = None
    load_seconds: Seconds | None = None
    idle_seconds: Seconds | None = None
    whole_response_seconds: Seconds | None = None


def _default_nodes() -> tuple[NodeSettings, ...]:
    return (NodeSettings(name="ollama", url=DEFAULT_NODE),)


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings in force."""

    listen: Annotated[
        str,
        Meta(
            description="Where clients connect: a Twisted endpoint description of kind `tcp`, `tcp6`, `ssl` or `unix`; "
            "port 0 takes a free one. Beyond loopback it needs `auth`.",
            examples=["tcp:8080:interface=192.168.1.2"],
        ),
    ] = "tcp:8080:interface=127.0.0.1"
    auth: Annotated[
        Literal["beyond_loopback", "off"],
        Meta(
            description="Who has to authenticate. `beyond_loopback`: everybody who is not on this machine, so "
            "listening beyond loopback is refused while there are no keys. `off`: nobody, wherever the server listens.",
            examples=["off"],
        ),
    ] = "beyond_loopback"
    nodes: Annotated[
        tuple[NodeSettings, ...],
        Meta(
            description="The Ollama servers in front of which this one stands, each with a name. As a variable: "
            "`desk=http://192.168.1.4:11434,rack=http://192.168.1.5:11434`. In the file a node may also have "
            "`memory_bytes`, the memory of its GPUs, and `disk_bytes`, its room for models, for metrics to tell; "
            "without the first one they tell what was ever seen in use.",
            extra={
                "expected": "NAME=URL as in desk=http://192.168.1.4:11434; in the file a table [nodes.NAME] with url"
            },
        ),
    ] = msgspec.field(default_factory=_default_nodes)
    simulate: Annotated[
        SimulatedCount | Literal["auto"],
        Meta(
            description="Simulated nodes to add. `auto`: one, as long as no Ollama answers at the default address; "
            "without effect where nodes are configured.",
            examples=[2],
            extra={"expected": f"a count from 0 to {MAX_SIMULATED}, or auto", "shape": 'integer or "auto"'},
        ),
    ] = 0
    database: Annotated[
        str,
        Meta(
            description="The database's URL: `sqlite:////path/to/file`, or PostgreSQL's "
            "`postgresql://USER@HOST/DATABASE` with whatever libpq takes, as in `?sslmode=verify-full` or "
            "`?host=/run/postgresql`; empty for an SQLite file in `state_directory`.",
            examples=["postgresql://ollamamax@db.example.org/ollamamax"],
        ),
    ] = ""
    database_file: Annotated[
        str,
        Meta(
            description="A file that holds the database's URL, so that a password stands in no command line and no "
            "environment; in place of `database`.",
            examples=["/run/secrets/ollamamax-database"],
        ),
    ] = ""
    database_pool_size: Annotated[
        Annotated[int, Meta(ge=2, le=64)],
        Meta(
            description="Most connections of this server to the database: one of them writes, the others read. A "
            "PostgreSQL server needs as many for each server that uses it."
        ),
    ] = 4
    state_directory: Annotated[
        str,
        Meta(
            description="Where state is kept; empty for `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/ollamamax`, else "
            "`~/.local/state/ollamamax`.",
            examples=["/var/lib/ollamamax"],
        ),
    ] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names that a request's Host may hold besides IP addresses, localhost, this machine's name, "
            "`*.localhost`, `*.local` and `*.internal`.",
            examples=[["gateway.example.org"]],
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins whose web pages may call, besides those on loopback; `*` stands for anything.",
            examples=[["https://chat.example.org", "http://intranet:*"]],
        ),
    ] = ()
    trusted_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks whose peers are believed when they say in `X-Forwarded-For` and `X-Request-Id` for "
            "whom they call.",
            examples=[["10.0.0.0/8"]],
        ),
    ] = ()
    client_address: Annotated[
        Literal["full", "prefix", "off"],
        Meta(
            description="How much of a client's address the ledger keeps; `prefix` is the first 24 bits of an IPv4 "
            "address, 48 of an IPv6 one.",
            examples=["prefix"],
        ),
    ] = "full"
    drain_seconds: Annotated[
        Annotated[float, Meta(ge=0, extra={"unit": "seconds"})],
        Meta(description="How long running requests may go on once the server was told to stop."),
    ] = 30.0
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    probe: Probe = Probe()
    retries: Retries = Retries()
    ledger: LedgerSettings = LedgerSettings()
    log: Log = Log()
    metrics: MetricsSettings = MetricsSettings()
    models: Annotated[
        Mapping[str, ModelSettings],
        Meta(
            description="Timeouts of single models, where they differ from `timeouts`: a table per model with any of "
            "`first_byte_seconds`, `load_seconds`, `idle_seconds`, `whole_response_seconds`. Only in the file.",
            extra={"expected": 'a table [models."NAME"] with any of the timeouts but connect_seconds'},
        ),
    ] = {}

    def timeouts_for(self, model: str) -> Timeouts:
        """The timeouts of a model.

        Args:
            model: its normalised name.
        """
        own = self.models.get(model)
        if own is None:
            return self.timeouts
        changed = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
        return msgspec.structs.replace(self.timeouts, **changed)
