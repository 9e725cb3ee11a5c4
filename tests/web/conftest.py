"""Fixtures of this room: the whole server in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from web.house import House


@pytest.fixture
def open_house() -> Iterator[Callable[..., House]]:
    """Starts servers as `web.house.House` describes; at the end nothing may be left of them."""
    # Not above: it imports Klein, which installs a reactor where none is chosen yet.
    from web.house import House

    with ExitStack() as open_houses:

        def opened(**arguments: Any) -> House:
            return open_houses.enter_context(House(**arguments))

        yield opened


@pytest.fixture
def house(open_house: Callable[..., House]) -> House:
    """A server in front of one node, which has `tiny` in its memory and answers as the test says."""
    return open_house()
