"""One run of real servers moves every metric, and every value of its closed labels, each by its own cause.

`pytest tests/real/test_every_metric.py -rP` prints the table of what was before and after.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from postgresql_cluster import Cluster
from real.causes import CAUSES, NOTHING, Cause, Moved, Shown, looked_at
from real.processes import Processes
from real.world import World, world

from ollamamax.metrics.catalogue import CATALOGUE

PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.05


@pytest.fixture(scope="module")
def servers(
    shared_processes: Processes, postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The servers of the run."""
    with world(shared_processes, postgresql, tmp_path_factory.mktemp("world")) as made:
        yield made


def test_every_metric_has_a_cause() -> None:
    """Nothing is in the catalogue that no cause moves: no metric, and no value of a closed label."""
    moves = [moved for cause in CAUSES for moved in (*cause.moves, *cause.afterwards)]
    moved = {one.metric for one in moves}
    assert moved == set(CATALOGUE)
    values = {(one.metric, name, value) for one in moves for name, value in one.labels.items()}
    wanted = {
        (metric, name, value) for metric in CATALOGUE for name, all_of in metric.closed.items() for value in all_of
    }
    assert wanted - values == set()


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.words)
def test_causes_move_metrics(servers: World, cause: Cause) -> None:
    """What a cause is to move is off where it was while it lasts, or when it is over."""
    url = (servers.other if cause.of_other else servers.gateway).url
    every = (*cause.moves, *cause.afterwards)
    shown = NOTHING if cause.from_nothing else looked_at(url)
    before = {str(moved): moved.value(shown) for moved in every}
    after: dict[str, float] = {}
    with cause.happens(servers):
        _watch(lambda: looked_at(url), cause.moves, before, after)
    _watch(lambda: looked_at(url), cause.afterwards, before, after)
    for name, value in before.items():
        sys.stdout.write(f"{cause.words} | {name} | {value:g} | {after.get(name, value):g}\n")
    assert set(before) - after.keys() == set()


def _watch(
    look: Callable[[], Shown], moves: Sequence[Moved], before: dict[str, float], after: dict[str, float]
) -> None:
    """Looks until all of them are off where they were, as long as that may take; notes what was seen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = set(moves)
    while left:
        shown = look()
        for moved in list(left):
            value = moved.value(shown)
            if value != before[str(moved)]:
                after[str(moved)] = value
                left.discard(moved)
        if time.monotonic() > deadline:
            return
        time.sleep(POLL_SECONDS)
