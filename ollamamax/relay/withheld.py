"""The piece of an answer by which a client would know that a change is made, held until it shows everywhere.

A client that copies a model and then lists them expects the copy. The gateway answers lists from memory, so the word of
success waits for that memory. Only small answers are held whole; of a stream, its last event.
"""

from __future__ import annotations

from ollamamax.relay.answers import Answer

MAX_HELD_BYTES = 65536
# Within a text each of these would be escaped. The last event of completions is `[DONE]`, but a client knows the end by
# the reason before it, which comes in the same chunk where Ollama sends it.
_LAST_EVENTS = {
    Answer.PROGRESS: b'"success"',
    Answer.CHAT: b'"done":true',
    Answer.GENERATE: b'"done":true',
    Answer.CHAT_COMPLETIONS: b'"finish_reason":"',
    Answer.COMPLETIONS: b'"finish_reason":"',
    Answer.RESPONSES: b'"type":"response.completed"',
    Answer.MESSAGES: b'"type":"message_stop"',
}


def last_event(answer: Answer) -> bytes | None:
    """What the last event of a stream has in it; None where that is not known."""
    return _LAST_EVENTS.get(answer)


class Withheld:
    """Holds the telling part of one answer."""

    def __init__(self, marker: bytes | None) -> None:
        """Begins.

        Args:
            marker: what the first piece to be held has in it; None to hold all of the answer.
        """
        self._marker = marker
        self._pieces: list[bytes] = []
        self._size = 0
        self._given_up = False

    def pass_on(self, data: bytes) -> bytes:
        """Takes a piece; gives what may go to the client now."""
        if self._given_up or not (self._marker is None or self._pieces or self._marker in data):
            return data
        self._pieces.append(data)
        self._size += len(data)
        if self._size <= MAX_HELD_BYTES:
            return b""
        self._given_up = True
        return b"".join(self.release())

    def release(self) -> list[bytes]:
        """Gives the pieces that are held, and holds them no more."""
        pieces, self._pieces = self._pieces, []
        return pieces
