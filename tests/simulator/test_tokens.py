"""What a prompt's words ask for, and that the same seed says the same."""

from __future__ import annotations

import pytest

from ollamamax.simulator.embeddings import raw_vector, unit_vector
from ollamamax.simulator.faults import Fault
from ollamamax.simulator.tokens import MARK, Plan, Speech, Steering, Token, planned, steering


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
        ("x LIMIT 6", 1, False, 1, "length"),
        ("x LIMIT 6", 1, True, 1, "length"),
        ("x LIMIT 0", 48, True, 0, "stop"),
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
    """The marks are shown, around as many words as are thought elsewhere; nothing else tells them from the text."""
    tokens = list(plan("THINK LIMIT 9").tokens())
    texts = [token.text for token in tokens]
    assert {token.kind for token in tokens} == {"content"}
    assert [place for place, text in enumerate(texts) if text in ("<think>", "</think>")] == [0, 6]
    assert (texts[0], texts[6], len(texts)) == ("<think>", "</think>", 11)
    assert texts[7].startswith(" ")


@pytest.mark.parametrize("marked", [False, True])
def test_words_stand_apart(marked: bool) -> None:
    """One space before each word but the first of all, and none behind the mark."""
    text = said(plan("LIMIT 30", marked=marked))
    assert text == " ".join(text.split())
    assert (text == text.strip(), text.isascii()) == (True, True)
    assert len(text.replace(MARK, "").split()) == 30 - marked


def test_a_tool_is_called_only_where_one_is_offered() -> None:
    """The call comes with the fourth token; without tools the word means nothing."""
    assert [token.kind for token in plan("TOOL", has_tools=True).tokens()] == ["silent"] * 3 + ["tool"]
    assert len(said(plan("TOOL")).split()) == 24
    call = list(plan("TOOL", has_tools=True).tokens())
    assert [token.text for token in call] == ["<tool_call>", '{"name": ', '"arguments": ', ""]


@pytest.mark.parametrize("changes", [{"json": True}, {"has_tools": True}])
def test_a_call_and_an_object_end_by_themselves(changes: dict[str, object]) -> None:
    """Whatever the bound of the text that they stand instead of."""
    assert plan("TOOL LIMIT 9", num_predict=2, **changes).done_reason == "stop"
    assert plan("TOOL LIMIT 9", num_predict=2).done_reason == "length"


@pytest.mark.parametrize(("marked", "text"), [(False, "{}"), (True, '{"simulated": true}')])
def test_json_is_json(marked: bool, text: str) -> None:
    """A text that has to be JSON is an object, marked in its own way."""
    assert said(plan("x", json=True, marked=marked)) == text


def test_the_plan_has_the_fault_that_the_prompt_asks_for() -> None:
    """Its number too."""
    assert plan("please RESET 3 now").fault == Fault("reset", 3)
    assert plan("please go on").fault is None


@pytest.mark.parametrize(
    ("stop", "kinds", "text"),
    [
        (["c"], "content content silent", "a b"),
        ([" b c"], "content silent silent", "a"),
        (["b"], "content content", "a "),
        (["b x", "d"], "content content content content", "a b c "),
        (["c e", ""], "content content content content", "a b c d"),
        (["a"], "silent", ""),
        ([" d e"], "content content content content", "a b c d"),
    ],
)
def test_a_stop_sequence_ends_the_text(stop: list[str], kinds: str, text: str) -> None:
    """Before it, wherever it lies between the tokens; what only looks like one is said after all."""
    words = ["a", " b", " c" if stop != ["c"] else "c", " d"]
    speech = Speech((Token("content", word) for word in words), stop, "length")
    tokens = list(speech)
    assert " ".join(token.kind for token in tokens) == kinds
    assert "".join(token.text for token in tokens) == text
    assert speech.done_reason == ("length" if text == "a b c d" else "stop")


def test_a_stop_sequence_is_looked_for_in_the_text_alone() -> None:
    """Thinking that has it goes on."""
    speech = Speech(
        iter([Token("thinking", "stop"), Token("content", "go"), Token("content", "stop")]), ["stop"], "length"
    )
    assert [token.text for token in speech] == ["stop", "go", ""]
    assert plan("LIMIT 3", stop=["zzz"]).speech().done_reason == "stop"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", Steering()),
        ("LIMIT 7", Steering(natural=7)),
        ("LIMIT 0", Steering(natural=0)),
        ("SIZE 9", Steering(token_bytes=9)),
        ("THINK", Steering(think=True)),
        ("TOOL", Steering(tool=True)),
        ("UNLIMIT 7 SIZE x THINKING TOOLS", Steering()),
        ("DIE, CUT or HTTP500", Steering(fault=Fault("http500"))),
        ("THINK! TOOL? (LIMIT 3) SIZE 4 CUT.", Steering(3, 4, think=True, tool=True, fault=Fault("cut"))),
    ],
)
def test_steering(prompt: str, expected: Steering) -> None:
    """Whole words in capitals, each for itself; the first of several faults in the order of their list."""
    assert steering(prompt) == expected


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
