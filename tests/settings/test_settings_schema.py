"""What is told of a setting: all of it read from the class that declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import attrs
import msgspec
import pytest
from msgspec import Meta, Struct

from ollamamax.settings import LEAVES
from ollamamax.settings.leaves import Leaf, leaves
from ollamamax.settings.schema import (
    ByteRate,
    Bytes,
    Count,
    ModelSettings,
    NodeSettings,
    Seconds,
    Settings,
    Timeouts,
)


class Section(Struct, frozen=True, kw_only=True):
    """A section of made-up settings."""

    wait_seconds: Annotated[Seconds, Meta(description="A time.", examples=[3.0])] = 1.5
    size: Annotated[Bytes | None, Meta(description="A size.", extra={"none": "unlimited"})] = None
    rate: ByteRate = 0


class Sample(Struct, frozen=True, kw_only=True):
    """Made-up settings of every type that there is."""

    text: Annotated[str, Meta(description="A text.")] = "x"
    names: tuple[str, ...] = ()
    count: Annotated[Count, Meta(le=9)] = 1
    ratio: Annotated[float, Meta(gt=0.5, lt=7)] = 1.0
    plain: float | None = None
    switch: Annotated[bool, Meta(description="A switch.")] = True
    choice: Literal["one", "two"] = "two"
    first: Section = Section()
    nodes: tuple[NodeSettings, ...] = (NodeSettings(name="n", url="u"),)
    table: Mapping[str, int] = {}
    listed: list[str] = msgspec.field(default_factory=lambda: ["made"])
    told: Annotated[int, Meta(extra={"expected": "a wonder", "shape": "wonder"})] = 4


LISTED = "a list of text (as a variable: separated by commas)"
TABLE = [
    # name, default, shape, unit, bounds, none_word, description, example, expected
    ("text", "x", "text", "", "", "", "A text.", None, "text"),
    ("names", (), "list of text", "", "", "", "", None, LISTED),
    ("count", 1, "integer", "", "at least 1, at most 9", "", "", None, "a whole number, at least 1, at most 9"),
    ("ratio", 1.0, "number", "", "above 0.5", "", "", None, "a number, above 0.5"),
    ("plain", None, "number", "", "", "", "", None, "a number"),
    ("switch", True, "true or false", "", "", "", "A switch.", None, "true or false"),
    ("choice", "two", '"one" or "two"', "", "", "", "", None, '"one" or "two"'),
    ("first.wait_seconds", 1.5, "number", "seconds", "above 0", "", "A time.", 3.0, "a number of seconds, above 0"),
    (
        *("first.size", None, "integer", "bytes", "at least 1", "unlimited", "A size.", None),
        'bytes, or a size like "64 MiB", at least 1, or "unlimited"',
    ),
    (
        *("first.rate", 0, "integer", "bytes per second", "at least 0", "", "", None),
        'bytes per second, or a size like "64 KiB", at least 0',
    ),
    ("nodes", (NodeSettings(name="n", url="u"),), "tables", "", "", "", "", None, "tables"),
    ("table", {}, "tables", "", "", "", "", None, "tables"),
    ("listed", ["made"], "text", "", "", "", "", None, "text"),
    ("told", 4, "wonder", "", "", "", "", None, "a wonder"),
]


def told(leaf: Leaf) -> tuple[object, ...]:
    """All of a leaf but its annotation."""
    return attrs.astuple(leaf, recurse=False, filter=attrs.filters.exclude("annotation"))


def test_everything_is_read_from_the_declaration() -> None:
    """Names with their section's, defaults, types, units, bounds and texts, in the order of the classes."""
    assert [told(leaf) for leaf in leaves(Sample)] == TABLE


def test_a_prefix_stands_before_each_name() -> None:
    """As for a section that is asked for alone."""
    assert [leaf.name for leaf in leaves(Section, "x.")] == ["x.wait_seconds", "x.size", "x.rate"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("count", 9, 10),
        ("ratio", 0.6, 0.5),
        ("choice", "one", "three"),
        ("switch", False, "x"),
        ("first.wait_seconds", 0.1, 0),
    ],
)
def test_the_annotation_bounds_the_value(name: str, good: object, bad: object) -> None:
    """What is told of a setting and what is accepted come from the same place."""
    leaf = {leaf.name: leaf for leaf in leaves(Sample)}[name]
    assert msgspec.convert(good, leaf.annotation) == good
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, leaf.annotation)


def test_the_servers_own_settings() -> None:
    """Each is listed once, by its name, as the one list of them that everything else is made from."""
    listed = list(leaves())
    assert {leaf.name: told(leaf) for leaf in listed} == {name: told(leaf) for name, leaf in LEAVES.items()}
    assert len({leaf.name for leaf in listed}) == len(listed)
    assert {leaf.shape for leaf in listed} >= {"number", "integer", "text", "list of text"}


def test_a_models_own_timeouts() -> None:
    """Those that its table gives take the place of the general ones, the others stay."""
    own = ModelSettings(load_seconds=7.0, idle_seconds=8.0)
    settings = Settings(timeouts=Timeouts(idle_seconds=3.0, connect_seconds=4.0), models={"m:latest": own})
    assert settings.timeouts_for("m:latest") == Timeouts(connect_seconds=4.0, load_seconds=7.0, idle_seconds=8.0)
    assert settings.timeouts_for("other:latest") is settings.timeouts
