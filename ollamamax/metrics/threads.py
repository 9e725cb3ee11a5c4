"""Thread pools, read at scrape from the pools themselves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from ollamamax.metrics.catalogue import THREADPOOL_QUEUED, THREADPOOL_THREADS
from ollamamax.metrics.families import Families, Family, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.python.threadpool import ThreadPool

THREAD_METRICS = (THREADPOOL_THREADS, THREADPOOL_QUEUED)


@attrs.frozen
class _PoolCopy:
    name: str
    idle: int
    busy: int
    queued: int

    @classmethod
    def of(cls, name: str, pool: ThreadPool) -> _PoolCopy:
        # Twisted tells how many of its threads are idle and busy, but of its backlog only the log (`dumpStats`); all
        # three come from here.
        seen = pool._team.statistics()  # noqa: SLF001
        return cls(name, seen.idleWorkerCount, seen.busyWorkerCount, seen.backloggedWorkCount)


def threads(pools: Mapping[str, ThreadPool]) -> Families:
    """The families of thread pools, by the name under which each is shown."""
    return partial(_threads, [_PoolCopy.of(name, pool) for name, pool in pools.items()])


def _threads(pools: list[_PoolCopy]) -> Iterable[Family]:
    states = (((pool.name, state), number) for pool in pools for state, number in _by_state(pool))
    yield values(THREADPOOL_THREADS, states)
    yield values(THREADPOOL_QUEUED, (((pool.name,), pool.queued) for pool in pools))


def _by_state(pool: _PoolCopy) -> tuple[tuple[str, int], ...]:
    return ("idle", pool.idle), ("busy", pool.busy)
