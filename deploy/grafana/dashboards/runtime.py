"""Runtime: the gateway's own process: event loop, threads, database, ledger, memory, the scrape itself."""

from __future__ import annotations

from .page import Page, Row
from .panels import lines, rows
from .queries import Query, mean, quantiles, rate, series, share, total, worst

_TICK = "ollamamax_reactor_tick_duration_seconds"
_QUERY = "db_query_duration_seconds"
_FLUSH = "ollamamax_ledger_flush_duration_seconds"
_SCRAPE = "ollamamax_metrics_scrape_duration_seconds"

_TICKS = total(rate(f"{_TICK}_count"), "instance")
_PROMPT_TICKS = total(rate(f"{_TICK}_bucket", 'le="0.25"'), "instance")

_LOOP = Row(
    "Event loop and threads",
    [
        lines(
            "How late the event loop is",
            "Everything but queries and the text of scrapes happens on one thread, in turns; while one turn lasts, "
            "every client waits. An idle loop shows about 1 ms.",
            "s",
            *quantiles(_TICK),
        ),
        lines(
            "Blocked for more than 0.25 s",
            "How often the event loop was late by more than a quarter of a second, which every client notices. It "
            "should be nothing.",
            "cps",
            Query(
                f"{_TICKS} - {_PROMPT_TICKS}",
                "{{instance}}",
            ),
        ),
        lines(
            "Last seen at work",
            "How long before the scrape the event loop was last at work: a tenth of a second at most, more where it "
            "had just stood still.",
            "s",
            Query(
                f"timestamp({series('ollamamax_reactor_last_tick_timestamp_seconds')})"
                f" - {series('ollamamax_reactor_last_tick_timestamp_seconds')}",
                "{{instance}}",
            ),
            span=8,
        ),
        lines(
            "Threads",
            "Threads of each pool, by what they do.",
            "short",
            Query(total(series("ollamamax_threadpool_threads"), "pool", "state"), "{{pool}} {{state}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Work that waits for a thread",
            "For long more than nothing: the pool is too small, or what it does has become slow.",
            "short",
            Query(total(series("ollamamax_threadpool_queued"), "pool"), "{{pool}}"),
            span=8,
        ),
    ],
)

_DATABASE = Row(
    "Database",
    [
        lines(
            "Connections",
            "The pool's connections: how many there may be, are, and are in use.",
            "short",
            Query(total(series("db_connections_max_open")), "may be open"),
            Query(total(series("db_connections_open")), "open"),
            Query(total(series("db_connections_in_use")), "in use"),
            Query(total(series("db_connections_idle")), "idle"),
            span=8,
        ),
        lines(
            "Waits for a connection",
            "How often a connection had to be waited for, and connections that were closed, by reason.",
            "cps",
            Query(total(rate("db_connections_wait_total")), "waits"),
            Query(total(rate("db_connections_closed_total"), "reason"), "closed: {{reason}}"),
            span=8,
        ),
        lines(
            "Seconds waited for a connection",
            "Seconds of waiting per second, which is how many wait on the average.",
            "short",
            Query(total(rate("db_connections_wait_duration_seconds_total")), "waiting"),
            span=8,
        ),
        lines(
            "Queries",
            "Queries by operation and table.",
            "ops",
            Query(total(rate("db_queries_total"), "operation", "table"), "{{operation}} {{table}}"),
            span=8,
            stacked=True,
        ),
        lines(
            "Queries that failed",
            "The share of queries that ended with an error.",
            "percentunit",
            Query(share(total(rate("db_queries_total", 'status="error"')), total(rate("db_queries_total"))), "failed"),
            span=8,
        ),
        lines(
            "Duration of queries",
            "Of all queries, and the 95th percentile by table.",
            "s",
            *quantiles(_QUERY),
            worst(_QUERY, by="table"),
            span=8,
        ),
    ],
)

_LEDGER = Row(
    "Ledger",
    [
        lines(
            "Rows that wait to be written",
            "Accounts of requests that are not in the database yet. It grows while the database is away, and goes "
            "back to nothing after.",
            "short",
            Query(total(series("ollamamax_ledger_pending"), "instance"), "{{instance}}"),
            span=8,
        ),
        lines(
            "Duration of a flush",
            "How long it takes to commit a group of rows.",
            "s",
            *quantiles(_FLUSH),
            Query(mean(_FLUSH), "mean"),
            span=8,
        ),
        lines(
            "Rows lost",
            "Accounts of requests that were never written. It has to be nothing.",
            "cps",
            Query(total(rate("ollamamax_ledger_dropped_total"), "instance"), "{{instance}}"),
            span=8,
        ),
        lines(
            "Size of the store",
            "What the database takes, and what is free where it lies.",
            "bytes",
            Query(total(series("ollamamax_store_size_bytes"), "instance"), "{{instance}} size"),
            Query(total(series("ollamamax_store_free_bytes"), "instance"), "{{instance}} free"),
        ),
        rows(
            "Versions",
            "The release that each gateway runs.",
            Query(f"max by (instance, version) ({series('ollamamax_build_info')})", "{{instance}}"),
            columns={"instance": "Gateway", "version": "Version"},
        ),
    ],
)

_PROCESS = Row(
    "Process",
    [
        lines(
            "Processor",
            "Cores in use. A gateway works on one thread in the main, so that near 100 % it is full.",
            "percentunit",
            Query(total(rate("process_cpu_seconds_total"), "instance"), "{{instance}}"),
            span=8,
        ),
        lines(
            "Memory",
            "Memory that the process holds, and addresses that it has reserved.",
            "bytes",
            Query(total(series("process_resident_memory_bytes"), "instance"), "{{instance}} resident"),
            Query(total(series("process_virtual_memory_bytes"), "instance"), "{{instance}} virtual"),
            span=8,
        ),
        lines(
            "File descriptors in use",
            "The share of the descriptors that the process may have. At 100 % no connection is accepted any more.",
            "percentunit",
            Query(f"{series('process_open_fds')} / {series('process_max_fds')}", "{{instance}}"),
            span=8,
        ),
        lines(
            "Garbage collections",
            "How often Python collected garbage, by generation.",
            "ops",
            Query(total(rate("python_gc_collections_total"), "generation"), "generation {{generation}}"),
            span=8,
        ),
        lines(
            "Garbage",
            "Objects that were collected, and those that could not be, which would be a leak.",
            "cps",
            Query(total(rate("python_gc_objects_collected_total")), "collected"),
            Query(total(rate("python_gc_objects_uncollectable_total")), "uncollectable"),
            span=8,
        ),
        lines(
            "Running for",
            "Time since the start of each gateway's process. A fall to nothing is a restart.",
            "s",
            Query(f"time() - {series('process_start_time_seconds')}", "{{instance}}"),
            span=8,
        ),
    ],
)

_EXPOSITION = Row(
    "The scrape itself",
    [
        lines(
            "Duration of a scrape",
            "How long the gateway took to answer /metrics.",
            "s",
            *quantiles(_SCRAPE),
            Query(f"max ({series('scrape_duration_seconds')})", "seen by Prometheus"),
            span=8,
        ),
        lines(
            "Series by family",
            "How many series the largest families have.",
            "short",
            Query(f"topk (10, {total(series('ollamamax_metrics_series'), 'family')})", "{{family}}"),
            span=8,
        ),
        lines(
            "Samples of a scrape",
            "How many samples Prometheus took from each gateway.",
            "short",
            Query(series("scrape_samples_scraped"), "{{instance}}"),
            span=8,
        ),
        lines(
            "Scrapes by status",
            "Answers of /metrics. 503: more different scrapes at once than are written side by side.",
            "reqps",
            Query(total(rate("ollamamax_metrics_scrapes_total"), "code"), "{{code}}"),
            span=8,
        ),
        lines(
            "Series that found no room",
            "Observations that were folded together because their family holds as many series as it may.",
            "cps",
            Query(total(rate("ollamamax_metrics_series_overflowed_total"), "family"), "{{family}}"),
            span=8,
        ),
        lines(
            "Collectors that failed",
            "Collectors whose samples are missing in a scrape; the log has the failure.",
            "cps",
            Query(total(rate("ollamamax_metrics_collector_errors_total"), "collector"), "{{collector}}"),
            span=8,
        ),
    ],
)

PAGE = Page(
    "runtime",
    "Runtime",
    "How is the gateway itself? Event loop, threads, database, ledger, memory and scrapes.",
    ["job", "instance"],
    [_LOOP, _DATABASE, _LEDGER, _PROCESS, _EXPOSITION],
)
