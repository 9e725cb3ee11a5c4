"""The last members of a JSON object of any length, without holding it.

A whole answer can be large (thousands of embeddings, a long text), and what is read from it stands behind the large
member. So an answer up to the limit is kept, and of a longer one only its end, from which the members that follow the
last comma at the object's own level can still be read.
"""

from __future__ import annotations

from collections import deque

import msgspec

MAX_KEPT_BYTES = 262144
# How many commas are tried from the end; Ollama's objects have at most ten members behind the large one.
_MAX_TRIES = 64


class BodyTail:
    """Keeps an object's bytes, or the last of them."""

    def __init__(self, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max = max_kept_bytes
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._whole = True

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._pieces.append(data)
        self._size += len(data)
        while self._pieces and self._size - len(self._pieces[0]) >= self._max:
            self._size -= len(self._pieces.popleft())
            self._whole = False

    def members(self) -> bytes:
        """A JSON object with the last members, or with all of them; empty where nothing can be read."""
        text = b"".join(self._pieces)
        return text if self._whole else _last_members(text)

    def is_cut(self) -> bool:
        """Whether the bytes are certainly no whole object: of a longer one only its end can tell."""
        text = b"".join(self._pieces)
        if not self._whole:
            return not text.rstrip().endswith(b"}")
        try:
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except RecursionError:
            return False
        except ValueError:
            return True
        return False


def _last_members(text: bytes) -> bytes:
    """The longest readable object behind one of the last commas.

    A quote behind a comma opens a string, or closes one (inside of one it would be escaped). Where it closes one, what
    follows is no member of an object. Where the text from it on, put in braces, is an object, that object is a part of
    the outermost one, as the last brace closes that.
    """
    found = b""
    end = len(text)
    for _ in range(_MAX_TRIES):
        end = text.rfind(b',"', 0, end)
        if end < 0:
            break
        candidate = b"{" + text[end + 1 :]
        try:
            msgspec.json.decode(candidate, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            continue
        found = candidate
    return found
