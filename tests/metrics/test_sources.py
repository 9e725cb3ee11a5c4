"""State of other rooms at scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ollamamax.fleet.retries import AttemptCounts
from ollamamax.metrics import sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ollamamax.metrics.families import Families


@attrs.define
class Pool:
    """Statistics of a pool, at one moment."""

    max_open: int = 4
    open: int = 3
    in_use: int = 2
    idle: int = 1
    wait_count: int = 7
    wait_duration_seconds: float = 0.25
    closed: Mapping[str, int] = attrs.Factory(lambda: {"error": 5})
    queries: Mapping[tuple[str, str, str], int] = attrs.Factory(lambda: {("insert", "requests", "ok"): 9})


@attrs.define
class Rows:
    """A ledger's queue."""

    pending: int = 3
    kept_bytes: int | None = 4096
    dropped: int = 1


@attrs.define
class Size:
    """How much space a database takes."""

    bytes: int | None
    free_bytes: int | None


def samples(families: Families) -> dict[tuple[str, tuple[str, ...]], float]:
    """All samples by name and label values."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value for family in families() for sample in family.samples
    }


def test_database() -> None:
    """Every figure of the pool is shown under its name."""
    assert samples(sources.database(Pool())) == {
        ("db_connections_max_open", ()): 4,
        ("db_connections_open", ()): 3,
        ("db_connections_in_use", ()): 2,
        ("db_connections_idle", ()): 1,
        ("db_connections_wait_total", ()): 7,
        ("db_connections_wait_duration_seconds_total", ()): 0.25,
        ("db_connections_closed_total", ("error",)): 5,
        ("db_queries_total", ("insert", "requests", "ok")): 9,
    }


def test_ledger() -> None:
    """Rows that wait are a gauge, rows that were lost a counter."""
    assert samples(sources.ledger(Rows())) == {
        ("ollamamax_ledger_pending", ()): 3,
        ("ollamamax_ledger_spool_bytes", ()): 4096,
        ("ollamamax_ledger_dropped_total", ()): 1,
    }
    assert ("ollamamax_ledger_spool_bytes", ()) not in samples(sources.ledger(Rows(kept_bytes=None)))


def test_size() -> None:
    """What is not known of the database's size has no sample."""
    assert samples(sources.size(Size(4096, 1024))) == {
        ("ollamamax_store_size_bytes", ()): 4096,
        ("ollamamax_store_free_bytes", ()): 1024,
    }
    assert samples(sources.size(Size(4096, None))) == {("ollamamax_store_size_bytes", ()): 4096}


def test_attempts() -> None:
    """Attempts are counted by node and outcome, retries by their reason, those that never were from 0."""
    counts = AttemptCounts()
    counts.attempts["a", "node_error"] += 2
    counts.retries["busy"] += 1
    families = sources.attempts(counts)
    counts.attempts.clear()
    counts.retries.clear()
    assert samples(families) == {
        ("ollamamax_node_requests_total", ("a", "node_error")): 2,
        ("ollamamax_retries_total", ("connect_failed",)): 0,
        ("ollamamax_retries_total", ("connect_timeout",)): 0,
        ("ollamamax_retries_total", ("busy",)): 1,
        ("ollamamax_retries_total", ("unanswered",)): 0,
        ("ollamamax_retries_total", ("over_budget",)): 0,
    }


def test_build() -> None:
    """The version is a label of a constant."""
    assert samples(sources.build("1.2.3")) == {("ollamamax_build_info", ("1.2.3",)): 1}
