"""Bodies of recorded responses, cut and cut again."""

from __future__ import annotations

from itertools import pairwise

from ollamamax.relay.messages import ResponseHead
from ollamamax.relay.responses import ResponseParser


class Body:
    """A recorded response: its head, and the pieces of its body as the parser gave them."""

    def __init__(self, raw: bytes) -> None:
        self.head = ResponseHead(0, b"", ())
        self.pieces: list[bytes] = []
        parser = ResponseParser(self, head_request=False)
        parser.feed(raw)
        assert parser.complete

    def response_started(self, head: ResponseHead) -> None:
        self.head = head

    def response_data(self, data: bytes) -> None:
        self.pieces.append(data)


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    """Pieces of `data` cut at the given places."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def selectable(value: object) -> str:
    """A test's name that pytest finds again when it is asked for it: one of a function's making holds no backslash."""
    return ascii(value[:40])[2:-1].replace("\\", "/") if isinstance(value, bytes) else str(value)
