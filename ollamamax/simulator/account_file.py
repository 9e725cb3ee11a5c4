"""The accounts of a simulator in a process of its own, for whoever compares: a line in a file for each that closes."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from .accounts import Account


class AccountFile:
    """Appends accounts to a file, each as a line of JSON that is whole once it is there.

    Args:
        path: where; what is there stays.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, account: Account) -> None:
        """Write one down."""
        self._file.write(json.dumps(attrs.asdict(account)) + "\n")

    def close(self) -> None:
        """Nothing more is added."""
        self._file.close()
