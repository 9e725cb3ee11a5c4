"""Groups of ledger rows as bytes of a file that is only ever appended to. Pure.

A file begins with a record that names the columns, so that a later version, which may have others, can read it; every
further record is a group of rows. A record is its payload's length, its number of rows and its checksum (unsigned
integers of 32 bits, big-endian), then the payload, in MessagePack. What a killed process or a full disk left half
written is told by length and checksum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import attrs
import msgspec

from ollamamax.store.ledger_row import LedgerRow

HEAD = struct.Struct(">III")
MAX_PAYLOAD_BYTES = 64 * 1024**2
MAX_ROWS = 10_000
"""More than any group has: what says so, or is as long, was never written here."""

_INSTANCE = "instance"
_COLUMNS = (*(field.name for field in attrs.fields(LedgerRow) if field.name != _INSTANCE), _INSTANCE)
_values: Callable[[LedgerRow], tuple[object, ...]] = attrgetter(*_COLUMNS[:-1])
_encode = msgspec.msgpack.Encoder().encode
_decode_names = msgspec.msgpack.Decoder(list[str]).decode
_decode_rows = msgspec.msgpack.Decoder(list[list[Any]]).decode


class Damaged(Exception):
    """What a file holds at some place is not what was written there."""


@attrs.frozen
class Head:
    """What stands before a payload.

    Attributes:
        length: bytes of the payload.
        rows: rows in it; 0 for the names of the columns.
        checksum: CRC-32 of the payload, begun with the number of rows.
    """

    length: int
    rows: int
    checksum: int

    @classmethod
    def of(cls, data: bytes) -> Head:
        """Reads one.

        Raises:
            Damaged: it is cut off, or says what no record says; zeros, as a lost write leaves them, are such.
        """
        if len(data) < HEAD.size:
            raise Damaged
        head = cls(*HEAD.unpack(data))
        if not 0 < head.length <= MAX_PAYLOAD_BYTES or head.rows > MAX_ROWS:
            raise Damaged
        return head

    def check(self, payload: bytes) -> None:
        """Sees that a payload is the one that this was written for.

        Raises:
            Damaged: it is not.
        """
        if len(payload) != self.length or zlib.crc32(payload, self.rows) != self.checksum:
            raise Damaged


def encode_columns() -> bytes:
    """The record that a file begins with."""
    return _record(_encode(_COLUMNS), 0)


def encode_group(rows: Sequence[LedgerRow], instance: str | None) -> tuple[bytes, int]:
    """A group of rows.

    Args:
        rows: the rows.
        instance: the instance of the rows that name none; whoever writes them later is another one, maybe.

    Returns:
        The record, and how many of the rows it has: all of which the values are what a row's should be.
    """
    encoded = []
    for row in rows:
        try:
            encoded.append(msgspec.Raw(_encode((*_values(row), row.instance or instance))))
        except (TypeError, OverflowError):  # no value that a database could take either
            continue
    return _record(_encode(encoded), len(encoded)), len(encoded)


def decode_columns(payload: bytes) -> tuple[str, ...]:
    """The names of a file's columns.

    Raises:
        Damaged: the payload holds something else.
    """
    try:
        return tuple(_decode_names(payload))
    except msgspec.MsgspecError:
        raise Damaged from None


def decode_group(payload: bytes, columns: Sequence[str]) -> list[LedgerRow]:
    """The rows of a group; columns that are not known here are left out, and those that it does not have are unknown.

    Raises:
        Damaged: these are no rows.
    """
    try:
        return [
            LedgerRow(**{name: value for name, value in zip(columns, values, strict=True) if name in _COLUMNS})
            for values in _decode_rows(payload)
        ]
    except (msgspec.MsgspecError, TypeError, ValueError, AttributeError):
        raise Damaged from None


def _record(payload: bytes, rows: int) -> bytes:
    return HEAD.pack(len(payload), rows, zlib.crc32(payload, rows)) + payload
