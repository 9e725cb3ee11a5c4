"""What a row of the ledger makes of hostile values."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.schema import requests
from ollamamax.store.text import TEXT_LIMIT, storable_text


def test_a_row_has_the_columns_of_its_table() -> None:
    """Each field has its column and each column its field."""
    assert {field.name for field in attrs.fields(LedgerRow)} == set(requests.columns.keys())


def test_ordinary_values_are_kept() -> None:
    """What can be stored is stored as it is; what is unknown is None."""
    row = LedgerRow(id="a", started_at=1.5, endpoint="/api/chat", model="größe:7b", input_tokens=0, load_seconds=0.25)
    assert (row.model, row.input_tokens, row.load_seconds) == ("größe:7b", 0, 0.25)
    assert (row.output_tokens, row.prompt_seconds, row.finished_at, row.attempts) == (None, None, None, 0)
    assert not row.is_final
    assert attrs.evolve(row, finished_at=2.0).is_final


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [("x" * 10_000, "x" * TEXT_LIMIT), ("a\ud800b", "a?b"), ("a\0b", "a?b"), ("a\nb", "a\nb"), ("", "")],
)
def test_text_is_bounded_and_storable(given_text: str, kept: str) -> None:
    """Long text is cut, lone surrogates and NULs are replaced, all else stays."""
    assert storable_text(given_text) == kept


@pytest.mark.parametrize("tokens", [2**63, -(2**63) - 1, 10**4000])
def test_impossible_counts_are_unknown(tokens: int) -> None:
    """A count that no column holds is NULL."""
    assert LedgerRow(id="a", started_at=1.0, endpoint="/", input_tokens=tokens).input_tokens is None


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf")])
def test_impossible_durations_are_unknown(seconds: float) -> None:
    """A duration that is no number is NULL."""
    assert LedgerRow(id="a", started_at=1.0, endpoint="/", load_seconds=seconds).load_seconds is None


@given(st.text(alphabet=st.characters(codec=None), max_size=700))
def test_any_text_becomes_storable(text: str) -> None:
    """Whatever a client sends as a name, UTF-8 can spell what is kept, and keeping it twice changes nothing."""
    kept = storable_text(text)
    assert len(kept) <= TEXT_LIMIT
    assert "\0" not in kept
    assert kept.encode("utf-8").decode("utf-8") == kept
    assert storable_text(kept) == kept
