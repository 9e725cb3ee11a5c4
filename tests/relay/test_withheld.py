"""What is held back of an answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from relay.bodies import Body

from ollamamax.relay.answers import Answer
from ollamamax.relay.withheld import MAX_HELD_BYTES, Withheld, last_event


def test_whole() -> None:
    """All of a small answer is held, and given once, in its pieces."""
    withheld = Withheld(None)
    assert (withheld.pass_on(b"a"), withheld.pass_on(b"b")) == (b"", b"")
    assert withheld.release() == [b"a", b"b"]
    assert withheld.release() == []


def test_from_the_last_event_on() -> None:
    """What comes before the last event passes; that and what follows it do not."""
    withheld = Withheld(b'"success"')
    assert withheld.pass_on(b"pulling") == b"pulling"
    assert (withheld.pass_on(b'{"status":"success"}'), withheld.pass_on(b"more")) == (b"", b"")
    assert withheld.release() == [b'{"status":"success"}', b"more"]


def test_large_answers_pass() -> None:
    """What is too large to be held passes, in order."""
    withheld = Withheld(None)
    assert withheld.pass_on(b"a" * MAX_HELD_BYTES) == b""
    assert withheld.pass_on(b"b") == b"a" * MAX_HELD_BYTES + b"b"
    assert withheld.pass_on(b"c") == b"c"
    assert withheld.release() == []


@pytest.mark.parametrize("version", ["0.24", "0.33"])
@pytest.mark.parametrize(
    ("answer", "name", "ends"),
    [
        (Answer.CHAT, "chat-stream", 1),
        (Answer.GENERATE, "generate-stream", 1),
        (Answer.CHAT_COMPLETIONS, "v1-chat-stream", 2),
        (Answer.CHAT_COMPLETIONS, "v1-chat-stream-usage", 3),
        (Answer.COMPLETIONS, "v1-completions-stream-usage", 3),
        (Answer.RESPONSES, "v1-responses-stream", 1),
        (Answer.MESSAGES, "v1-messages-stream", 1),
    ],
)
def test_the_last_event_of_recorded_streams(
    answer: Answer, name: str, ends: int, version: str, recorded: dict[tuple[str, str], Any]
) -> None:
    """What a client knows the end by is held, and nothing before it, where every event comes by itself."""
    body = b"".join(Body(recorded[version, name].raw).pieces)
    native = answer in (Answer.CHAT, Answer.GENERATE)
    events = body.splitlines(keepends=True) if native else re.findall(rb".+?\n\n", body, re.DOTALL)
    withheld = Withheld(last_event(answer))
    passed = [event for event in events if withheld.pass_on(event)]
    assert passed == events[:-ends]
    assert withheld.release() == events[-ends:]


@pytest.mark.parametrize("answer", [Answer.OPAQUE, Answer.V1_EMBEDDINGS, Answer.TRANSCRIPTIONS])
def test_answers_without_a_last_event(answer: Answer) -> None:
    """Of these all is held, or nothing."""
    assert last_event(answer) is None
