"""What a simulator is made of, and how a model is written on a command line."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ollamamax.simulator.settings import (
    CAPABILITIES,
    COMPLETION_TEMPLATE,
    PROFILES,
    THINKING_TEMPLATE,
    ModelSpec,
    SimulatorSettings,
    parsed_model,
)
from ollamamax.simulator.weights import weights_named

ALL = ", ".join(CAPABILITIES)
ENDLESS = ("size=inf", "size=1e999", "size=-1", "size=nan", "load=inf", "load=nan", "load=-0.5")


@pytest.mark.parametrize("version", sorted(PROFILES))
def test_each_version_has_its_profile(version: str) -> None:
    """The version that is set is the one that is told."""
    assert SimulatorSettings(version=version).profile.version == version


def test_an_unknown_version_is_refused() -> None:
    """Only what was measured can be simulated."""
    with pytest.raises(ValueError, match="version"):
        SimulatorSettings(version="0.1.0")


@pytest.mark.parametrize(
    ("per_second", "tokens", "seconds"), [(0.0, 1000, 0.25), (100.0, 50, 0.75), (100.0, 0, 0.25), (0.5, 1, 2.25)]
)
def test_a_prompt_takes_its_time(per_second: float, tokens: int, seconds: float) -> None:
    """A fixed time for any, and one per token where tokens take time."""
    settings = SimulatorSettings(prompt_seconds=0.25, prompt_tokens_per_second=per_second)
    assert settings.prompt_time(tokens) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tiny", ModelSpec("tiny", weights_named("tiny", size=650_000))),
        ("x/y:1b", ModelSpec("x/y:1b", weights_named("x/y:1b", size=650_000))),
        ("a,size=7e9", ModelSpec("a", weights_named("a", size=7_000_000_000))),
        ("a,context=64", ModelSpec("a", weights_named("a", size=650_000, context_length=64))),
        ("a,size=0,load=0", ModelSpec("a", weights_named("a", size=0), load_seconds=0.0)),
        ("a,load=0.5", ModelSpec("a", weights_named("a", size=650_000), load_seconds=0.5)),
        ("a,capabilities=embedding", ModelSpec("a", weights_named("a", size=650_000), ("embedding",))),
        (
            "a,load=1,size=8,capabilities=completion+tools,context=9",
            ModelSpec(
                "a",
                weights_named("a", size=8, context_length=9),
                ("completion", "tools"),
                THINKING_TEMPLATE,
                load_seconds=1.0,
            ),
        ),
    ],
)
def test_models_are_written_as_options(text: str, spec: ModelSpec) -> None:
    """A name, and after commas what is not as usual, in any order."""
    assert parsed_model(text) == spec


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_template_follows_the_capabilities(capability: str) -> None:
    """Tools and thinking need one that speaks of them; both kinds begin with a message's role."""
    expected = THINKING_TEMPLATE if capability in ("tools", "thinking") else COMPLETION_TEMPLATE
    assert parsed_model(f"a,capabilities=completion+{capability}").template == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a model needs a name"),
        (",size=1", "a model needs a name"),
        ("a,size=big", "'size=big' is none of capabilities=, size=, context=, load= with a number"),
        ("a,context=1.5", "'context=1.5' is none of capabilities=, size=, context=, load= with a number"),
        *(
            (f"a,{field}", f"{field!r} is none of capabilities=, size=, context=, load= with a number")
            for field in ENDLESS
        ),
        ("a,load=", "'load=' is none of capabilities=, size=, context=, load= with a number"),
        ("a,Size=1", "'Size=1' is none of capabilities=, size=, context=, load= with a number"),
        ("a,", "'' is none of capabilities=, size=, context=, load= with a number"),
        ("a,capabilities=flying", f"capability 'flying' is none of {ALL}"),
        ("a,capabilities=tools+x+y", f"capability 'x' is none of {ALL}"),
        ("a,capabilities=", f"capability '' is none of {ALL}"),
    ],
)
def test_what_is_no_model_is_said_in_one_line(text: str, message: str) -> None:
    """The field that is wrong, and what it may be."""
    with pytest.raises(ValueError, match=rf"\A{re.escape(message)}\Z"):
        parsed_model(text)


@given(st.text(max_size=30))
def test_any_text_is_a_model_or_none(text: str) -> None:
    """Whatever stands on a command line, a model comes out or the one error."""
    try:
        spec = parsed_model(text)
    except ValueError:
        return
    assert spec.name == text.partition(",")[0]


@given(st.sampled_from(["size", "context", "load"]), st.text(max_size=8) | st.floats().map(str))
@example("size", "inf")
@example("context", "9" * 5000)
def test_any_number_is_read_or_refused(key: str, value: str) -> None:
    """Infinite and impossible ones too."""
    try:
        spec = parsed_model(f"a,{key}={value}")
    except ValueError:
        return
    assert spec.weights.size >= 0
    assert spec.load_seconds is None or math.isfinite(spec.load_seconds)
