"""What is held back of an answer."""

from __future__ import annotations

from ollamamax.relay.withheld import MAX_HELD_BYTES, Withheld


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
