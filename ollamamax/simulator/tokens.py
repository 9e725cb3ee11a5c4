"""Which tokens a prompt gets: made up, the same for the same seed, and steered by words in the prompt. Pure.

LIMIT n   the text ends by itself after n tokens (24 without it)
SIZE n    each token has at least n bytes
THINK     five tokens of thinking first
TOOL      a call of the first tool that was offered

Words that make something go wrong are listed in `faults`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from .faults import Fault, asked_for

NATURAL_TOKENS = 24
THINKING_TOKENS = 5
MARK = "[simulated] "
_WORDS = [
    "the",
    "river",
    "carries",
    "small",
    "stones",
    "over",
    "a",
    "dark",
    "bridge",
    "and",
    "nobody",
    "counts",
    "them",
    "until",
    "morning",
    "when",
    "old",
    "light",
    "comes",
    "back",
    "from",
    "far",
    "hills",
    "so",
    "we",
    "walk",
    "on",
    "slowly",
    "past",
    "quiet",
    "houses",
    "where",
    "someone",
    "always",
    "leaves",
    "one",
    "window",
    "open",
    "for",
    "rain",
]
_FILL = "lorem ipsum dolor sit amet consectetur "

Kind = Literal["content", "thinking", "tool", "silent"]


@attrs.frozen
class Token:
    """One token; silent ones are counted and take their time, but nobody sees them."""

    kind: Kind
    text: str


@attrs.frozen
class Steering:
    """What a prompt's words ask of the engine."""

    natural: int | None = None
    token_bytes: int = 0
    think: bool = False
    tool: bool = False
    fault: Fault | None = None


def steering(prompt: str) -> Steering:
    """The steering words of a prompt."""
    limit = re.search(r"\bLIMIT (\d+)", prompt)
    size = re.search(r"\bSIZE (\d+)", prompt)
    return Steering(
        natural=int(limit[1]) if limit else None,
        token_bytes=int(size[1]) if size else 0,
        think=re.search(r"\bTHINK\b", prompt) is not None,
        tool=re.search(r"\bTOOL\b", prompt) is not None,
        fault=asked_for(prompt),
    )


@attrs.frozen
class Plan:
    """All that a generation will say, told token by token.

    Attributes:
        prompt_tokens: how many the prompt has.
        words: how many words the text has.
        done_reason: `stop` or `length`, unless a stop sequence ends the text.
        source: what the words are drawn from.
        token_bytes: least size of a word.
        thinking: `hidden` apart from the text, `shown` in it with its marks, or none.
        tool: whether a tool is called instead.
        json: whether the text is to be a JSON object.
        fault: what goes wrong, if anything does.
        marked: whether the text says that it is simulated.
        stop: texts before which it ends.
    """

    prompt_tokens: int
    words: int
    done_reason: str
    source: str
    token_bytes: int = 0
    thinking: Literal["hidden", "shown"] | None = None
    tool: bool = False
    json: bool = False
    fault: Fault | None = None
    marked: bool = False
    stop: Sequence[str] = ()

    def speech(self) -> Speech:
        """The tokens, and why they end."""
        return Speech(self.tokens(), self.stop, self.done_reason)

    def tokens(self) -> Iterator[Token]:
        """Each token in turn, without end if the text is long: nothing is held."""
        if self.tool:
            yield from (Token("silent", text) for text in ("<tool_call>", '{"name": ', '"arguments": '))
            yield Token("tool", "")
            return
        if self.json:
            texts = ["{", '"simulated"', ": ", "true", "}"] if self.marked else ["{", "}"]
            yield from (Token("content", text) for text in texts)
            return
        words = self._words()
        if self.thinking is None:
            yield from (Token("content", word) for word in words)
            return
        shown = self.thinking == "shown"
        yield Token("content" if shown else "silent", "<think>")
        for _ in range(min(THINKING_TOKENS, self.words)):
            yield Token("content" if shown else "thinking", next(words))
        yield Token("content" if shown else "silent", "</think>")
        if self.marked and not shown:
            yield Token("content", MARK)
        yield from (Token("content", word if shown or place else word.lstrip(" ")) for place, word in enumerate(words))

    def _words(self) -> Iterator[str]:
        chosen = random.Random(self.source)
        least, count = self.token_bytes, len(_WORDS)
        for place in range(self.words):
            if place == 0 and self.marked:
                word = MARK
            else:
                word = _WORDS[int(chosen.random() * count)]
                if place > self.marked:
                    word = " " + word
            if len(word) < least:
                missing = least - len(word)
                word += (_FILL * (missing // len(_FILL) + 1))[:missing]
            yield word


class Speech(Iterator[Token]):
    """Tokens up to the first stop sequence in the text.

    What may be the beginning of one is held back until the next token tells; the token in which one ends has been made,
    and is silent if nothing of it is left.

    Args:
        tokens: without regard to stop sequences.
        stop: the sequences.
        done_reason: why the tokens end, if none of them comes.

    Attributes:
        done_reason: why they ended, once they have.
    """

    def __init__(self, tokens: Iterator[Token], stop: Sequence[str], done_reason: str) -> None:
        self.done_reason = done_reason
        self._stop = [each for each in stop if each]
        self._tokens = self._until_stop(tokens) if self._stop else tokens

    def __next__(self) -> Token:
        return next(self._tokens)

    def _until_stop(self, tokens: Iterator[Token]) -> Iterator[Token]:
        held: list[Token] = []
        for token in tokens:
            held.append(token)
            if token.kind == "content":
                text = "".join(each.text for each in held)
                found = [text.index(each) for each in self._stop if each in text]
                if found:
                    self.done_reason = "stop"
                    yield from _cut(held, min(found))
                    return
                if any(text.endswith(each[:length]) for each in self._stop for length in range(1, len(each))):
                    continue
            yield from held
            held = []
        yield from held


def _cut(tokens: Sequence[Token], length: int) -> Iterator[Token]:
    """Some tokens of which only so many characters are said."""
    for token in tokens:
        text, length = token.text[:length], max(0, length - len(token.text))
        yield Token("content", text) if text else Token("silent", "")


def planned(
    prompt: str,
    *,
    templated: bool,
    num_predict: int,
    natural_end: bool,
    seed: object,
    token_bytes: int = 0,
    marked: bool = False,
    can_think: bool = False,
    has_tools: bool = False,
    json: bool = False,
    stop: Sequence[str] = (),
) -> Plan:
    """What a prompt gets.

    Args:
        prompt: all of its text.
        templated: whether the model's template is put around it.
        num_predict: how many tokens at most; below 1: no bound.
        natural_end: whether the text ends by itself before that.
        seed: what the words depend on besides the prompt.
        token_bytes: least size of a token.
        marked: whether the text says that it is simulated.
        can_think: whether thinking is told apart from the text.
        has_tools: whether there is a tool to call.
        json: whether the answer is to be a JSON object.
        stop: texts before which it ends.
    """
    wish = steering(prompt)
    natural = NATURAL_TOKENS if wish.natural is None else wish.natural
    if not natural_end and num_predict > 0:
        words, reason = num_predict, "length"
    else:
        words = natural if num_predict <= 0 else min(num_predict, natural)
        reason = "length" if words < natural else "stop"
    tool = wish.tool and has_tools
    if tool or json:
        reason = "stop"
    return Plan(
        prompt_tokens=len(prompt.split()) + templated,
        words=words,
        done_reason=reason,
        source=f"{seed}\n{prompt}",
        token_bytes=max(token_bytes, wish.token_bytes),
        thinking=("hidden" if can_think else "shown") if wish.think else None,
        tool=tool,
        json=json,
        fault=wish.fault,
        marked=marked,
        stop=stop,
    )
