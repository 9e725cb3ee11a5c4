"""A node's memory in numbers."""

from __future__ import annotations

import pytest

from ollamamax.fleet import residency
from ollamamax.fleet.answers import ModelEntry, ResidentEntry
from ollamamax.fleet.loads import Found
from ollamamax.fleet.residency import MAX_SHOWN, Residency

DUE = "1970-01-01T00:01:40Z"


def test_what_a_node_says_is_read() -> None:
    """Sizes and the moment to leave, in Unix seconds; what is not said, or is Go's zero time, is not made up."""
    entries: dict[str, ResidentEntry] = {
        "m:latest": {"name": "M", "size": 7, "size_vram": 5, "expires_at": "2026-11-23T02:04:23.5+02:00"},
        "n:latest": {"name": "n", "expires_at": "0001-01-01T00:00:00Z"},
        "o:latest": {"name": "o", "size_vram": 0, "expires_at": "soon"},
    }
    assert residency.residencies(entries) == [
        Residency("m:latest", 7, 5, 1795392263.5),
        Residency("n:latest", None, None, None),
        Residency("o:latest", None, 0, None),
    ]
    assert residency.vram_bytes(entries) == 5


def test_a_node_that_lists_names_without_end() -> None:
    """The first ones are shown."""
    entries: dict[str, ResidentEntry] = {f"m{number}:latest": {"name": "m"} for number in range(100_000)}
    shown = residency.residencies(entries)
    assert [one.model for one in shown] == [f"m{number}:latest" for number in range(MAX_SHOWN)]


def test_a_name_that_is_too_long_is_not_shown() -> None:
    """It would be in every line of a scrape."""
    entries: dict[str, ResidentEntry] = {"x" * length: {"name": "x"} for length in (255, 256, 257)}
    assert [len(one.model) for one in residency.residencies(entries)] == [255, 256]


def test_one_content_is_stored_once() -> None:
    """Models of one digest share their bytes on a node's disk; one without a digest shares nothing."""
    models: dict[str, ModelEntry] = {
        "m:latest": {"name": "m", "size": 7, "digest": "d"},
        "m:copy": {"name": "m:copy", "size": 7, "digest": "d"},
        "n:latest": {"name": "n", "size": 20, "digest": "e"},
        "o:latest": {"name": "o", "size": 100},
        "p:latest": {"name": "p", "size": 100},
        "q:cloud": {"name": "q:cloud", "digest": "f"},
    }
    assert residency.stored_bytes(models) == 227
    assert residency.stored_bytes({}) == 0


@pytest.mark.parametrize(
    ("entry", "probed_at", "now", "in_use", "expected"),
    [
        (None, 90.0, 101.0, False, "absent"),
        ({"name": "m", "expires_at": DUE}, 90.0, 99.0, False, "resident"),
        ({"name": "m", "expires_at": DUE}, 90.0, 101.0, False, "expired"),
        ({"name": "m", "expires_at": DUE}, 90.0, 101.0, True, "resident"),
        ({"name": "m", "expires_at": DUE}, 100.5, 101.0, False, "resident"),
        ({"name": "m", "expires_at": DUE}, None, 101.0, False, "resident"),
        ({"name": "m"}, 90.0, 101.0, False, "resident"),
    ],
)
def test_where_a_model_is(
    entry: ResidentEntry | None, probed_at: float | None, now: float, in_use: bool, expected: Found
) -> None:
    """As the last probe said, unless the model's time has come since and nobody uses it."""
    assert residency.found(entry, probed_at, now, in_use=in_use) == expected
