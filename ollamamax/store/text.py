"""What text of clients and nodes becomes before it is kept."""

from __future__ import annotations

TEXT_LIMIT = 512
"""Characters of any text column; what is longer is cut before it is kept."""


def storable_text(value: str) -> str:
    """Text of at most `TEXT_LIMIT` characters, with lone surrogates and NULs replaced (PostgreSQL refuses both)."""
    cut = value[:TEXT_LIMIT]
    if cut.isprintable():
        return cut
    return cut.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")
