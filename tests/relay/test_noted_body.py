"""A body that streams in, passed on with word of its pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from twisted.python.failure import Failure

from ollamamax.errors import NodeTimedOut
from ollamamax.relay.deadlines import RelayTimeouts
from ollamamax.relay.noted_body import NotedBody

if TYPE_CHECKING:
    from relay.conftest import ArrivingBody, Setting

Make = Callable[[int | None], "ArrivingBody"]


class Heard:
    """A receiver that notes."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    def body_data(self, data: bytes) -> None:
        self.notes.append(data)

    def body_complete(self) -> None:
        self.notes.append("complete")

    def body_failed(self, reason: Failure) -> None:
        self.notes.append(reason)


@pytest.mark.parametrize("length", [None, 4])
def test_everything_passes(arriving_body: Make, length: int | None) -> None:
    """Pieces, ends, and what the receiver asks for; each piece is told of before it passes."""
    heard = Heard()
    body = arriving_body(length)
    noted = NotedBody(body, lambda: heard.notes.append("passed"))
    assert noted.length == length
    assert body.receiver is None
    noted.deliver_to(heard)
    assert body.receiver is not None
    body.receiver.body_data(b"ab")
    body.receiver.body_data(b"cd")
    body.receiver.body_complete()
    body.receiver.body_failed(failure := Failure(ValueError()))
    assert heard.notes == ["passed", b"ab", "passed", b"cd", "complete", failure]
    noted.pause()
    assert body.paused
    noted.resume()
    assert not body.paused
    noted.abandon()
    assert body.abandoned == 1


def test_an_upload_takes_nothing_of_the_first_bytes_time(setting: Setting, arriving_body: Make) -> None:
    """A node has all of it once the last piece has come; one that falls silent in the middle is given up as well."""
    body = arriving_body(None)
    setting.carry(body=body, timeouts=RelayTimeouts(2.0, first_byte=5.0))
    assert body.receiver is not None
    for _ in range(3):
        setting.clock.advance(4.0)
        body.receiver.body_data(b"audio")
    setting.clock.advance(4.9)
    assert setting.errors == []
    setting.clock.advance(0.2)
    assert isinstance(setting.error, NodeTimedOut)
    assert setting.error.phase == "first_byte"
