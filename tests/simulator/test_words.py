"""What all words share: texts put together, and names that look drawn."""

from __future__ import annotations

from ollamamax.simulator.tokens import Token
from ollamamax.simulator.words import made_up_hexadecimal, made_up_number, text_of, thinking_of


def test_text_and_thinking() -> None:
    """Each put together from its own tokens."""
    said = [
        Token("silent", "<"),
        Token("thinking", "a"),
        Token("content", "b"),
        Token("thinking", "c"),
        Token("tool", "d"),
    ]
    assert (text_of(said), thinking_of(said)) == ("b", "ac")
    assert (text_of([]), thinking_of([])) == ("", "")


def test_made_up_names() -> None:
    """The same for the same source, within their bounds, and spread over them."""
    assert made_up_number("a", 999) == made_up_number("a", 999) != made_up_number("b", 999)
    numbers = {made_up_number(str(number), 10) for number in range(200)}
    assert numbers == set(range(10))
    assert made_up_hexadecimal("a") == made_up_hexadecimal("a") != made_up_hexadecimal("b")
    assert len(bytes.fromhex(made_up_hexadecimal("a"))) == 12
