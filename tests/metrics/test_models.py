"""Which models' names are labels."""

from __future__ import annotations

import pytest

from ollamamax.metrics.models import MAX_CHARACTERS, MAX_LEFT, OTHER, REMEMBERED_SECONDS, ModelLabels

DAY = 86400.0


def test_what_a_node_has_or_the_settings_name_is_a_label() -> None:
    """And nothing else is; a request whose model is not known is as any other."""
    labels = ModelLabels({"here:latest"}.__contains__, ["named:7b"])
    asked = ["here:latest", "named:7b", "alien:latest", "", None]
    assert [labels.label(model) for model in asked] == ["here:latest", "named:7b", OTHER, OTHER, OTHER]


def test_what_a_node_had_stays_a_label_for_a_week() -> None:
    """By its own memory, and by that of the store; then it is forgotten, unless a node has it again."""
    held = {"x:latest"}
    labels = ModelLabels(held.__contains__)
    held.clear()
    labels.left({"x:latest"}, 0.0)
    labels.remembered(frozenset({"former:latest"}), DAY)
    assert (labels.label("x:latest"), labels.label("former:latest")) == ("x:latest", "former:latest")
    labels.remembered(frozenset(), REMEMBERED_SECONDS)
    assert (labels.label("x:latest"), labels.label("former:latest")) == (OTHER, OTHER)
    held.add("x:latest")
    assert labels.label("x:latest") == "x:latest"


def test_a_model_that_leaves_again_is_remembered_from_then_on() -> None:
    """The last time counts."""
    labels = ModelLabels(lambda _: False)
    labels.left({"x:latest"}, 0.0)
    labels.left({"x:latest"}, 6 * DAY)
    labels.remembered(frozenset(), 8 * DAY)
    assert labels.is_label("x:latest")
    assert not labels.is_label("y:latest")


@pytest.mark.parametrize("length", [MAX_CHARACTERS, MAX_CHARACTERS + 1])
def test_long_names_are_no_labels(length: int) -> None:
    """Whoever has such a model."""
    name = "x" * length
    assert (ModelLabels(lambda _: True).label(name) == name) is (length <= MAX_CHARACTERS)


def test_what_has_left_takes_bounded_memory() -> None:
    """A node that lists other models each time has the latest of them remembered."""
    labels = ModelLabels(lambda _: False)
    labels.left([f"m{number}" for number in range(MAX_LEFT)], 0.0)
    labels.left(["m0", "new"], 1.0)
    assert [labels.is_label(name) for name in ("m0", "new", "m1", "m2")] == [True, True, False, True]
