"""What a node's memory holds, in numbers.

Pure. A node may list what it likes: of one node `MAX_SHOWN` models are read here, in its own order, and none whose name
is too long to be shown.
"""

from __future__ import annotations

from itertools import islice

import attrs

from ollamamax.fleet.answers import Models, ResidentEntry, Residents
from ollamamax.fleet.instants import parse_instant
from ollamamax.fleet.loads import Found

MAX_SHOWN = 100
MAX_CHARACTERS = 256


@attrs.frozen
class Residency:
    """One model in a node's memory; None is "not said".

    Attributes:
        model: its normalised name.
        size_bytes: what it takes, wherever that lies.
        vram_bytes: the part of it that lies in the memory of GPUs.
        expires_at: when it is to leave, in Unix seconds; a moment that has passed is of a model in use.
    """

    model: str
    size_bytes: int | None
    vram_bytes: int | None
    expires_at: float | None


def residencies(resident: Residents) -> list[Residency]:
    """The models in a node's memory."""
    shown = (
        Residency(name, entry.get("size"), entry.get("size_vram"), expiry(entry))
        for name, entry in resident.items()
        if len(name) <= MAX_CHARACTERS
    )
    return list(islice(shown, MAX_SHOWN))


def expiry(entry: ResidentEntry) -> float | None:
    """When a model is to leave, in Unix seconds; None where the node says no moment, or Go's zero one."""
    instant = parse_instant(entry.get("expires_at", ""))
    return instant.unix if instant is not None and instant.seconds > 0 else None


def found(entry: ResidentEntry | None, probed_at: float | None, now: float, *, in_use: bool) -> Found:
    """Where a model is that a request wants at this moment.

    Args:
        entry: what the node's last probe said of it; None for nothing.
        probed_at: when that was, in Unix seconds.
        now: Unix seconds.
        in_use: whether other requests are there for it, which keep it from leaving.
    """
    if entry is None:
        return "absent"
    due = expiry(entry)
    # One that was there though its time had come was in use, or the node's clock is another one.
    if in_use or due is None or probed_at is None or not probed_at < due <= now:
        return "resident"
    return "expired"


def stored_bytes(models: Models) -> int:
    """What a node's models take on its disk: models of one digest are one there, whatever their names."""
    sizes: dict[str, int] = {}
    for name, entry in models.items():
        sizes[entry.get("digest", name)] = entry.get("size", 0)
    return sum(sizes.values())


def vram_bytes(resident: Residents) -> int:
    """What all models in a node's memory take of its GPUs."""
    return sum(entry.get("size_vram", 0) for entry in resident.values())
