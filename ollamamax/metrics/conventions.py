"""What the metrics and labels are called in OpenTelemetry's semantic conventions.

Pure. The names here are Prometheus' way of saying what those conventions say; whoever moves figures between the two
worlds, or reads them side by side, finds the pairs here. Sources: the conventions for HTTP, database clients,
generative AI and processes (opentelemetry.io/docs/specs/semconv), those for generative AI being in development.
"""

from __future__ import annotations

import attrs

from ollamamax.metrics.catalogue import (
    DB_IDLE,
    DB_IN_USE,
    DB_MAX_OPEN,
    DB_OPEN,
    DB_QUERY_DURATION,
    DB_WAIT_DURATION,
    DB_WAITS,
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_IN_FLIGHT,
    INFERENCE_DURATION,
    INFERENCE_FIRST_TOKEN,
    INFERENCE_INPUT_TOKENS,
    INFERENCE_OUTPUT_TOKEN,
    INFERENCE_OUTPUT_TOKENS,
    INFERENCE_REQUESTS,
    INPUT_TOKENS_CACHED,
    PROCESS_CPU_SECONDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
    PROCESS_VIRTUAL_MEMORY,
    PYTHON_GC_COLLECTED,
    PYTHON_GC_COLLECTIONS,
    PYTHON_GC_UNCOLLECTABLE,
    TOKENS,
    Metric,
)


@attrs.frozen
class Counterpart:
    """What says the same in OpenTelemetry.

    Attributes:
        metric: ours.
        name: theirs.
        difference: what is not the same, or is said by an attribute there; empty where nothing is.
    """

    metric: Metric
    name: str
    difference: str = ""


METRICS: tuple[Counterpart, ...] = (
    Counterpart(HTTP_REQUESTS, "http.server.request.duration", "its count"),
    Counterpart(
        HTTP_REQUEST_DURATION,
        "http.server.request.duration",
        "until the last byte was handed over, or the client left (499); other buckets",
    ),
    Counterpart(HTTP_REQUESTS_IN_FLIGHT, "http.server.active_requests", "without attributes"),
    Counterpart(INFERENCE_REQUESTS, "gen_ai.server.request.duration", "its count, of all outcomes"),
    Counterpart(INFERENCE_DURATION, "gen_ai.server.request.duration", "of good ends only; other buckets"),
    Counterpart(
        INFERENCE_FIRST_TOKEN,
        "gen_ai.server.time_to_first_token",
        "of streams, as the gateway's client has it: the way through the gateway is part of it",
    ),
    Counterpart(INFERENCE_OUTPUT_TOKEN, "gen_ai.server.time_per_output_token"),
    Counterpart(TOKENS, "gen_ai.client.token.usage", "its sum, by `gen_ai.token.type`"),
    Counterpart(INFERENCE_INPUT_TOKENS, "gen_ai.client.token.usage", '`gen_ai.token.type="input"`'),
    Counterpart(INFERENCE_OUTPUT_TOKENS, "gen_ai.client.token.usage", '`gen_ai.token.type="output"`'),
    Counterpart(
        INPUT_TOKENS_CACHED, "gen_ai.usage.cache_read.input_tokens", "an attribute of spans there, a counter here"
    ),
    Counterpart(DB_OPEN, "db.client.connection.count", "the sum of its states"),
    Counterpart(DB_IN_USE, "db.client.connection.count", '`db.client.connection.state="used"`'),
    Counterpart(DB_IDLE, "db.client.connection.count", '`db.client.connection.state="idle"`'),
    Counterpart(DB_MAX_OPEN, "db.client.connection.max"),
    Counterpart(DB_WAITS, "db.client.connection.wait_time", "the count of those that waited at all"),
    Counterpart(DB_WAIT_DURATION, "db.client.connection.wait_time", "its sum"),
    Counterpart(DB_QUERY_DURATION, "db.client.operation.duration", "other buckets"),
    Counterpart(PROCESS_CPU_SECONDS, "process.cpu.time", "user and system together"),
    Counterpart(PROCESS_RESIDENT_MEMORY, "process.memory.usage"),
    Counterpart(PROCESS_VIRTUAL_MEMORY, "process.memory.virtual"),
    Counterpart(PROCESS_OPEN_FDS, "process.unix.file_descriptor.count"),
    Counterpart(PROCESS_START_TIME, "process.uptime", "the moment of the start, not the time since"),
    Counterpart(PYTHON_GC_COLLECTIONS, "cpython.gc.collections"),
    Counterpart(PYTHON_GC_COLLECTED, "cpython.gc.collected_objects"),
    Counterpart(PYTHON_GC_UNCOLLECTABLE, "cpython.gc.uncollectable_objects"),
)
"""Metrics that have a counterpart; of the others, what OllamaMax knows has no name there yet."""

LABELS: tuple[tuple[str, str, str], ...] = (
    ("`method`", "http.request.method", "`_OTHER` likewise"),
    ("`endpoint`", "http.route", "in the form `/api/v1/models/:id`"),
    ("`status` of `http_*`", "http.response.status_code", "and 499 for a client that left"),
    ("`model`", "gen_ai.request.model", "the normalised name; `other` for unknown ones"),
    (
        "`operation` of `ollamamax_*`",
        "gen_ai.operation.name",
        "`generate` is `text_completion` there, `embed` `embeddings`; for `transcribe` and `load` it has none",
    ),
    ("`type` of tokens", "gen_ai.token.type", ""),
    ("`outcome`", "error.type", "absent there for `success` and `length`"),
    ("`operation` of `db_*`", "db.operation.name", ""),
    ("`table`", "db.collection.name", ""),
    ("`status` of `db_*`", "error.type", "absent there for `ok`"),
    ("`generation`", "cpython.gc.generation", ""),
    ("`node`", "server.address", "the node's name in the settings, not its address"),
)
"""Labels with the attributes that say the same, and what is not the same."""
