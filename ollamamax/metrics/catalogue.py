"""Every metric of the server, declared once.

Collectors, documentation, dashboards and alerts take names, labels, help and buckets from here. Pure: no I/O, neither
Twisted nor prometheus-client. Names are stable once released.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

Kind = Literal["counter", "gauge", "histogram", "summary", "info"]

DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds in seconds of prometheus-client's default buckets, without the last one (+Inf)."""

QUERY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Upper bounds in seconds for queries of a store on the same machine or the same network."""

TICK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds for the event loop: from the grain of its timers to a block that every client notices."""

_INFERENCE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 240.0, 480.0, 960.0)
_FIRST_TOKEN_BUCKETS = (
    *(0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0),
)
_OUTPUT_TOKEN_BUCKETS = (
    *(0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
_PHASE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 320.0, 640.0)
_OVERHEAD_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
_TOKEN_BUCKETS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0)


OUTCOMES = (
    "success",
    "length",
    "client_error",
    "client_disconnected",
    "unavailable",
    "timeout",
    "node_error",
    "stream_error",
    "incomplete",
)
"""How an inference, or one attempt of it at a node, can end; the words of the ledger too."""

OPERATIONS = ("chat", "generate", "embed", "transcribe", "load")
"""What can be asked of a model; `load` is a request that does no more than load or unload it."""

TOKEN_TYPES = ("input", "output")

_NONE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


SCRAPE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds for a scrape: up to Prometheus' own default timeout."""


@attrs.frozen
class Metric:
    """One metric family.

    Attributes:
        name: the name under which its samples are queried, so with `_total` for a counter and `_info` for an info.
        kind: its type; an info is shown as a gauge of value 1 where the format has no such type.
        labels: the names of its labels, in the order in which values are given; `le` is implied.
        help: the text of its HELP line.
        buckets: upper bounds of a histogram, ascending, without +Inf.
        closed: all values of each label whose values are a closed set; of the others they are names, or numbers.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    closed: Mapping[str, tuple[str, ...]] = attrs.field(default=_NONE, hash=False)


_HTTP_LABELS = ("method", "endpoint", "status")

HTTP_REQUESTS = Metric("http_requests_total", "counter", _HTTP_LABELS, "Total number of HTTP requests")
HTTP_REQUEST_DURATION = Metric(
    "http_request_duration_seconds", "histogram", _HTTP_LABELS, "HTTP request duration in seconds", DEFAULT_BUCKETS
)
HTTP_REQUESTS_IN_FLIGHT = Metric(
    "http_requests_in_flight", "gauge", (), "Number of HTTP requests currently being processed"
)
HTTP_CLIENT_DISCONNECTS = Metric(
    "ollamamax_http_client_disconnects_total",
    "counter",
    ("endpoint", "phase"),
    "Requests whose client went away before the response was complete",
    closed={"phase": ("before_response", "mid_stream")},
)

INFERENCE_REQUESTS = Metric(
    "ollamamax_inference_requests_total",
    "counter",
    ("model", "operation", "outcome"),
    "Inference requests that are over, each once whatever its attempts, by how each ended",
    closed={"operation": OPERATIONS, "outcome": OUTCOMES},
)
INFERENCE_DURATION = Metric(
    "ollamamax_inference_duration_seconds",
    "histogram",
    ("model", "operation"),
    "Time from an inference request's head to its end; outcomes success and length only",
    _INFERENCE_BUCKETS,
    closed={"operation": OPERATIONS},
)
INFERENCE_FIRST_TOKEN = Metric(
    "ollamamax_inference_time_to_first_token_seconds",
    "histogram",
    ("model",),
    "Time from a request's last byte to the first content handed to its client; streams only, outcomes success and "
    "length only",
    _FIRST_TOKEN_BUCKETS,
)
INFERENCE_OUTPUT_TOKEN = Metric(
    "ollamamax_inference_time_per_output_token_seconds",
    "histogram",
    ("model",),
    "Time per generated token: as the node tells it on native routes; on /v1, of streams only, the time from the first "
    "to the last content over the tokens after the first",
    _OUTPUT_TOKEN_BUCKETS,
)
INFERENCE_PROMPT_DURATION = Metric(
    "ollamamax_inference_prompt_duration_seconds",
    "histogram",
    ("model",),
    "Time in which the node read the prompt; native routes only, as no answer of /v1 tells it",
    _PHASE_BUCKETS,
)
INFERENCE_SLOT_WAIT_DURATION = Metric(
    "ollamamax_inference_slot_wait_duration_seconds",
    "histogram",
    ("model",),
    "Time that no phase of the node's work accounts for, mostly the wait for a slot there; native routes only, as no "
    "answer of /v1 tells it",
    _PHASE_BUCKETS,
)
INFERENCE_LOAD_DURATION = Metric(
    "ollamamax_inference_load_duration_seconds",
    "histogram",
    ("model",),
    "Time until the model was in the node's memory, where it was longer than metrics.cold_start_seconds; native routes "
    "only, as no answer of /v1 tells it",
    _PHASE_BUCKETS,
)
INFERENCE_COLD_STARTS = Metric(
    "ollamamax_inference_cold_starts_total",
    "counter",
    ("model",),
    "Requests that waited for a load of their model: by the load's duration on native routes, on /v1 by what the node "
    "had in its memory when the request went there",
)
INFERENCE_IN_FLIGHT = Metric(
    "ollamamax_inference_in_flight", "gauge", ("model",), "Inference requests that went to a node and are not over"
)
INFERENCE_INPUT_TOKENS = Metric(
    "ollamamax_inference_input_tokens",
    "histogram",
    ("model",),
    "Tokens of a request's prompt, cached ones included",
    _TOKEN_BUCKETS,
)
INFERENCE_OUTPUT_TOKENS = Metric(
    "ollamamax_inference_output_tokens", "histogram", ("model",), "Tokens generated for a request", _TOKEN_BUCKETS
)
TOKENS = Metric(
    "ollamamax_tokens_total",
    "counter",
    ("model", "type"),
    "Tokens of prompts, cached ones included, and of answers",
    closed={"type": TOKEN_TYPES},
)
INPUT_TOKENS_CACHED = Metric(
    "ollamamax_input_tokens_cached_total",
    "counter",
    ("model",),
    "Tokens of prompts that needed no work; a part of the input of ollamamax_tokens_total",
)
USAGE_MISSING = Metric(
    "ollamamax_usage_missing_total",
    "counter",
    ("reason",),
    "Requests that went to a node which told no usable numbers of tokens, all or some of them, by why; those that it "
    "refused are left out",
    closed={"reason": ("aborted", "node_error", "not_reported")},
)
GATEWAY_OVERHEAD = Metric(
    "ollamamax_gateway_overhead_seconds",
    "histogram",
    ("operation",),
    "Time in the gateway while neither client nor node was waited for: from a request's last byte, or a failed "
    "attempt, until it was handed on, and from the end of the node's answer to that of the client's; of requests that "
    "were answered, without what is done between two pieces of an answer",
    _OVERHEAD_BUCKETS,
    closed={"operation": OPERATIONS},
)

DB_MAX_OPEN = Metric("db_connections_max_open", "gauge", (), "Connections that the database pool may have open")
DB_OPEN = Metric("db_connections_open", "gauge", (), "Connections that the database pool has open")
DB_IN_USE = Metric("db_connections_in_use", "gauge", (), "Open database connections that are in use")
DB_IDLE = Metric("db_connections_idle", "gauge", (), "Open database connections that are idle")
DB_WAITS = Metric("db_connections_wait_total", "counter", (), "Checkouts that had to wait for a database connection")
DB_WAIT_DURATION = Metric(
    "db_connections_wait_duration_seconds_total", "counter", (), "Seconds spent waiting for a database connection"
)
DB_CLOSED = Metric(
    "db_connections_closed_total",
    "counter",
    ("reason",),
    "Database connections closed, by reason",
    closed={"reason": ("error",)},
)
DB_QUERIES = Metric(
    "db_queries_total",
    "counter",
    ("operation", "table", "status"),
    "Database queries by operation, table and result",
    closed={"status": ("ok", "error")},
)
DB_QUERY_DURATION = Metric(
    "db_query_duration_seconds",
    "histogram",
    ("operation", "table"),
    "Database query duration in seconds",
    QUERY_BUCKETS,
)

LEDGER_PENDING = Metric(
    "ollamamax_ledger_pending",
    "gauge",
    (),
    "Ledger rows in memory and in the spool that wait to be written to the database",
)
LEDGER_SPOOL_BYTES = Metric(
    "ollamamax_ledger_spool_bytes",
    "gauge",
    (),
    "Bytes of the files that keep ledger rows until PostgreSQL can be written; absent on SQLite",
)
LEDGER_FLUSH_DURATION = Metric(
    "ollamamax_ledger_flush_duration_seconds",
    "histogram",
    (),
    "Time to commit a group of ledger rows, from when it was given to the database's writer",
    QUERY_BUCKETS,
)
LEDGER_DROPPED = Metric("ollamamax_ledger_dropped_total", "counter", (), "Ledger rows that were never written")

STORE_SIZE = Metric(
    "ollamamax_store_size_bytes", "gauge", (), "Bytes that the database takes on its disk, measured once a minute"
)
STORE_FREE = Metric(
    "ollamamax_store_free_bytes",
    "gauge",
    (),
    "Bytes that the database's file system has left, measured once a minute; absent where that is not known",
)

NODE_UP = Metric("ollamamax_node_up", "gauge", ("node",), "Whether the node's last probe succeeded (1) or not (0)")
NODE_INFO = Metric(
    "ollamamax_node_info", "info", ("node", "version", "simulated"), "The node's Ollama version, and whether it is real"
)
NODE_LAST_PROBE = Metric(
    "ollamamax_node_last_probe_timestamp_seconds", "gauge", ("node",), "Unix time of the node's last finished probe"
)
NODE_IN_FLIGHT = Metric("ollamamax_node_in_flight", "gauge", ("node",), "Requests of this gateway that the node holds")
NODE_STATE = Metric(
    "ollamamax_node_state",
    "gauge",
    ("node", "state"),
    "1 for the state that the node is in, 0 for all others",
    closed={"state": ("unprobed", "up", "down")},
)
NODE_PROBES = Metric(
    "ollamamax_node_probes_total",
    "counter",
    ("node", "result"),
    "Probes of the node, by how each ended",
    closed={
        "result": (
            "ok",
            "unreachable",
            "timeout",
            "closed_early",
            "bad_answer",
            "bad_status",
            "too_large",
            "address_refused",
        )
    },
)
NODE_MODEL_VRAM = Metric(
    "ollamamax_node_model_vram_bytes",
    "gauge",
    ("node", "model"),
    "The part of a loaded model that lies in the memory of the node's GPUs, in bytes",
)
NODE_MODEL_SIZE = Metric(
    "ollamamax_node_model_size_bytes", "gauge", ("node", "model"), "What a loaded model takes of all memory, in bytes"
)
NODE_MODEL_EXPIRES = Metric(
    "ollamamax_node_model_expires_timestamp_seconds",
    "gauge",
    ("node", "model"),
    "Unix time at which a loaded model is to leave the node's memory; a time that has passed is of a model in use",
)
NODE_MODELS_SIZE = Metric(
    "ollamamax_node_models_size_bytes",
    "gauge",
    ("node",),
    "What the node's models take on its disk, in bytes; each content once, whatever its names",
)
NODE_MEMORY = Metric(
    "ollamamax_node_memory_bytes",
    "gauge",
    ("node",),
    "The memory of the node's GPUs in bytes: as set, else as much as models were ever seen to take of it together",
)
NODE_DISK = Metric(
    "ollamamax_node_disk_bytes", "gauge", ("node",), "The node's room for models in bytes, where that is set"
)
NODE_MODEL_LOADS = Metric(
    "ollamamax_node_model_loads_total",
    "counter",
    ("node", "model", "cause"),
    "Loads of the model that requests of this gateway waited for, by why each was needed; waits that overlap are one",
    closed={"cause": ("first", "expired", "evicted", "options", "other")},
)
NODE_SLOT_BUSY = Metric(
    "ollamamax_node_slot_busy_seconds_total",
    "counter",
    ("node", "model"),
    "Seconds for which inference requests of this gateway held the node, those that hold it now included",
)
NODE_REQUESTS = Metric(
    "ollamamax_node_requests_total",
    "counter",
    ("node", "outcome"),
    "Attempts of inference requests at the node, by how each ended",
    closed={"outcome": OUTCOMES},
)
NODE_TOKENS = Metric(
    "ollamamax_node_tokens_total",
    "counter",
    ("node", "model", "type"),
    "Tokens of prompts that the node read, cached ones included, and of answers that it generated",
    closed={"type": TOKEN_TYPES},
)
NODE_FIRST_TOKEN = Metric(
    "ollamamax_node_time_to_first_token_seconds",
    "summary",
    ("node", "model"),
    "Time from a request's dispatch to the node to the first content handed to its client; streams only, outcomes "
    "success and length only",
)
NODE_OUTPUT_TOKEN = Metric(
    "ollamamax_node_time_per_output_token_seconds",
    "summary",
    ("node", "model"),
    "Time per token that the node generated, as ollamamax_inference_time_per_output_token_seconds has it",
)
NODE_RESPONSE_START = Metric(
    "ollamamax_node_response_start_duration_seconds",
    "histogram",
    ("node",),
    "Time from a request's dispatch to the head of the node's answer, where its status is 2xx; streams only",
    _INFERENCE_BUCKETS,
)
RETRIES = Metric(
    "ollamamax_retries_total",
    "counter",
    ("reason",),
    "Inference requests tried on a further node, by why; over_budget are those that were not, for want of budget",
    closed={"reason": ("connect_failed", "connect_timeout", "busy", "unanswered", "over_budget")},
)

SCRAPES = Metric("ollamamax_metrics_scrapes_total", "counter", ("code",), "Scrapes of /metrics by the status answered")
SCRAPE_DURATION = Metric(
    "ollamamax_metrics_scrape_duration_seconds",
    "histogram",
    (),
    "Time from a scrape's arrival until all of its answer was handed over",
    SCRAPE_BUCKETS,
)
SERIES = Metric("ollamamax_metrics_series", "gauge", ("family",), "Series of each family in the last whole scrape")
SERIES_OVERFLOWED = Metric(
    "ollamamax_metrics_series_overflowed_total",
    "counter",
    ("family",),
    "Observations that were folded together because their family holds as many series as it may",
)
COLLECTOR_ERRORS = Metric(
    "ollamamax_metrics_collector_errors_total",
    "counter",
    ("collector",),
    "Times that a collector failed and its samples were left out of a scrape",
)
BUILD_INFO = Metric("ollamamax_build_info", "info", ("version",), "The version of the server")

REACTOR_TICK_DURATION = Metric(
    "ollamamax_reactor_tick_duration_seconds",
    "histogram",
    (),
    "How late the event loop came to a call that was due, measured ten times a second",
    TICK_BUCKETS,
)
REACTOR_LAST_TICK = Metric(
    "ollamamax_reactor_last_tick_timestamp_seconds", "gauge", (), "Unix time at which the event loop last came to it"
)
THREADPOOL_THREADS = Metric(
    "ollamamax_threadpool_threads",
    "gauge",
    ("pool", "state"),
    "Threads of a pool, by what they do",
    closed={"state": ("idle", "busy")},
)
THREADPOOL_QUEUED = Metric(
    "ollamamax_threadpool_queued", "gauge", ("pool",), "Pieces of work that wait for a thread of the pool"
)

PROCESS_VIRTUAL_MEMORY = Metric("process_virtual_memory_bytes", "gauge", (), "Virtual memory size in bytes")
PROCESS_RESIDENT_MEMORY = Metric("process_resident_memory_bytes", "gauge", (), "Resident memory size in bytes")
PROCESS_START_TIME = Metric(
    "process_start_time_seconds", "gauge", (), "Start time of the process since unix epoch in seconds"
)
PROCESS_CPU_SECONDS = Metric(
    "process_cpu_seconds_total", "counter", (), "Total user and system CPU time spent in seconds"
)
PROCESS_OPEN_FDS = Metric("process_open_fds", "gauge", (), "Number of open file descriptors")
PROCESS_MAX_FDS = Metric("process_max_fds", "gauge", (), "Maximum number of open file descriptors")
PYTHON_GC_COLLECTED = Metric(
    "python_gc_objects_collected_total", "counter", ("generation",), "Objects collected during gc"
)
PYTHON_GC_UNCOLLECTABLE = Metric(
    "python_gc_objects_uncollectable_total", "counter", ("generation",), "Uncollectable objects found during GC"
)
PYTHON_GC_COLLECTIONS = Metric(
    "python_gc_collections_total", "counter", ("generation",), "Number of times this generation was collected"
)
PYTHON_INFO = Metric(
    "python_info",
    "info",
    ("version", "implementation", "major", "minor", "patchlevel"),
    "Python platform information",
)

CATALOGUE: tuple[Metric, ...] = (
    HTTP_REQUESTS,
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS_IN_FLIGHT,
    HTTP_CLIENT_DISCONNECTS,
    INFERENCE_REQUESTS,
    INFERENCE_DURATION,
    INFERENCE_FIRST_TOKEN,
    INFERENCE_OUTPUT_TOKEN,
    INFERENCE_PROMPT_DURATION,
    INFERENCE_SLOT_WAIT_DURATION,
    INFERENCE_LOAD_DURATION,
    INFERENCE_COLD_STARTS,
    INFERENCE_IN_FLIGHT,
    INFERENCE_INPUT_TOKENS,
    INFERENCE_OUTPUT_TOKENS,
    TOKENS,
    INPUT_TOKENS_CACHED,
    USAGE_MISSING,
    GATEWAY_OVERHEAD,
    DB_MAX_OPEN,
    DB_OPEN,
    DB_IN_USE,
    DB_IDLE,
    DB_WAITS,
    DB_WAIT_DURATION,
    DB_CLOSED,
    DB_QUERIES,
    DB_QUERY_DURATION,
    LEDGER_PENDING,
    LEDGER_SPOOL_BYTES,
    LEDGER_FLUSH_DURATION,
    LEDGER_DROPPED,
    STORE_SIZE,
    STORE_FREE,
    NODE_UP,
    NODE_INFO,
    NODE_LAST_PROBE,
    NODE_IN_FLIGHT,
    NODE_STATE,
    NODE_PROBES,
    NODE_MODEL_VRAM,
    NODE_MODEL_SIZE,
    NODE_MODEL_EXPIRES,
    NODE_MODELS_SIZE,
    NODE_MEMORY,
    NODE_DISK,
    NODE_MODEL_LOADS,
    NODE_SLOT_BUSY,
    NODE_REQUESTS,
    NODE_TOKENS,
    NODE_FIRST_TOKEN,
    NODE_OUTPUT_TOKEN,
    NODE_RESPONSE_START,
    RETRIES,
    SCRAPES,
    SCRAPE_DURATION,
    SERIES,
    SERIES_OVERFLOWED,
    COLLECTOR_ERRORS,
    BUILD_INFO,
    REACTOR_TICK_DURATION,
    REACTOR_LAST_TICK,
    THREADPOOL_THREADS,
    THREADPOOL_QUEUED,
    PROCESS_VIRTUAL_MEMORY,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
    PROCESS_CPU_SECONDS,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PYTHON_GC_COLLECTED,
    PYTHON_GC_UNCOLLECTABLE,
    PYTHON_GC_COLLECTIONS,
    PYTHON_INFO,
)
