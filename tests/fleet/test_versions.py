"""The order of Ollama's versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.fleet.versions import lowest, version_key

_ASCENDING = [
    "0.0.0",
    "0.1.9",
    "0.1.10",
    "0.9.6",
    "0.24.0",
    "0.33.0-1",
    "0.33.0-1rc",
    "0.33.0-2",
    "0.33.0-alpha",
    "0.33.0-rc0",
    "0.33.0-rc1",
    "0.33.0-rc1-3-gabc",
    "0.33.0-rc2",
    "0.33.0-rc10",
    "0.33.0",
    "0.33.1-rc0",
    "1.0.0",
]


def test_order() -> None:
    """Numbers count as numbers, a release comes after its candidates."""
    keys = [version_key(version) for version in _ASCENDING]
    assert None not in keys
    assert keys == sorted(keys, key=lambda key: key or ((0, 0, 0), 0, ()))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("one", "other"), [("v0.33.0", "0.33.0"), ("0.33", "0.33.0"), ("0.33.0+build5", "0.33.0")])
def test_equal_versions(one: str, other: str) -> None:
    """A leading v, a missing patch number and a build's name make no difference."""
    assert version_key(one) == version_key(other) is not None


@pytest.mark.parametrize(
    "text", ["", "dev", "1", "0.33.x", "0.33.0-", "0.33.0 ", "٠.١.٢", "1.2.3.4", "9" * 20 + ".0.0"]
)
def test_what_is_no_version(text: str) -> None:
    """Any text may come from a node."""
    assert version_key(text) is None


@given(st.permutations(_ASCENDING), st.integers(1, len(_ASCENDING)))
def test_lowest(versions: list[str], count: int) -> None:
    """The oldest is found wherever it stands."""
    some = versions[:count]
    assert lowest(some) == min(some, key=_ASCENDING.index)


def test_lowest_of_odd_ones() -> None:
    """A private build counts only where there is nothing else; of nothing there is no lowest."""
    assert lowest(["dev", "0.33.0"]) == "0.33.0"
    assert lowest(["dev", "abc"]) == "abc"
    assert lowest([]) is None


@given(st.lists(st.text(max_size=12)))
def test_any_texts(versions: list[str]) -> None:
    """Nodes may say anything; the answer is one of what they said."""
    found = lowest(versions)
    assert found in versions if versions else found is None
