"""Every setting has a test that starts the server with the default and with another value, and sees the difference."""

from __future__ import annotations

import importlib
from pathlib import Path

from real.observed_settings import OBSERVED

from ollamamax.settings import LEAVES, ModelSettings


def test_every_setting_is_seen_in_force_by_a_test() -> None:
    """The settings that tests of this folder see are those that there are: a new one needs a test, too."""
    for path in sorted(Path(__file__).parent.glob("test_settings_*.py")):
        importlib.import_module(f"real.{path.stem}")
    of_a_model = {f"models.NAME.{name}" for name in ModelSettings.__struct_fields__}
    assert set(OBSERVED) == set(LEAVES) | of_a_model
