"""The generated reference: complete, current, and its examples can be used."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from ollamamax.settings import LEAVES, load
from ollamamax.settings.reference import reference
from ollamamax.settings.sources import environment_name

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_committed_document_is_current() -> None:
    """`python -m ollamamax.settings.reference > docs/settings.md` would change nothing."""
    assert DOCUMENT.read_text(encoding="utf-8") == reference()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_the_module_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    """As the document's head says it is made."""
    runpy.run_module("ollamamax.settings.reference", run_name="__main__")
    assert capsys.readouterr().out == reference()


def test_every_setting_is_described() -> None:
    """Name, variable and a sentence for each."""
    text = reference()
    for name, leaf in LEAVES.items():
        assert f"### `{name}`\n\n{leaf.description}\n" in text
        assert leaf.description.endswith(".")
        assert (f"`{environment_name(name)}`" in text) == (name != "models")


def test_every_example_can_be_loaded_and_differs_from_the_default() -> None:
    """An example shows another value, and one that is accepted."""
    for section in reference().split("### `")[1:]:
        name = section.partition("`")[0]
        example = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
        assert example is not None

        def read(path: str, text: str = example[1], name: str = name) -> str:
            if path.startswith("/run/secrets"):
                return "sqlite:////x.db"
            extra = 'auth = "off"\n' if name == "listen" else ""
            return extra + text + ("\nbody_memory_bytes = '1 GiB'" if name == "limits.max_body_bytes" else "")

        loaded = load({}, {"HOME": "/h"}, read)
        assert loaded.sources[name] == "/etc/ollamamax/ollamamax.toml"
        shown = {row["name"]: row for row in loaded.public()["settings"]}  # type: ignore[attr-defined]
        assert shown[name]["value"] != shown[name]["default"]
