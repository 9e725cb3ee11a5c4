"""Thread pools at a scrape, on Twisted's own pools."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest
from twisted.python.threadpool import ThreadPool

from ollamamax.metrics.threads import threads

PATIENCE_SECONDS = 20.0


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """A pool of at most two threads."""
    made = ThreadPool(minthreads=0, maxthreads=2)
    made.start()
    yield made
    made.stop()


def shown(pools: Mapping[str, ThreadPool]) -> dict[tuple[str, str], float]:
    """The samples by pool and state; the state of what waits is `queued`."""
    samples = [sample for family in threads(pools)() for sample in family.samples]
    return {(sample.labels["pool"], sample.labels.get("state", "queued")): sample.value for sample in samples}


def test_a_pool_that_was_never_used() -> None:
    """It has no thread and shows zeros, so that its series are there from the start."""
    assert shown({"a": ThreadPool(0, 3)}) == {("a", "idle"): 0, ("a", "busy"): 0, ("a", "queued"): 0}


def test_work_is_counted_where_it_is(pool: ThreadPool) -> None:
    """Two pieces of work make two threads busy, the third and fourth wait; when all are done, both threads are idle."""
    release, running, done = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        running.release()
        release.wait(PATIENCE_SECONDS)

    for _ in range(4):
        pool.callInThreadWithCallback(lambda *_: done.release(), work)
    for _ in range(2):
        assert running.acquire(timeout=PATIENCE_SECONDS)
    assert shown({"a": pool}) == {("a", "idle"): 0, ("a", "busy"): 2, ("a", "queued"): 2}
    release.set()
    for _ in range(4):
        assert done.acquire(timeout=PATIENCE_SECONDS)
    seen = shown({"a": pool})
    assert seen["a", "queued"] == 0
    assert seen["a", "idle"] + seen["a", "busy"] == 2


def test_pools_are_told_apart(pool: ThreadPool) -> None:
    """Each has the name that it was given."""
    assert {name for name, _ in shown({"a": pool, "b": ThreadPool(0, 1)})} == {"a", "b"}


def test_a_copy_is_a_copy(pool: ThreadPool) -> None:
    """What is rendered later is what was there at the snapshot."""
    copied = threads({"a": pool})
    finished = threading.Event()
    pool.callInThread(finished.set)
    assert finished.wait(PATIENCE_SECONDS)
    assert [sample.value for family in copied() for sample in family.samples] == [0, 0, 0]
