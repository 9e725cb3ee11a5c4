"""Which tokens a prompt gets: made up, the same for the same seed, and steered by words in the prompt. Pure.

LIMIT n   the text ends by itself after n tokens (24 without it)
SIZE n    each token has at least n bytes
THINK     five tokens of thinking first
TOOL      a call of the first tool that was offered
HTTP500   the engine refuses
CUT       the engine's answer breaks off after six tokens
DIE       the engine dies after six tokens, for everybody whom it serves
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import Literal

import attrs

NATURAL_TOKENS = 24
FAIL_AFTER = 6
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
Failure = Literal["refused", "cut", "died"]

_FAILURES: Mapping[str, Failure] = {"HTTP500": "refused", "CUT": "cut", "DIE": "died"}


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
    failure: Failure | None = None


def steering(prompt: str) -> Steering:
    """The steering words of a prompt."""
    limit = re.search(r"\bLIMIT (\d+)", prompt)
    size = re.search(r"\bSIZE (\d+)", prompt)
    failure: Failure | None = None
    for word, meaning in _FAILURES.items():
        if failure is None and re.search(rf"\b{word}\b", prompt):
            failure = meaning
    return Steering(
        natural=int(limit[1]) if limit else None,
        token_bytes=int(size[1]) if size else 0,
        think=re.search(r"\bTHINK\b", prompt) is not None,
        tool=re.search(r"\bTOOL\b", prompt) is not None,
        failure=failure,
    )


@attrs.frozen
class Plan:
    """All that a generation will say, told token by token.

    Attributes:
        prompt_tokens: how many the prompt has.
        words: how many words the text has.
        done_reason: `stop` or `length`.
        source: what the words are drawn from.
        token_bytes: least size of a word.
        thinking: `hidden` apart from the text, `shown` in it with its marks, or none.
        tool: whether a tool is called instead.
        json: whether the text is to be a JSON object.
        failure: how it fails, if it does.
        marked: whether the text says that it is simulated.
    """

    prompt_tokens: int
    words: int
    done_reason: str
    source: str
    token_bytes: int = 0
    thinking: Literal["hidden", "shown"] | None = None
    tool: bool = False
    json: bool = False
    failure: Failure | None = None
    marked: bool = False

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
        failure=wish.failure,
        marked=marked,
    )
