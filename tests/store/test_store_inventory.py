"""Nodes and models seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from ollamamax.store.failures import StoreUnavailable
from ollamamax.store.inventory import KNOWN_LIMIT, REFRESH_SECONDS, Inventory, SeenModel, SeenNode

if TYPE_CHECKING:
    from store.databases import Database

Fired = Callable[[Any], Any]
NODE = SeenNode(name="desk", url="http://127.0.0.1:11434", simulated=False, version="0.33.0", seen_at=1000.0)
MODEL = SeenModel(node="desk", model="llama:latest", digest="abc", seen_at=1000.0)


@pytest.fixture
def inventory(database: Database) -> Inventory:
    """An inventory on the database."""
    return Inventory(database.writer, database.reader)


def writes(database: Database) -> int:
    """How many transactions were committed."""
    return database.statistics.snapshot().queries.get(("commit", "none", "ok"), 0)


def test_what_is_seen_is_kept(database: Database, inventory: Inventory, fired: Fired) -> None:
    """A first sight is one transaction; both times are its moment."""
    fired(inventory.record([NODE], [MODEL, attrs.evolve(MODEL, model="b:1", digest=None)]))
    assert writes(database) == 1
    assert database.ask("select * from nodes") == [("desk", "http://127.0.0.1:11434", 0, "0.33.0", 1000.0, 1000.0)]
    assert database.ask("select * from models_seen order by model") == [
        ("desk", "b:1", None, 1000.0, 1000.0),
        ("desk", "llama:latest", "abc", 1000.0, 1000.0),
    ]


def test_the_same_again_is_not_written(database: Database, inventory: Inventory, fired: Fired) -> None:
    """What was written a short while ago is written again only when it changed or has become old."""
    fired(inventory.record([NODE], [MODEL]))
    soon = NODE.seen_at + REFRESH_SECONDS - 1
    fired(inventory.record([attrs.evolve(NODE, seen_at=soon)], [attrs.evolve(MODEL, seen_at=soon)]))
    assert writes(database) == 1
    fired(inventory.record([], [attrs.evolve(MODEL, seen_at=soon, digest="new")]))
    fired(inventory.record([attrs.evolve(NODE, seen_at=soon + 1)], []))
    assert writes(database) == 3
    assert database.ask("select digest, first_seen, last_seen from models_seen") == [("new", 1000.0, soon)]
    assert database.ask("select first_seen, last_seen from nodes") == [(1000.0, soon + 1)]


def test_an_older_sight_widens_the_time_only(database: Database, inventory: Inventory, fired: Fired) -> None:
    """Out of order, the newest sight's values stay; an unknown version or digest never replaces a known one."""
    fired(inventory.record([NODE], [MODEL]))
    older_node = attrs.evolve(NODE, url="http://old", version="0.1", seen_at=10.0)
    fresh = Inventory(database.writer, database.reader)
    fired(fresh.record([older_node], [attrs.evolve(MODEL, digest="old", seen_at=10.0)]))
    later_node = attrs.evolve(NODE, version=None, seen_at=5000.0)
    fired(inventory.record([later_node], [attrs.evolve(MODEL, digest=None, seen_at=5000.0)]))
    assert database.ask("select url, version, first_seen, last_seen from nodes") == [(NODE.url, "0.33.0", 10.0, 5000.0)]
    assert database.ask("select digest, first_seen, last_seen from models_seen") == [("abc", 10.0, 5000.0)]


def test_models_seen_since(inventory: Inventory, fired: Fired) -> None:
    """A model counts when any node had it at that moment or later; each name is told once."""
    fired(
        inventory.record(
            [],
            [
                MODEL,
                attrs.evolve(MODEL, node="rack", seen_at=2000.0),
                attrs.evolve(MODEL, model="old:latest", seen_at=10.0),
            ],
        )
    )
    assert fired(inventory.models_seen_since(0.0)) == {"llama:latest", "old:latest"}
    assert fired(inventory.models_seen_since(2000.0)) == {"llama:latest"}
    assert fired(inventory.models_seen_since(2000.5)) == frozenset()


def test_an_outage_is_logged_once_and_made_good(
    database: Database, inventory: Inventory, fired: Fired, logged: list[str]
) -> None:
    """While the database is locked nothing fails; the next round after it writes what was missed."""
    other = database.lock()
    fired(inventory.record([NODE], [MODEL]))
    fired(inventory.record([NODE], [MODEL]))
    assert logged == [f"error: inventory: nodes and models cannot be recorded ({database.home.locked})"]
    other.close()
    fired(inventory.record([NODE], [MODEL]))
    assert fired(inventory.models_seen_since(0.0)) == {"llama:latest"}


def test_a_database_that_cannot_be_read(database: Database, inventory: Inventory, fired: Fired) -> None:
    """A question fails with the one error that callers know."""
    database.home.take_away()
    with pytest.raises(StoreUnavailable):
        fired(inventory.models_seen_since(0.0))


def test_names_of_hostile_nodes(database: Database, inventory: Inventory, fired: Fired) -> None:
    """A name that no column holds is left out, what cannot be encoded is replaced, many names cost bounded memory."""
    hostile = [attrs.evolve(MODEL, model="x" * 10_000), attrs.evolve(MODEL, model="a\ud800", digest="d" * 10_000)]
    fired(inventory.record([], hostile))
    assert database.ask("select model, length(digest) from models_seen") == [("a?", 512)]
    many = [attrs.evolve(MODEL, model=f"m{number}") for number in range(KNOWN_LIMIT + 1)]
    fired(inventory.record([], many))
    fired(inventory.record([], [attrs.evolve(MODEL, model="new")]))
    assert len(inventory._known_models) == 1
