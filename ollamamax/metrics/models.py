"""Which models' names are labels. Pure.

A label's values must be few, and a request may name any model. So a name is a label when a node has the model, or had
it within the last days, or the settings name it; every other one is told as `other`, and so is a request of which no
model is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

OTHER = "other"
REMEMBERED_SECONDS = 7 * 86400.0
"""How long the name of a model that no node has any more stays a label."""

MAX_CHARACTERS = 256
"""Names that are longer are no labels, whoever has them."""
MAX_LEFT = 10_000
"""Names kept of models that have left a node; one that lists others each time takes no more memory than this."""


class ModelLabels:
    """The names that are labels.

    Args:
        held: whether a node has the model of a normalised name now.
        named: normalised names in the settings.
    """

    def __init__(self, held: Callable[[str], bool], named: Iterable[str] = ()) -> None:
        self._held = held
        self._named = frozenset(named)
        self._seen: frozenset[str] = frozenset()
        self._left: dict[str, float] = {}

    def label(self, model: str | None) -> str:
        """The label of a model.

        Args:
            model: its normalised name; None where it is not known.
        """
        if model is None or len(model) > MAX_CHARACTERS:
            return OTHER
        known = self._held(model) or model in self._named or model in self._left or model in self._seen
        return model if known else OTHER

    def is_label(self, text: str) -> bool:
        """Whether a label's value is one still."""
        return self.label(text) == text

    def left(self, models: Collection[str], at: float) -> None:
        """Notes that a node has models no more.

        Args:
            models: their normalised names.
            at: Unix seconds.
        """
        for name in models:
            self._left.pop(name, None)
            self._left[name] = at
        for name in list(self._left)[: max(0, len(self._left) - MAX_LEFT)]:
            del self._left[name]

    def remembered(self, models: frozenset[str], at: float) -> None:
        """Takes what is remembered elsewhere of former days, and forgets what left too long ago.

        Args:
            models: the normalised names of all that some node had since `REMEMBERED_SECONDS` before `at`.
            at: Unix seconds.
        """
        self._seen = models
        self._left = {name: left for name, left in self._left.items() if left > at - REMEMBERED_SECONDS}
