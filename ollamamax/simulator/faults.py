"""What goes wrong on purpose: the kinds of faults, how a prompt or an option asks for one, and who gets which. Pure.

In a prompt, as whole words; a number behind a word stands instead of the usual one:

HTTP500     the engine refuses
BUSY        503, as when the queue before the loads is full
HANG        no answer, for ever
CUT         the engine's answer breaks off after six tokens
DIE         the engine dies after six tokens, for everybody whom it serves
INBAND n    after n tokens (6) an error in the stream, in its own words, and a clean end; a whole answer is a 500
STALL n     after n tokens (6) nothing more, for ever
RESET n     after n tokens (6) the connection is reset
TRUNCATE n  after n tokens (6) the connection is closed in the middle of the body
NOEND n     after n tokens (6) the body ends as if it were complete
GARBAGE n   after n tokens (6) bytes that mean nothing; then it goes on
SLOW n      n milliseconds (1000) for each token

A text that is shorter has its fault at its end, before the final event. An answer that is not streamed is treated
alike: once its tokens are made, half of its body is sent, and then it happens (RESET, TRUNCATE, STALL, NOEND), or the
bytes stand in its middle (GARBAGE). With n = 0 it happens before the head. Embeddings have no tokens to count: HTTP500,
CUT and DIE are a refusal there, and SLOW is nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import attrs

FaultKind = Literal[
    "http500", "cut", "die", "busy", "hang", "inband", "stall", "reset", "truncate", "noend", "garbage", "slow"
]

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
"""In this order: of several words in a prompt the first one here counts."""

FAIL_AFTER = 6
_SLOW_MILLISECONDS = 1000
_FIXED = ("http500", "cut", "die", "busy", "hang")
"""Kinds without a number of their own."""

LOST = ("cut", "die")
"""Kinds in which the engine goes away."""


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: which.
        number: after how many tokens; for `slow`, milliseconds per token.
    """

    kind: FaultKind
    number: int = FAIL_AFTER


class Injected(Exception):
    """A generation ended on purpose.

    Args:
        fault: how.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


def _usual(kind: FaultKind) -> int:
    return _SLOW_MILLISECONDS if kind == "slow" else FAIL_AFTER


_WORDS: Mapping[FaultKind, re.Pattern[str]] = {
    kind: re.compile(rf"\b{kind.upper()}\b" + ("" if kind in _FIXED else r"(?: (\d{1,9})\b)?")) for kind in KINDS
}


def asked_for(prompt: str) -> Fault | None:
    """The fault that a prompt's words ask for."""
    for kind, words in _WORDS.items():
        found = words.search(prompt)
        if found is not None:
            number = found[1] if kind not in _FIXED else None
            return Fault(kind, _usual(kind) if number is None else int(number))
    return None


@attrs.frozen
class Share:
    """A fault, and how many of all requests for inference have it.

    Attributes:
        fault: what goes wrong.
        share: from 0 to 1.
    """

    fault: Fault
    share: float


def parsed_share(text: str) -> Share:
    """A share from an option's text: `KIND[=N]:SHARE`, such as `reset=3:0.1`.

    Raises:
        ValueError: one line that says what is wrong with it.
    """
    what, _, share_text = text.rpartition(":")
    name, given, number_text = what.partition("=")
    kind = next((each for each in KINDS if each == name), None)
    if kind is None:
        raise ValueError(f"must be KIND[=N]:SHARE with one of {', '.join(KINDS)}, not {text!r}")
    number = _usual(kind)
    if given:
        if kind in _FIXED:
            raise ValueError(f"{kind} takes no number, in {text!r}")
        if re.fullmatch(r"\d{1,9}", number_text) is None:
            raise ValueError(
                f"{number_text!r} is no whole number of {'ms' if kind == 'slow' else 'tokens'}, in {text!r}"
            )
        number = int(number_text)
    try:
        share = float(share_text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise ValueError(f"the share must be above 0 and at most 1, not {share_text!r}, in {text!r}")
    return Share(Fault(kind, number), share)


def checked_shares(shares: Sequence[Share]) -> None:
    """Whether they fit beside one another.

    Raises:
        ValueError: they are more than all.
    """
    total = sum(each.share for each in shares)
    if total > 1 + 1e-9:
        raise ValueError(f"the shares add up to {total:g}, more than all requests")


class FaultDraw:
    """Draws each request's fault in turn; the same seed draws the same again.

    Args:
        shares: what goes wrong how often.
        seed: what the draws depend on.
    """

    def __init__(self, shares: Sequence[Share], seed: int) -> None:
        self._shares = tuple(shares)
        self._chosen = random.Random(f"faults {seed}")

    def draw(self) -> Fault | None:
        """The next request's fault."""
        if not self._shares:
            return None
        place = self._chosen.random()
        for each in self._shares:
            place -= each.share
            if place < 0:
                return each.fault
        return None
