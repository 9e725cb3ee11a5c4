"""What text becomes before it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.store.text import TEXT_LIMIT, storable_text


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("", ""),
        ("größe:7b", "größe:7b"),
        ("日本語 🙂", "日本語 🙂"),
        ("a\nb\tc\x7f", "a\nb\tc\x7f"),
        ("\0", "?"),
        ("a\0b\0", "a?b?"),
        ("a\ud800b\udfff", "a?b?"),
        ("ü\ud800\0\n", "ü??\n"),
    ],
)
def test_what_a_database_refuses_is_replaced(told: str, kept: str) -> None:
    """A NUL and a lone surrogate become a question mark each, all else stays."""
    assert storable_text(told) == kept


@pytest.mark.parametrize("character", ["x", "ü", "🙂", "\n", "\0", "\ud800"])
def test_text_is_cut_at_the_limit(character: str) -> None:
    """512 characters are kept, whatever they are made of."""
    whole = character * TEXT_LIMIT
    assert TEXT_LIMIT == 512
    assert len(storable_text(whole)) == TEXT_LIMIT
    assert storable_text(whole + "end") == storable_text(whole)


@given(st.text(max_size=600))
def test_text_that_can_be_kept_is_kept(text: str) -> None:
    """Up to the limit nothing is lost but NULs."""
    assert storable_text(text) == text[:TEXT_LIMIT].replace("\0", "?")


@given(st.text(alphabet=st.characters(codec=None), max_size=600))
def test_what_is_kept_can_be_stored(text: str) -> None:
    """Whatever comes in, what is kept is UTF-8 without NULs, and keeping it again changes nothing."""
    kept = storable_text(text)
    assert "\0" not in kept
    assert kept.encode().decode() == kept
    assert storable_text(kept) == kept
