"""Model names: one spelling for all that Ollama takes for the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.names import is_cloud, normalized, owner, shortest

_PART = st.text("abcXYZ019._-", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny", "tiny:latest"),
        ("TINY", "tiny:latest"),
        ("tiny:latest", "tiny:latest"),
        ("Tiny:7B-q4_K_M", "tiny:7b-q4_k_m"),
        ("library/tiny", "tiny:latest"),
        ("registry.ollama.ai/library/tiny", "tiny:latest"),
        ("Registry.Ollama.AI/library/tiny:1b", "tiny:1b"),
        ("https://registry.ollama.ai/library/tiny", "tiny:latest"),
        ("registry.ollama.ai/someone/tiny", "someone/tiny:latest"),
        ("someone/tiny", "someone/tiny:latest"),
        ("library/library/tiny", "library/library/tiny:latest"),
        ("hf.co/org/repo:Q4", "hf.co/org/repo:q4"),
        ("hf.co/library/repo", "hf.co/library/repo:latest"),
        ("127.0.0.1:5055/x/tiny", "127.0.0.1:5055/x/tiny:latest"),
        (" tiny ", "tiny:latest"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_spellings(name: str, expected: str) -> None:
    """Case, a missing tag, the default registry and namespace make no difference; everything else does."""
    assert normalized(name) == expected


@given(st.lists(_PART, min_size=1, max_size=4).map("/".join), st.none() | _PART)
def test_normalizing_is_idempotent(path: str, tag: str | None) -> None:
    """A normalised name is its own normalised name, and its case does not matter."""
    name = path if tag is None else f"{path}:{tag}"
    once = normalized(name)
    assert normalized(once) == once
    assert normalized(name.swapcase()) == once


@given(st.text())
def test_any_text_has_a_normalized_name(text: str) -> None:
    """No name that a client may send raises."""
    normalized(text)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [
        ("gpt-oss:120b-cloud", True),
        ("x:cloud", True),
        ("127.0.0.1:5055/x/gpt-oss:120b-cloud", True),
        ("cloud:latest", False),
        ("cloudy:7b", False),
        ("x:cloud-7b", False),
        ("mycloud:8b", False),
    ],
)
def test_cloud_models(name: str, cloud: bool) -> None:
    """The tag alone says that a model runs in Ollama's cloud."""
    assert is_cloud(normalized(name)) is cloud


@pytest.mark.parametrize(
    ("name", "shown", "namespace"),
    [
        ("Tiny", "Tiny:latest", "library"),
        ("library/Tiny:1B", "Tiny:1B", "library"),
        ("registry.ollama.ai/library/tiny", "tiny:latest", "library"),
        ("Someone/tiny", "Someone/tiny:latest", "Someone"),
        ("hf.co/Org/repo:Q4", "hf.co/Org/repo:Q4", "Org"),
    ],
)
def test_names_as_they_are_shown(name: str, shown: str, namespace: str) -> None:
    """In the spelling that they were given in; their namespace is their owner."""
    assert (shortest(name), owner(name)) == (shown, namespace)
