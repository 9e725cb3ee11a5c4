"""What a prompt's words ask for, and that the same seed says the same."""

from __future__ import annotations

import pytest

from ollamamax.simulator.embeddings import raw_vector, unit_vector
from ollamamax.simulator.tokens import MARK, Plan, planned, steering


def plan(prompt: str, **changes: object) -> Plan:
    """A plan with nothing special about it."""
    told: dict[str, object] = {"templated": True, "num_predict": 48, "natural_end": True, "seed": 0, **changes}
    return planned(prompt, **told)  # type: ignore[arg-type]


def said(one: Plan, kind: str = "content") -> str:
    """The text of one kind."""
    return "".join(token.text for token in one.tokens() if token.kind == kind)


@pytest.mark.parametrize(
    ("prompt", "num_predict", "natural_end", "count", "reason"),
    [
        ("x", 48, True, 24, "stop"),
        ("x LIMIT 6", 48, True, 6, "stop"),
        ("x LIMIT 6", 6, True, 6, "stop"),
        ("x LIMIT 6", 5, True, 5, "length"),
        ("x LIMIT 100", 48, True, 48, "length"),
        ("x LIMIT 100", -1, True, 100, "stop"),
        ("x LIMIT 6", 48, False, 48, "length"),
        ("x LIMIT 6", 0, False, 6, "stop"),
    ],
)
def test_lengths(prompt: str, num_predict: int, natural_end: bool, count: int, reason: str) -> None:
    """A text ends by itself or at the bound, and tells which; the other engine always runs to the bound."""
    one = plan(prompt, num_predict=num_predict, natural_end=natural_end)
    assert (len(list(one.tokens())), one.done_reason) == (count, reason)
    assert len(said(one).split()) == count


def test_the_seed_decides() -> None:
    """The same seed and prompt give the same text, another seed or prompt another one."""
    assert said(plan("x")) == said(plan("x"))
    assert len({said(plan("x")), said(plan("y")), said(plan("x", seed=1))}) == 3


def test_long_texts_are_not_held() -> None:
    """A plan of a billion tokens begins at once."""
    tokens = plan("LIMIT 1000000000", num_predict=-1).tokens()
    assert next(tokens).kind == "content"


def test_tokens_of_a_size() -> None:
    """SIZE in the prompt or the setting, whichever is more."""
    assert {len(token.text) for token in plan("LIMIT 3 SIZE 5000").tokens()} == {5000}
    assert {len(token.text) for token in plan("LIMIT 3", token_bytes=100).tokens()} == {100}


def test_the_first_token_says_that_it_is_simulated() -> None:
    """Once, as a token among those that are counted."""
    one = plan("LIMIT 4", marked=True)
    assert said(one).startswith(MARK)
    assert said(one).count(MARK) == 1
    assert len(list(one.tokens())) == 4


def test_thinking_is_apart_for_models_that_think() -> None:
    """Five tokens of thinking between two that nobody sees; the text begins without a space."""
    one = plan("THINK LIMIT 9", can_think=True)
    assert [token.kind for token in one.tokens()] == ["silent", *["thinking"] * 5, "silent", *["content"] * 4]
    assert not said(one).startswith(" ")
    marked = plan("THINK LIMIT 9", can_think=True, marked=True)
    assert said(marked).startswith(MARK)
    assert said(marked, "thinking").startswith(MARK)


def test_thinking_is_in_the_text_for_others() -> None:
    """The marks are shown."""
    assert said(plan("THINK LIMIT 9")).startswith("<think>")


def test_a_tool_is_called_only_where_one_is_offered() -> None:
    """The call comes with the fourth token; without tools the word means nothing."""
    assert [token.kind for token in plan("TOOL", has_tools=True).tokens()] == ["silent"] * 3 + ["tool"]
    assert len(said(plan("TOOL")).split()) == 24


@pytest.mark.parametrize(("marked", "text"), [(False, "{}"), (True, '{"simulated": true}')])
def test_json_is_json(marked: bool, text: str) -> None:
    """A text that has to be JSON is an object, marked in its own way."""
    assert said(plan("x", json=True, marked=marked)) == text


@pytest.mark.parametrize(("word", "failure"), [("HTTP500", "refused"), ("CUT", "cut"), ("DIE", "died"), ("DIED", None)])
def test_failures(word: str, failure: str | None) -> None:
    """Whole words only."""
    assert steering(f"please {word} now").failure == failure


def test_prompts_are_counted() -> None:
    """Words, and one for the template."""
    assert plan("hello LIMIT 6").prompt_tokens == 4
    assert plan("hello LIMIT 3", templated=False).prompt_tokens == 3


def test_embeddings_have_length_one_and_depend_on_text_and_seed() -> None:
    """Unit vectors, the same again, another for another text or seed; fewer numbers on request."""
    one = unit_vector("hello world", dimensions=64, seed=0)
    assert len(one) == 64
    assert sum(value * value for value in one) == pytest.approx(1.0)
    assert one == unit_vector("hello world", dimensions=64, seed=0)
    assert one != unit_vector("hello", dimensions=64, seed=0)
    assert one != unit_vector("hello world", dimensions=64, seed=1)
    short = unit_vector("hello world", dimensions=64, seed=0, keep=8)
    assert len(short) == 8
    assert sum(value * value for value in short) == pytest.approx(1.0)
    assert sum(value * value for value in raw_vector("hello", dimensions=64, seed=0)) > 2
