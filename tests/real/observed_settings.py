"""Which test sees which setting in force, so that a setting that no test sees is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

OBSERVED: dict[str, str] = {}
"""From a setting's name to the test that sees it; a timeout of a single model is `models.NAME.idle_seconds`."""

Test = TypeVar("Test", bound=Callable[..., object])


def observes(*names: str) -> Callable[[Test], Test]:
    """Notes that a test starts the server with the default and with another value, and sees the difference.

    Args:
        names: the dotted names of the settings.
    """

    def note(test: Test) -> Test:
        for name in names:
            assert OBSERVED.setdefault(name, test.__name__) == test.__name__, f"{name} is noted twice"
        return test

    return note
