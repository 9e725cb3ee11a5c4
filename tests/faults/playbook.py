"""Which script a node plays: by a request's model, the next of those that a test has laid down for it."""

from __future__ import annotations

from collections import deque
from typing import Literal

from faults.dialects import CHAT
from faults.fault_node import Seen
from faults.steps import Close, Script, reads

HEALTHY = "healthy"
_POOL = 64

Kind = Literal["warm", "cold", "hasty"]
"""Of a model: in a node's memory; not in it; in it, and its requests have next to no time."""


class Playbook:
    """The scripts of one or many nodes that share their models.

    Attributes:
        models: all there are.
        resident: those that are in a node's memory.
        unexpected: requests for which nothing was laid down.
    """

    def __init__(self) -> None:
        """Begins with the healthy model, whose chats are answered well."""
        self.unexpected: list[Seen] = []
        self._free: dict[Kind, deque[str]] = {
            kind: deque(f"{kind}{number}" for number in range(_POOL)) for kind in ("warm", "cold", "hasty")
        }
        self._scripts: dict[str, deque[Script]] = {}
        self.models = [HEALTHY, *(name for names in self._free.values() for name in names)]
        self.resident = [name for name in self.models if not name.startswith("cold")]

    def lay(self, *scripts: Script, kind: Kind = "warm") -> str:
        """Takes a model that nobody uses, and gives its requests one script each.

        Returns:
            The model's name.
        """
        name = self._free[kind].popleft()
        self._scripts[name] = deque(scripts)
        return name

    def take_back(self, name: str) -> int:
        """Frees a model; how many scripts nobody has asked for."""
        left = len(self._scripts.pop(name))
        kind: Kind = "cold" if name.startswith("cold") else "hasty" if name.startswith("hasty") else "warm"
        self._free[kind].append(name)
        return left

    def direct(self, seen: Seen) -> Script:
        """The script for a request."""
        scripts = self._scripts.get(seen.model.removesuffix(":latest"))
        if scripts:
            return scripts.popleft()
        if seen.model == HEALTHY:
            return CHAT.answered()
        self.unexpected.append(seen)
        return reads(Close())
