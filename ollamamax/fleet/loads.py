"""Which loads of models requests waited for, and why each of them was needed.

Pure; one machine for all nodes, told of two things. What a node's memory held, at each probe: from that it knows when a
model left, and whether its time had come. And of every request that waited while its model was loaded: at the end of
its wait the model was there, whether a probe saw that or not; waits on one model that overlap are one load, whoever
reports first. Only waits are counted, so a load that somebody else asked the node for is nobody's here, and several
gateways count no load twice.

Facts of Ollama (`server/sched.go`): a model that nobody uses leaves at the `expires_at` that `/api/ps` shows; while it
is used the moment shown may have passed, as a new one is set at the end of the request; a model that is being loaded is
not listed, and neither is one that uses the runner of another model of the same weights; a changed `num_ctx` and its
like unload the model and load it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Literal, get_args

import attrs

Cause = Literal["first", "expired", "evicted", "options", "other"]
"""Why a model had to be loaded.

`first`: it had not been seen there since this process began. `expired`: it left when its time had come. `evicted`: it
left before that, as another one came. `options`: it was there, and was loaded all the same. `other`: whatever else;
the node was started anew, the model unloaded on request, its engine dead.
"""

CAUSES: tuple[Cause, ...] = get_args(Cause)

Found = Literal["resident", "expired", "absent"]
"""Where a request's model was when the request went to its node: in its memory; there at the last probe, with its time
come since; or not there."""

MAX_MODELS = 256
"""Models of one node that are remembered; a node may list what it likes."""

_MAX_WAITS = 8  # no request is still to report a load older than these: while it runs, its model stays
_CLOCK_SLACK_SECONDS = 1.0  # by which a node's clock may be ahead of this one's


def wait_for_load(
    began: float, answered: float | None, load_seconds: float | None, found: Found, *, least: float
) -> float | None:
    """How long an answered request waited for its model to be loaded.

    Args:
        began: when it went to the node.
        answered: when the first byte of a good answer came; None without one.
        load_seconds: what the node says itself; None where it says nothing, as in every answer under `/v1`.
        found: where the model was when it began.
        least: a wait that is not longer is none: a warm model reports a few milliseconds, never 0.

    Returns:
        Seconds, or None where it waited for no load.
    """
    if load_seconds is None and answered is not None and found != "resident":
        load_seconds = answered - began
    return load_seconds if load_seconds is not None and load_seconds > least else None


@attrs.frozen
class _Departure:
    last_seen: float
    noticed: float
    cause: Cause


@attrs.define
class _Model:
    """What is known of one model on one node; times in Unix seconds."""

    resident: bool = False
    first_seen: float | None = None
    last_seen: float = 0.0
    loaded_at: float = 0.0
    expires_at: float | None = None
    departure: _Departure | None = None
    waits: deque[tuple[float, float]] = attrs.field(factory=lambda: deque(maxlen=_MAX_WAITS))

    def saw(self, expires_at: float | None, at: float) -> None:
        if self.first_seen is None:
            self.first_seen = at
        self.resident, self.last_seen, self.expires_at = True, at, expires_at

    def loaded(self, at: float, probed_at: float) -> None:
        """It was there at the end of a load; what a later probe said of it holds."""
        self.loaded_at = max(self.loaded_at, at)
        if at > probed_at:
            self.resident, self.expires_at = True, None

    def leave(self, at: float, *, displaced: bool, restarted: bool) -> None:
        due = self.expires_at
        if due is not None and self.last_seen < due <= at + _CLOCK_SLACK_SECONDS:
            cause: Cause = "expired"
        elif restarted:
            cause = "other"
        elif displaced:
            cause = "evicted"
        elif due is not None and due <= self.last_seen:
            cause = "expired"  # it was used beyond the moment shown, and the next one is not known
        else:
            cause = "other"
        self.resident = False
        self.departure = _Departure(max(self.last_seen, self.loaded_at), at, cause)

    def covers(self, began: float, ended: float) -> bool:
        """Whether a wait belongs to a load that is known; it is part of that from now on."""
        for index, (first, last) in enumerate(self.waits):
            if began <= last and first <= ended:
                self.waits[index] = min(first, began), max(last, ended)
                return True
        return len(self.waits) == _MAX_WAITS and ended < min(first for first, _ in self.waits)

    def cause(self, began: float, ended: float, found: Found) -> Cause:
        """Why it was loaded within this time, for which nobody has waited yet."""
        was_seen = self.first_seen is not None and self.first_seen <= began
        if not was_seen and not any(last < began for _, last in self.waits):
            return "first"
        departure = self.departure
        if departure is not None and departure.last_seen > ended:
            departure = None  # it left after this load
        if found == "absent":
            return "other" if departure is None else departure.cause
        if departure is not None and departure.noticed >= began and departure.cause == "evicted":
            return "evicted"  # between the dispatch and the arrival, or while it waited for another one's load
        return "expired" if found == "expired" else "options"


@attrs.define
class _Memory:
    models: dict[str, _Model] = attrs.field(factory=dict)
    probed_at: float = 0.0
    restarted: bool = False

    def model(self, name: str) -> _Model:
        """A model, remembered from now on; of too many the one is forgotten that was not there for longest."""
        known = self.models.pop(name, None) or _Model()
        if len(self.models) >= MAX_MODELS:
            del self.models[
                next((old for old, model in self.models.items() if not model.resident), next(iter(self.models)))
            ]
        self.models[name] = known
        return known


class Loads:
    """The memory of every node, as far as this gateway knows it."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Memory] = {}

    def seen(self, node: str, resident: Mapping[str, float | None], awaited: Collection[str], at: float) -> None:
        """A node said what is in its memory.

        Args:
            node: its name.
            resident: its models by normalised name, each with the Unix time at which it is to leave, or None where
                that is not known.
            awaited: models for which requests are there at the moment; what is not resident of them, is being loaded.
            at: Unix seconds.
        """
        memory = self._nodes.setdefault(node, _Memory())
        known = memory.models
        coming = {name for name in resident if name not in known or not known[name].resident}
        coming.update(name for name in awaited if name not in resident)
        coming.update(name for name, model in known.items() if model.loaded_at > memory.probed_at)
        for name, model in known.items():
            if model.resident and name not in resident:
                model.leave(at, displaced=bool(coming - {name}), restarted=memory.restarted)
        for name, expires_at in resident.items():
            memory.model(name).saw(expires_at, at)
        memory.probed_at, memory.restarted = at, False

    def unreachable(self, node: str) -> None:
        """A node took no connection: whatever left its memory meanwhile, may have left with its process."""
        self._nodes.setdefault(node, _Memory()).restarted = True

    def seen_since(self, node: str, model: str, at: float) -> bool:
        """Whether a probe has seen a model in a node's memory, at this moment or later."""
        memory = self._nodes.get(node)
        known = None if memory is None else memory.models.get(model)
        return known is not None and known.first_seen is not None and known.last_seen >= at

    def waited(self, node: str, model: str, began: float, ended: float, *, found: Found) -> Cause | None:
        """A request that waited for a load has ended.

        Args:
            node: the node's name.
            model: the model's normalised name.
            began: when it went to the node, in Unix seconds.
            ended: when the model was there.
            found: where the model was when it began.

        Returns:
            Why the model had to be loaded; None where that load was told before.
        """
        memory = self._nodes.setdefault(node, _Memory())
        known = memory.model(model)
        if known.covers(began, ended):
            return None
        cause = known.cause(began, ended, found)
        known.waits.append((began, ended))
        if known.departure is not None and known.departure.last_seen <= ended:
            known.departure = None
        known.loaded(ended, memory.probed_at)
        return cause

    def forget(self, node: str) -> None:
        """A node is gone."""
        self._nodes.pop(node, None)
