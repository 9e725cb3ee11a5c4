"""Groups of rows as bytes, and back."""

from __future__ import annotations

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store.rows import FULL

from ollamamax.store.ledger_row import LedgerRow
from ollamamax.store.spool_records import (
    HEAD,
    Damaged,
    Head,
    decode_columns,
    decode_group,
    encode_columns,
    encode_group,
)

LARGE = attrs.evolve(FULL, input_tokens=2**62, output_tokens=0, requested_model="Ü")
BARE = LedgerRow(id="b", started_at=3.0, endpoint="/api/embed")


def payload_of(record: bytes) -> bytes:
    """What a record carries, once its head has vouched for it."""
    Head.of(record[: HEAD.size]).check(record[HEAD.size :])
    return record[HEAD.size :]


def columns() -> tuple[str, ...]:
    """The columns as a file names them."""
    return decode_columns(payload_of(encode_columns()))


def test_rows_come_back_as_they_were() -> None:
    """Every column of every type, known or not; a row without an instance has got the writer's."""
    record, count = encode_group([LARGE, BARE], "w")
    assert (count, Head.of(record[: HEAD.size]).rows) == (2, 2)
    assert decode_group(payload_of(record), columns()) == [LARGE, attrs.evolve(BARE, instance="w")]
    assert None not in attrs.astuple(LARGE)


def test_a_file_of_another_version_can_be_read() -> None:
    """A column that is not known here is left out, one that is missing is unknown; without an id there is no row."""
    old = msgspec.msgpack.encode([["a", 1.0, "/api/chat", "x"]])
    assert decode_group(old, ("id", "started_at", "endpoint", "of_a_later_version")) == [
        LedgerRow(id="a", started_at=1.0, endpoint="/api/chat")
    ]
    with pytest.raises(Damaged):
        decode_group(old, ("of_a_later_version", "started_at", "endpoint", "x"))
    with pytest.raises(Damaged):
        decode_group(old, ("id", "started_at"))


def test_a_row_that_cannot_be_kept_costs_only_itself() -> None:
    """A value of a wrong type leaves its row out; the count says so."""
    poison = attrs.evolve(BARE)
    object.__setattr__(poison, "node", object())
    huge = attrs.evolve(BARE, status=2**70)
    record, count = encode_group([LARGE, poison, huge], None)
    assert (count, decode_group(payload_of(record), columns())) == (1, [LARGE])


@given(st.integers(0), st.integers(0, 255))
def test_every_changed_byte_is_found(place: int, value: int) -> None:
    """A record of which one byte is another one is never taken for what was written."""
    record, _ = encode_group([LARGE, BARE], "w")
    changed = bytearray(record)
    changed[place % len(record)] = value
    if bytes(changed) != record:
        with pytest.raises(Damaged):
            Head.of(bytes(changed[: HEAD.size])).check(bytes(changed[HEAD.size :]))


@given(st.integers(0))
def test_every_cut_is_found(length: int) -> None:
    """A record that was not written to its end is damaged."""
    record, _ = encode_group([LARGE, BARE], "w")
    cut = record[: length % len(record)]
    with pytest.raises(Damaged):
        Head.of(cut[: HEAD.size]).check(cut[HEAD.size :])


def test_zeros_and_absurd_lengths_are_no_record() -> None:
    """What a lost write leaves behind begins no record, nor does a length that no group has; names are names."""
    for head in (bytes(HEAD.size), HEAD.pack(2**32 - 1, 1, 0), HEAD.pack(10, 2**31, 0), b""):
        with pytest.raises(Damaged):
            Head.of(head)
    for names in (b"", b"\xc1", msgspec.msgpack.encode([1])):
        with pytest.raises(Damaged):
            decode_columns(names)
